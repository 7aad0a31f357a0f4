// The viewer at work: the stages, what lies over them, the panel beside.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { say, tried } from "../../parts/dialog";
import { useLooking, type Looking } from "./address";
import { CellCard, useCell, type Finding } from "./cell-card";
import { Crown } from "./crown";
import { seenAt, zoomAt } from "./geometry";
import { HelpDialog } from "./help";
import { Divider, Navigator, Scale, ZoomBar } from "./hud";
import { useKeys, type Action } from "./keys";
import { useChunks, type LiveJob } from "./live-view";
import { readCamera, turned, type Style } from "./look";
import { Marks } from "./marks";
import { savePicture } from "./picture";
import { Sections } from "./sections";
import { useCellLayers, useTissue } from "./show";
import type { CellsFacts, SlideFacts } from "./shapes";
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

const STYLES: readonly Style[] = ["outline", "fill", "density"];
const NARROW = "(max-width: 900px)";

export function Desk(props: DeskProps): JSX.Element {
  const { slide, slideId, first, second, path, query } = props;
  const [stage, setStage] = useState<Stage | null>(null);
  const [twin, setTwin] = useState<Stage | null>(null);
  const [shown, setShown] = useState({
    panel: !matchMedia(NARROW).matches,
    navigator: true,
    help: false,
  });
  const looking = useLooking(path, slideId ? { slide: slideId } : {}, query, stage);
  const look = looking.look.value;
  const views = [first?.view ?? null, second?.view ?? null] as const;
  const isSide = second !== null && look.mode === "side";
  const cells = [useCell(views[0], look.cell), useCell(views[1], null)] as const;
  const hasFailed = (first?.job?.tiles_failed ?? 0) > 0;
  const chunks = useChunks(
    views[0]?.overlay ? views[0].job : null,
    first?.job ?? null,
    look.chunks || hasFailed,
  );
  const hasTissue = useTissue({
    stage,
    twin,
    slide: slideId,
    view: views[0],
    isWanted: look.tissue,
  });
  useCellLayers({ stage, twin, views, looking, isCompared: second !== null });
  useTogether(stage, twin);
  useFirstSight(stage, cells[0], query);
  useClicks([stage, twin], cells, looking);
  const toggle = (name: keyof typeof shown) => setShown({ ...shown, [name]: !shown[name] });
  const save = () =>
    tried(() => {
      const those = [stage, twin].filter((each) => each !== null);
      return savePicture(those, [cells[0].cell, cells[1].cell], slide.name);
    });
  const copy = () =>
    tried(async () => {
      await navigator.clipboard.writeText(looking.address());
      say("The link to exactly this view is copied");
    });
  const act = (action: Action) => {
    const own: Partial<Record<Action, () => unknown>> = {
      inspect: () => stage && inspect(stage, cells, looking, views),
      close: () => closeCells(cells, looking),
      panel: () => toggle("panel"),
      navigator: () => toggle("navigator"),
      help: () => toggle("help"),
      snapshot: save,
      link: copy,
    };
    if (own[action]) own[action]();
    else if (stage) steer(stage, looking, action);
  };
  useKeys(act);
  const label = `Slide ${slide.name}. Arrow keys pan, plus and minus zoom, I names the cell at the crosshair, question mark lists all keys.`;
  return (
    <div class="viewer" data-panel={shown.panel}>
      <Crown {...props} stage={stage} act={act} isPanelShown={shown.panel} />
      <div class="viewer-stages">
        <StageFrame
          slide={slide}
          begin={() => readCamera(query)}
          stage={stage}
          onStage={setStage}
          label={label}
        >
          {stage && (
            <>
              <Marks
                stage={stage}
                chunks={chunks}
                isMapShown={look.chunks}
                cells={[cells[0].cell, isSide ? null : cells[1].cell]}
              />
              <ZoomBar stage={stage} />
              <Scale stage={stage} />
              {shown.navigator && <Navigator stage={stage} view={views[0]} />}
              {second && look.mode === "swipe" && (
                <Divider value={look.swipe} onChange={(swipe) => looking.set({ swipe })} />
              )}
            </>
          )}
        </StageFrame>
        {isSide && (
          <StageFrame
            slide={slide}
            begin={() => stage?.target() ?? readCamera(query)}
            stage={twin}
            onStage={setTwin}
            label={`${label} The other job.`}
          >
            {twin && (
              <Marks stage={twin} chunks={null} isMapShown={false} cells={[cells[1].cell]} />
            )}
          </StageFrame>
        )}
      </div>
      <aside class="viewer-panel" aria-label="How the slide is shown" hidden={!shown.panel}>
        {stage && (
          <>
            <FoundCells cells={cells} views={views} stage={stage} looking={looking} />
            <Sections {...props} {...{ looking, stage, chunks, hasTissue }} />
          </>
        )}
      </aside>
      {shown.help && <HelpDialog onClose={() => toggle("help")} />}
    </div>
  );
}

