// Undo and redo of a value. Edits with the same tag that follow each other are one step: typing is.

export interface History<T> {
  past: readonly T[];
  now: T;
  future: readonly T[];
  tag: string | null;
}

const MOST = 200;

export const begun = <T>(now: T): History<T> => ({ past: [], now, future: [], tag: null });

export function recorded<T>(history: History<T>, now: T, tag: string | null = null): History<T> {
  if (now === history.now) return history;
  const isSame = tag !== null && tag === history.tag;
  const past = isSame ? history.past : [...history.past, history.now].slice(-MOST);
  return { past, now, future: [], tag };
}

export function undone<T>(history: History<T>): History<T> {
  const now = history.past[history.past.length - 1];
  if (now === undefined) return history;
  return {
    past: history.past.slice(0, -1),
    now,
    future: [history.now, ...history.future],
    tag: null,
  };
}

export function redone<T>(history: History<T>): History<T> {
  const [now, ...future] = history.future;
  if (now === undefined) return history;
  return { past: [...history.past, history.now], now, future, tag: null };
}
