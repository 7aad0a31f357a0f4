// The draft of the user who is logged in: kept across reloads, with undo, until it is submitted.
import { computed, signal } from "@preact/signals";
import { newId } from "../../parts/ids";
import { me } from "../../session";
import { EMPTY, jobOf, type Draft, type Edit, type Job } from "./graph";
import { begun, recorded, redone, undone, type History } from "./history";

const PLACE = "raysched.draft.";

const history = signal<History<Draft>>(begun(EMPTY));
export const draft = computed(() => history.value.now);
export const canUndo = computed(() => history.value.past.length > 0);
export const canRedo = computed(() => history.value.future.length > 0);

/** The job that was chosen last; it may be gone. */
export const selected = signal<string | null>(null);
/** The job whose settings are shown: there is one while there are jobs. */
export const chosen = computed<Job | null>(
  () => jobOf(draft.value, selected.value ?? "") ?? draft.value.jobs[0] ?? null,
);

/** What was typed and is not valid, by "job/field": the draft keeps the value before. */
export const invalid = signal<ReadonlyMap<string, string>>(new Map());
/** Said to those who do not see the board. */
export const spoken = signal("");
/** Why the last edit was refused. */
export const refusal = signal<string | null>(null);
/** Sent with the draft, however often: the service takes it once. */
export { newId };
export const key = signal(newId());

let owner: string | null = null;

/** Take up the user's draft; again for another user. */
export function open(): void {
  const user = me.value?.id ?? null;
  if (user === owner) return;
  owner = user;
  const kept = user === null ? null : read(PLACE + user);
  history.value = begun(kept?.draft ?? EMPTY);
  key.value = kept?.key ?? newId();
  invalid.value = new Map();
  selected.value = kept?.draft.jobs[0]?.id ?? null;
}

interface Kept {
  draft: Draft;
  key: string;
}

function read(place: string): Kept | null {
  try {
    const kept = JSON.parse(localStorage.getItem(place) ?? "null") as Kept | null;
    return kept && Array.isArray(kept.draft.jobs) && typeof kept.key === "string" ? kept : null;
  } catch {
    return null; // of an older page, or storage is off: begin anew
  }
}

function keep(): void {
  if (owner === null) return;
  try {
    localStorage.setItem(PLACE + owner, JSON.stringify({ draft: draft.value, key: key.value }));
  } catch {
    // storage is off or full: the draft lives as long as the page
  }
}

function set(next: History<Draft>): void {
  history.value = next;
  refusal.value = null;
  const ids = new Set(next.now.jobs.map((job) => job.id));
  const left = [...invalid.value].filter(([at]) => at === JSON_TEXT || ids.has(idOf(at)));
  invalid.value = new Map(left);
  keep();
}

export const JSON_TEXT = "json";
const idOf = (at: string): string => at.split("/")[0] ?? "";

/** Change the draft. Edits with one tag that follow each other are undone at once. */
export function edit(next: Draft, said: string | null = null, tag: string | null = null): void {
  set(recorded(history.value, next, tag));
  if (said) spoken.value = said;
}

/** Change the draft unless that is refused; whether it was done. */
export function attempt(next: Edit, said: string): boolean {
  if ("refused" in next) {
    refusal.value = next.refused;
    spoken.value = next.refused;
    return false;
  }
  edit(next.draft, said);
  return true;
}

export function undo(): void {
  if (!canUndo.value) return;
  invalid.value = new Map();
  set(undone(history.value));
  spoken.value = "Undone";
}

export function redo(): void {
  if (!canRedo.value) return;
  invalid.value = new Map();
  set(redone(history.value));
  spoken.value = "Redone";
}

/** Another draft under a key of its own; undo brings the old one back. */
export function replace(next: Draft, said: string): void {
  key.value = newId();
  invalid.value = new Map();
  edit(next, said);
  selected.value = next.jobs[0]?.id ?? null;
}

/** The same draft as another workflow: under a new key. */
export function renewKey(): void {
  key.value = newId();
  keep();
}

/** After it was submitted: nothing is left to submit again. */
export function forget(): void {
  key.value = newId();
  selected.value = null;
  invalid.value = new Map();
  set(begun(EMPTY));
}

export function mark(at: string, error: string | null): void {
  if ((invalid.value.get(at) ?? null) === error) return;
  const next = new Map(invalid.value);
  if (error === null) next.delete(at);
  else next.set(at, error);
  invalid.value = next;
}
