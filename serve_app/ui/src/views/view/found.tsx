// The cells that are looked at, one of each job: by a click, by a key, by the address.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Two } from "./acts";
import type { Looking } from "./address";
import { CellCard, type Finding } from "./cell-card";
import { zoomAt } from "./geometry";
import { readCamera } from "./look";
import type { CellsFacts } from "./shapes";
import type { Stage } from "./stage";

const CELL_TIMES = 40;

interface Props {
  cells: Two<Finding>;
  views: Two<CellsFacts | null>;
  stage: Stage;
  looking: Looking;
}

export function FoundCells({ cells, views, stage, looking }: Props): JSX.Element {
  const titles = views[1] ? ["This job", "The other"] : [];
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

/** A click names the cell there, of each job that is looked at; `open`: where its numbers are. */
export function useClicks(
  stages: Two<Stage | null>,
  cells: Two<Finding>,
  looking: Looking,
  open: () => void,
): void {
  for (const stage of stages) {
    if (stage) {
      stage.onClick = async (spot) => {
        const found = await Promise.all(cells.map((each) => each.at(spot)));
        if (!found[0]) looking.set({ cell: null });
        if (found.some(Boolean)) open();
      };
    }
  }
  const id = cells[0].cell?.id ?? null;
  useEffect(() => {
    if (id !== null && id !== looking.look.peek().cell) looking.set({ cell: id });
  }, [id]);
}

/** An address that names a cell but no place shows the cell. */
export function useSight(stage: Stage | null, { cell }: Finding, query: URLSearchParams): void {
  const isOpen = (stage?.rests.value ?? 0) > 0;
  const asked = readCamera(query) === null ? query.get("cell") : null;
  const [wanted, want] = useState(asked);
  useEffect(() => {
    if (asked !== null) want(asked); // also when another cell of the same job is gone to
  }, [query.toString()]);
  useEffect(() => {
    if (wanted === null || !isOpen || !stage || String(cell?.id) !== wanted || !cell) return;
    want(null);
    const { mpp } = stage.slide;
    stage.look({ x: cell.x, y: cell.y, zoom: mpp ? zoomAt(CELL_TIMES, mpp) : 1, rotation: 0 });
  }, [wanted, isOpen, cell]);
}
