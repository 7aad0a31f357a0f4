// Single keys. They act while the viewer has the focus and no text is being typed, and can be turned off.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export type Action =
  | "in"
  | "out"
  | "left"
  | "right"
  | "up"
  | "down"
  | "fit"
  | "x5"
  | "x10"
  | "x20"
  | "x40"
  | "turn"
  | "turnBack"
  | "cells"
  | "style"
  | "tissue"
  | "chunks"
  | "inspect"
  | "close"
  | "panel"
  | "navigator"
  | "full"
  | "snapshot"
  | "link"
  | "help";

/** What is pressed, as it is written, what it does, and the keys of the browser. */
export const KEYS: readonly (readonly [string, string, Action, readonly string[]])[] = [
  ["+", "Zoom in", "in", ["+", "="]],
  ["−", "Zoom out", "out", ["-", "_"]],
  ["←", "Pan left", "left", ["ArrowLeft"]],
  ["→", "Pan right", "right", ["ArrowRight"]],
  ["↑", "Pan up", "up", ["ArrowUp"]],
  ["↓", "Pan down", "down", ["ArrowDown"]],
  ["0", "The whole slide", "fit", ["0", "Home"]],
  ["1", "5×", "x5", ["1"]],
  ["2", "10×", "x10", ["2"]],
  ["3", "20×", "x20", ["3"]],
  ["4", "40×", "x40", ["4"]],
  ["R", "Turn by 90° clockwise", "turn", ["r"]],
  ["Shift R", "Turn back", "turnBack", ["R"]],
  ["C", "Cells on or off", "cells", ["c"]],
  ["O", "Outline, fill, density", "style", ["o"]],
  ["T", "Tissue mask on or off", "tissue", ["t"]],
  ["M", "Chunk map on or off", "chunks", ["m"]],
  ["I", "The cell at the crosshair", "inspect", ["i"]],
  ["Esc", "Close the cell", "close", ["Escape"]],
  ["P", "Panel open or closed", "panel", ["p"]],
  ["N", "Navigator on or off", "navigator", ["n"]],
  ["F", "Full screen", "full", ["f"]],
  ["S", "Save a picture", "snapshot", ["s"]],
  ["L", "Copy the link", "link", ["l"]],
  ["?", "These keys", "help", ["?"]],
];

const BY_KEY = new Map(KEYS.flatMap(([, , action, keys]) => keys.map((key) => [key, action])));
const KEPT = "raysched.viewer.keys";

/** Whether letters act. Arrows, + and − on the slide always do. */
export const lettersAct = signal(localStorage.getItem(KEPT) !== "off");

export function setLettersAct(wanted: boolean): void {
  lettersAct.value = wanted;
  if (wanted) localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, "off");
}

const PLAIN = new Set(["in", "out", "left", "right", "up", "down", "close"]);
const TYPING = "input:not([type=checkbox], [type=radio], [type=range]), select, textarea";

/** Hear keys while a view is shown. */
export function useKeys(act: (action: Action) => void): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const hear = (event: KeyboardEvent) => {
      const action = wanted(event);
      if (!action) return;
      event.preventDefault();
      latest.current(action);
    };
    addEventListener("keydown", hear);
    return () => removeEventListener("keydown", hear);
  }, []);
}

function wanted(event: KeyboardEvent): Action | null {
  const action = BY_KEY.get(event.key) as Action | undefined;
  const at = event.target instanceof Element ? event.target : null;
  if (!action || event.ctrlKey || event.metaKey || event.altKey || !at) return null;
  if (event.defaultPrevented || at.closest(`${TYPING}, dialog, .menu`)) return null;
  const isInside = at === document.body || at.closest("#main") !== null;
  if (!isInside || (!lettersAct.value && !PLAIN.has(action))) return null;
  // A slider and a row of choices have their own use for arrows.
  if (event.key.startsWith("Arrow") && at.closest("input, [role=slider]")) return null;
  return action;
}
