// The viewer at work: the stages, what lies over them, the panel beside.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { act, type Actors, type Two } from "./acts";
import { useLooking, type Looking } from "./address";
import { useCell, type Finding } from "./cell-card";
import { Crown } from "./crown";
import { FoundCells, useClicks, useSight } from "./found";
import { HelpDialog } from "./help";
import { Divider, Missing, Navigator, Scale, ZoomBar } from "./hud";
import { useKeys, type Action } from "./keys";
import { useChunks, type LiveJob } from "./live-view";
import { readCamera } from "./look";
import { Marks } from "./marks";
import { Sections } from "./sections";
import type { CellsFacts, Chunks, SlideFacts } from "./shapes";
import { useCellLayers, useTissue } from "./show";
import type { Stage } from "./stage";
import { StageFrame, useTogether } from "./stage-frame";

export interface DeskProps {
  slide: SlideFacts;
  /** Of a slide of the user, where no job is looked at. */
  slideId: string | null;
  first: LiveJob | null;
  second: LiveJob | null;
  path: string[];
  query: URLSearchParams;
}

const NARROW = "(max-width: 900px)";
const USUALLY_SHOWN = { navigator: true, help: false };

export function Desk(props: DeskProps): JSX.Element {
  const { slide, slideId, first, second, path, query } = props;
  const [stage, setStage] = useState<Stage | null>(null);
  const [twin, setTwin] = useState<Stage | null>(null);
  const isNarrow = matchMedia(NARROW).matches;
  const [shown, setShown] = useState({ panel: !isNarrow, ...USUALLY_SHOWN });
  const looking = useLooking(path, slideId ? { slide: slideId } : {}, query, stage);
  const views = [first?.view ?? null, second?.view ?? null] as const;
  const cells = [useCell(views[0], looking.look.value.cell), useCell(views[1], null)] as const;
  const { chunks, hasTissue, error } = useGround(props, looking, [stage, twin]);
  useCellLayers({ stage, twin, views, looking, isCompared: second !== null });
  useTogether(stage, twin);
  useSight(stage, cells[0], query);
  const open = () => setShown((old) => (old.panel ? old : { ...old, panel: true }));
  useClicks([stage, twin], cells, looking, open);
  useMaskAtFirst(first, looking, query);
  const actors: Actors = {
    stages: [stage, twin],
    looking,
    cells,
    name: slide.name,
    toggle: (part) => setShown((old) => ({ ...old, [part]: !old[part] })),
  };
  const doIt = (action: Action) => act(actors, action);
  useKeys(doIt);
  return (
    <div class="viewer">
      <Crown {...props} act={doIt} isPanelShown={shown.panel} />
      <Stages
        {...props}
        {...{ looking, cells, chunks, setStage, setTwin }}
        stages={[stage, twin]}
        isNavigatorShown={shown.navigator}
      />
      <aside class="viewer-panel" aria-label="How the slide is shown" hidden={!shown.panel}>
        {stage && (
          <>
            <FoundCells {...{ cells, views, stage, looking }} />
            <Sections {...props} {...{ looking, stage, chunks, hasTissue, error }} />
          </>
        )}
      </aside>
      {shown.help && <HelpDialog onClose={() => doIt("help")} />}
    </div>
  );
}

/** What a job that finds tissue has to show is shown, unless the address says how to look. */
function useMaskAtFirst(first: LiveJob | null, looking: Looking, query: URLSearchParams): void {
  const isMask = first?.job?.kind === "tissue_mask";
  useEffect(() => {
    if (isMask && !query.has("tissue")) looking.set({ tissue: true });
  }, [isMask]);
}

/** Chunks and tissue, as far as they are wanted. */
function useGround({ slideId, first }: DeskProps, looking: Looking, stages: Two<Stage | null>) {
  const look = looking.look.value;
  const view = first?.view ?? null;
  const hasHoles = (first?.job?.tiles_failed ?? 0) > 0;
  const { data, error } = useChunks(
    view?.overlay ? view.job : null,
    first?.job ?? null,
    look.chunks || hasHoles,
  );
  const [stage, twin] = stages;
  const hasTissue = useTissue({ stage, twin, slide: slideId, view, isWanted: look.tissue });
  return { chunks: data, error, hasTissue };
}

interface StagesProps extends DeskProps {
  looking: Looking;
  cells: Two<Finding>;
  chunks: Chunks | null;
  stages: Two<Stage | null>;
  setStage: (stage: Stage | null) => void;
  setTwin: (stage: Stage | null) => void;
  isNavigatorShown: boolean;
}

function Stages(props: StagesProps): JSX.Element {
  const { slide, second, query, looking, cells, chunks, stages, setStage, setTwin } = props;
  const [stage, twin] = stages;
  const look = looking.look.value;
  const isSide = second !== null && look.mode === "side";
  const label =
    `Slide ${slide.name}. Arrow keys pan, plus and minus zoom, ` +
    "I names the cell at the crosshair, question mark lists all keys.";
  const found = [cells[0].cell, isSide ? null : cells[1].cell];
  const begin = () => readCamera(query);
  return (
    <div class="viewer-stages">
      <StageFrame {...{ slide, stage, begin, label }} onStage={setStage}>
        {stage && (
          <>
            <Marks stage={stage} chunks={chunks} isMapShown={look.chunks} cells={found} />
            <Over {...props} stage={stage} view={props.first?.view ?? null} />
          </>
        )}
      </StageFrame>
      {isSide && (
        <StageFrame
          slide={slide}
          stage={twin}
          begin={() => stage?.target() ?? begin()}
          label={`${label} The other job.`}
          onStage={setTwin}
        >
          {twin && <Marks stage={twin} chunks={null} isMapShown={false} cells={[cells[1].cell]} />}
        </StageFrame>
      )}
    </div>
  );
}

interface OverProps extends StagesProps {
  stage: Stage;
  view: CellsFacts | null;
}

function Over({ stage, view, second, looking, isNavigatorShown }: OverProps): JSX.Element {
  const { mode, swipe } = looking.look.value;
  return (
    <>
      <ZoomBar stage={stage} />
      <Scale stage={stage} />
      <Missing stage={stage} />
      {isNavigatorShown && <Navigator stage={stage} view={view} />}
      {second && mode === "swipe" && (
        <Divider value={swipe} onChange={(share) => looking.set({ swipe: share })} />
      )}
    </>
  );
}
