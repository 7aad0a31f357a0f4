// Ended workflows that the reader has cleared from the picture; kept in this browser alone.
import { signal } from "@preact/signals";
import { me } from "../../session";
import type { Group } from "./group";

const KEPT = 500;
const key = () => `raysched-queue-cleared-${me.value?.id ?? ""}`;

export const cleared = signal<ReadonlySet<string>>(new Set());

export function recall(): void {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(key()) ?? "[]");
    cleared.value = new Set(Array.isArray(kept) ? kept.map(String) : []);
  } catch {
    cleared.value = new Set(); // no storage here, or not ours: nothing is cleared
  }
}

function keep(ids: string[]): void {
  cleared.value = new Set(ids);
  try {
    localStorage.setItem(key(), JSON.stringify(ids.slice(-KEPT)));
  } catch {
    // no storage: cleared until the page is loaded anew
  }
}

export const clear = (those: readonly Group[]): void =>
  keep([...new Set([...cleared.value, ...those.map((group) => group.id)])]);

export const bringBack = (): void => keep([]);

/** A retried job brings its workflow back by itself. */
export const isCleared = (group: Group): boolean => !group.open && cleared.value.has(group.id);
