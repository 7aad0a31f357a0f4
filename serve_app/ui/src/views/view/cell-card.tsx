// The cell that is looked at: its numbers, and a link that opens exactly it.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, ask } from "../../api/http";
import { number, unit, words } from "../../format";
import { Button } from "../../parts/basics";
import { say, sayError } from "../../parts/dialog";
import { link } from "../../router";
import type { Spot } from "./geometry";
import type { Cell, CellsFacts } from "./shapes";

export interface Finding {
  cell: Cell | null;
  /** Ask for the cell at a place; says so where there is none. */
  at: (spot: Spot) => Promise<boolean>;
  close: () => void;
}

/** The cell of one job that is looked at. `id`: which one the address names. */
export function useCell(view: CellsFacts | null, id: number | null): Finding {
  const [cell, setCell] = useState<Cell | null>(null);
  const job = view?.job ?? null;
  const latest = useRef(0);
  const find = async (path: string, query?: Spot): Promise<Cell | null> => {
    const mine = ++latest.current;
    try {
      const answer = await ask<Cell | { cell: Cell | null }>(
        path,
        query ? { query: { ...query } } : {},
      );
      const found = "cell" in answer ? answer.cell : answer;
      if (mine === latest.current) setCell(found);
      return found;
    } catch (error) {
      // Before it is planned, a job has no cells: that is no failure.
      if (error instanceof ApiError && error.status !== 409) sayError(error);
      return null;
    }
  };
  const at = async (spot: Spot) => job !== null && !!(await find(`/jobs/${job}/cells/at`, spot));
  useEffect(() => {
    if (job && id !== null && id !== cell?.id) void find(`/jobs/${job}/cells/${id}`);
  }, [job, id]);
  useEffect(() => {
    if (cell?.provisional && view?.complete) void at(cell); // it has its final number now
  }, [view?.complete]);
  const close = () => {
    latest.current++;
    setCell(null);
  };
  const named = useRef(id);
  useEffect(() => {
    if (id === null && named.current !== null) close(); // the address names none any more
    named.current = id;
  }, [id]);
  return { cell, at, close };
}

interface Props {
  job: string;
  cell: Cell;
  title?: string;
  onClose: () => void;
  onGo: () => void;
}

export function CellCard({ job, cell, title, onClose, onGo }: Props): JSX.Element {
  const address = link(["view", job], {
    x: Number(cell.x.toFixed(1)),
    y: Number(cell.y.toFixed(1)),
    zoom: 2,
    cell: cell.id,
  });
  const copy = async () => {
    await navigator.clipboard.writeText(location.href.split("#")[0] + address);
    say("The link to this cell is copied");
  };
  return (
    <section class="viewer-cell" aria-live="polite">
      <header>
        <h2>
          {title && <span class="muted">{title} · </span>}Cell {cell.id}
        </h2>
        {cell.provisional && (
          <span class="state ask" title="The job has not ended: number and outline may change">
            provisional
          </span>
        )}
        <Button kind="quiet" icon="close" label="Close (Esc)" onClick={onClose} />
      </header>
      <dl class="viewer-numbers">
        {cell.measures.map(({ name, value, unit: of }) => (
          <div key={name}>
            <dt>{words(name)}</dt>
            <dd>
              {number(value, 4)} <span class="muted">{unit(of)}</span>
            </dd>
          </div>
        ))}
        <div>
          <dt>Centre</dt>
          <dd>
            {number(cell.x, 6)}, {number(cell.y, 6)} <span class="muted">px</span>
          </dd>
        </div>
        <div>
          <dt>Tile</dt>
          <dd>{cell.tile}</dd>
        </div>
      </dl>
      <div class="row">
        <Button icon="view" onClick={onGo}>
          Go there
        </Button>
        <Button icon="link" onClick={() => void copy()}>
          Copy link
        </Button>
      </div>
    </section>
  );
}