type Two<T> = readonly [T, T];

function FoundCells(props: {
  cells: Two<Finding>;
  views: Two<CellsFacts | null>;
  stage: Stage;
  looking: Looking;
}): JSX.Element {
  const { cells, views, stage, looking } = props;
  const titles = views[1] ? ["This job", "The other"] : [undefined, undefined];
  return (
    <>
      {cells.map(({ cell, close }, at) => {
        const view = views[at];
        if (!cell || !view) return null;
        const done = () => {
          if (at === 0) looking.set({ cell: null });
          close();
        };
        const title = titles[at];
        return (
          <CellCard
            key={at}
            job={view.job}
            cell={cell}
            {...(title ? { title } : {})}
            onClose={done}
            onGo={() => stage.panTo(cell)}
          />
        );
      })}
    </>
  );
}

/** A click names the cell there, of each job that is looked at. */
function useClicks(stages: Two<Stage | null>, cells: Two<Finding>, looking: Looking): void {
  for (const stage of stages) {
    if (stage) stage.onClick = (spot) => void Promise.all(cells.map((each) => each.at(spot)));
  }
  const id = cells[0].cell?.id ?? null;
  useEffect(() => {
    if (id !== null && id !== looking.look.peek().cell) looking.set({ cell: id });
  }, [id]);
}

function closeCells(cells: Two<Finding>, looking: Looking): void {
  looking.set({ cell: null });
  for (const each of cells) each.close();
}

async function inspect(
  stage: Stage,
  cells: Two<Finding>,
  looking: Looking,
  views: Two<CellsFacts | null>,
): Promise<void> {
  const camera = stage.camera.value;
  if (!camera || !views[0]) return;
  const spot = seenAt(camera, { width: 0, height: 0 }, { x: 0, y: 0 });
  const found = await Promise.all(cells.map((each) => each.at(spot)));
  if (found.some(Boolean)) return;
  looking.set({ cell: null });
  say("There is no cell at the crosshair", "info");
}

/** An address that names a cell but no place shows the cell. */
function useFirstSight(stage: Stage | null, { cell }: Finding, query: URLSearchParams): void {
  const isOpen = (stage?.rests.value ?? 0) > 0;
  const [isWanted, want] = useState(query.has("cell") && readCamera(query) === null);
  useEffect(() => {
    if (!isWanted || !isOpen || !stage || !cell) return;
    want(false);
    const zoom = stage.slide.mpp ? zoomAt(40, stage.slide.mpp) : 1;
    stage.look({ x: cell.x, y: cell.y, zoom, rotation: 0 }, true);
  }, [isWanted, isOpen, cell]);
}

function steer(stage: Stage, looking: Looking, action: Action): void {
  const look = looking.look.value;
  const camera = stage.target();
  const { mpp } = stage.slide;
  const preset = (times: number, share: number) => stage.zoomTo(mpp ? zoomAt(times, mpp) : share);
  const turn = (by: number) => camera && stage.rotateTo(turned(camera.rotation + by));
  const acts: Partial<Record<Action, () => unknown>> = {
    in: () => stage.zoomBy(1.5),
    out: () => stage.zoomBy(1 / 1.5),
    left: () => stage.panBy(-1, 0),
    right: () => stage.panBy(1, 0),
    up: () => stage.panBy(0, -1),
    down: () => stage.panBy(0, 1),
    fit: () => stage.fit(),
    x5: () => preset(5, 0.25),
    x10: () => preset(10, 0.5),
    x20: () => preset(20, 1),
    x40: () => preset(40, 2),
    turn: () => turn(90),
    turnBack: () => turn(-90),
    cells: () => looking.set({ cells: !look.cells }),
    style: () => {
      const next = (STYLES.indexOf(look.style) + 1) % STYLES.length;
      looking.set({ style: STYLES[next]! });
    },
    tissue: () => looking.set({ tissue: !look.tissue }),
    chunks: () => looking.set({ chunks: !look.chunks }),
    full: () => void fullScreen(),
  };
  acts[action]?.();
}

async function fullScreen(): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.querySelector(".viewer")?.requestFullscreen();
}
