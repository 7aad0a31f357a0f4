// Dragging on the board by mouse, pen or finger: a card to another place, or an arrow from a card's
// handle to another card. What would happen is shown while it is dragged; Escape gives it up.
import { signal } from "@preact/signals";
import { connected, freeBranch, moved, title } from "./graph";
import { cardAt, dropAt, type Drop, type Layout } from "./layout";
import { attempt, draft, refusal, selected } from "./state";

export type Drag =
  | { kind: "card"; id: string; dx: number; dy: number; drop: Drop; refused: boolean }
  | { kind: "link"; id: string; x: number; y: number; over: string | null; refused: boolean };

export const drag = signal<Drag | null>(null);

const FROM_PX = 5;
const EDGE_PX = 40;
const SCROLL_PX = 14;

interface Begun {
  event: PointerEvent;
  id: string;
  kind: Drag["kind"];
  board: HTMLElement;
  layout: () => Layout;
}

/** Begin with a pointer that has gone down; ends by itself. */
export function begin({ event, id, kind, board, layout }: Begun): void {
  const source = event.currentTarget as HTMLElement;
  const [x0, y0] = place(board, event);
  const track = (next: PointerEvent) => {
    if (next.pointerId !== event.pointerId) return;
    const [x, y] = place(board, next);
    if (!drag.value && Math.hypot(x - x0, y - y0) < FROM_PX) return;
    if (!drag.value) source.setPointerCapture(event.pointerId);
    scroll(board, next);
    drag.value =
      kind === "card" ? carried(layout(), id, [x0, y0], [x, y]) : aimed(layout(), id, x, y);
  };
  const end = (next: PointerEvent) => {
    if (next.pointerId !== event.pointerId) return;
    stop();
    const last = drag.value;
    drag.value = null;
    if (last && next.type === "pointerup") {
      swallowClick(source);
      drop(last);
    }
  };
  const escape = (key: KeyboardEvent) => {
    if (key.key !== "Escape" || !drag.value) return;
    key.preventDefault();
    drag.value = null;
    stop();
  };
  const stop = () => {
    removeEventListener("pointermove", track);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
    removeEventListener("keydown", escape, true);
  };
  addEventListener("pointermove", track);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
  addEventListener("keydown", escape, true);
}

/** A point of the page as one of the board, which may be scrolled. */
function place(board: HTMLElement, event: PointerEvent): [number, number] {
  const at = board.getBoundingClientRect();
  return [event.clientX - at.left + board.scrollLeft, event.clientY - at.top + board.scrollTop];
}

function scroll(board: HTMLElement, event: PointerEvent): void {
  const at = board.getBoundingClientRect();
  if (event.clientX > at.right - EDGE_PX) board.scrollLeft += SCROLL_PX;
  else if (event.clientX < at.left + EDGE_PX) board.scrollLeft -= SCROLL_PX;
}

type Point = readonly [number, number];

function carried(layout: Layout, id: string, from: Point, to: Point): Drag {
  const drop = dropAt(layout, to[0], to[1], id);
  const next = moved(draft.value, id, drop.branch ?? freeBranch(draft.value), drop.at);
  const refused = "refused" in next;
  return { kind: "card", id, dx: to[0] - from[0], dy: to[1] - from[1], drop, refused };
}

function aimed(layout: Layout, id: string, x: number, y: number): Drag {
  const found = cardAt(layout, x, y);
  const over = found && found.job.id !== id ? found.job.id : null;
  const refused = over !== null && "refused" in connected(draft.value, id, over);
  return { kind: "link", id, x, y, over, refused };
}

function drop(last: Drag): void {
  const job = draft.value.jobs.find((each) => each.id === last.id);
  if (!job) return;
  const name = title(draft.value, job);
  if (last.kind === "card") {
    const branch = last.drop.branch ?? freeBranch(draft.value);
    const said = `${name} moved to branch ${branch}, place ${last.drop.at + 1}`;
    attempt(moved(draft.value, last.id, branch, last.drop.at), said);
    selected.value = last.id;
    return;
  }
  if (last.over === null) return void (refusal.value = null);
  const other = draft.value.jobs.find((each) => each.id === last.over);
  if (!other) return;
  attempt(
    connected(draft.value, last.id, last.over),
    `${title(draft.value, other)} now waits for ${name}`,
  );
}

/** The click that a browser makes of the end of a drag means nothing. */
function swallowClick(source: HTMLElement): void {
  const swallow = (event: Event) => {
    event.stopPropagation();
    event.preventDefault();
  };
  source.addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => source.removeEventListener("click", swallow, { capture: true }), 0);
}
