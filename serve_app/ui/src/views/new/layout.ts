// Where everything on the board lies, in px: worked out from the draft alone, so cards, arrows and
// drop marks always agree.
import { columns, lanes, type Draft, type Job, type Lane } from "./graph";

export const CARD = { width: 216, height: 84 };
export const GAP = 44;
export const LANE = 108;
export const HEAD = 148;
export const NEW_LANE = 60;
const PAD = 24;

export interface Placed {
  job: Job;
  lane: number;
  /** The left and upper edge. */
  x: number;
  y: number;
}

export interface Layout {
  lanes: Lane[];
  placed: Map<string, Placed>;
  width: number;
  height: number;
}

export function layoutOf(draft: Draft): Layout {
  const found = lanes(draft);
  const column = columns(draft);
  const placed = new Map<string, Placed>();
  let last = 0;
  for (const [lane, { jobs }] of found.entries()) {
    for (const job of jobs) {
      const at = column.get(job.id) ?? 0;
      last = Math.max(last, at);
      const x = HEAD + PAD + at * (CARD.width + GAP);
      placed.set(job.id, { job, lane, x, y: lane * LANE + (LANE - CARD.height) / 2 });
    }
  }
  const width = HEAD + PAD + (last + 1) * (CARD.width + GAP) + GAP;
  return { lanes: found, placed, width, height: found.length * LANE + NEW_LANE };
}

/** Where a card would go. `branch` null: a new one. `markX`: where the mark stands. */
export interface Drop {
  lane: number;
  branch: string | null;
  at: number;
  markX: number;
}

export function dropAt(layout: Layout, x: number, y: number, dragged: string): Drop {
  const lane = Math.max(0, Math.floor(y / LANE));
  const found = layout.lanes[lane];
  if (!found) {
    const end = layout.lanes.length;
    return { lane: end, branch: null, at: 0, markX: HEAD + PAD - GAP / 2 + 10 };
  }
  const others = found.jobs
    .filter((job) => job.id !== dragged)
    .map((job) => layout.placed.get(job.id)!);
  const at = others.filter((each) => each.x + CARD.width / 2 < x).length;
  const [before, after] = [others[at - 1], others[at]];
  const markX = before ? before.x + CARD.width + GAP / 2 : after ? after.x - 12 : HEAD + PAD - 12;
  return { lane, branch: found.branch, at, markX };
}

/** The card at a point. */
export function cardAt(layout: Layout, x: number, y: number): Placed | null {
  for (const each of layout.placed.values()) {
    const isInside =
      x >= each.x - GAP / 2 && x <= each.x + CARD.width && y >= each.y && y <= each.y + CARD.height;
    if (isInside) return each;
  }
  return null;
}

/** A curve from the right edge of a card to a point, leaving and arriving level. */
export function curve(from: { x: number; y: number }, x: number, y: number): string {
  const [x0, y0] = [from.x + CARD.width, from.y + CARD.height / 2];
  const bend = Math.max(36, Math.abs(x - x0) / 2);
  return `M${x0} ${y0}C${x0 + bend} ${y0} ${x - bend} ${y} ${x} ${y}`;
}

export interface Arrow {
  from: string;
  to: string;
  path: string;
  midX: number;
  midY: number;
}

/** The arrows of all dependencies. Those within a branch pass above its cards. */
export function arrows(layout: Layout): Arrow[] {
  const found: Arrow[] = [];
  for (const target of layout.placed.values()) {
    for (const id of target.job.needs) {
      const source = layout.placed.get(id);
      if (!source) continue;
      const [x, y] = [target.x, target.y + CARD.height / 2];
      const [x0, y0] = [source.x + CARD.width, source.y + CARD.height / 2];
      const isBeside = source.lane === target.lane && x - x0 > GAP;
      const top = source.y - 6;
      const path = isBeside
        ? `M${x0} ${y0}C${x0 + 30} ${y0} ${x0 + 6} ${top} ${x0 + 40} ${top}L${x - 40} ${top}C${x - 6} ${top} ${x - 30} ${y} ${x} ${y}`
        : curve(source, x, y);
      const midY = isBeside ? top : (y0 + y) / 2;
      found.push({ from: id, to: target.job.id, path, midX: (x0 + x) / 2, midY });
    }
  }
  return found;
}
