// The caller's jobs as they are now, from the service's own events: no polling.
import { computed, signal } from "@preact/signals";
import { API, ask, asApiError, type ApiError } from "./api/http";
import type { Job, Jobs } from "./api/types";

const KNOWN_PAGES = 5;
const PAGE = 200;
const LATER_MS = 3000;

/** By id; `null` until the first list has come. Unfinished jobs, and the newest that have ended. */
export const jobs = signal<ReadonlyMap<string, Job> | null>(null);
export type Link = "connecting" | "live" | "away";
export const link = signal<Link>("connecting");
export const trouble = signal<ApiError | null>(null);

/** Newest first. */
export const jobList = computed(() =>
  [...(jobs.value?.values() ?? [])].sort((a, b) => b.submitted_at.localeCompare(a.submitted_at)),
);

type Listener = (data: unknown) => void;
const listeners = new Map<string, Set<Listener>>();
let source: EventSource | null = null;
let waiting: Map<string, Job> | null = null;

/** Hear events of another name (`queue`); returns how to stop. */
export function hear(name: string, listener: Listener): () => void {
  const those = listeners.get(name) ?? new Set();
  if (!listeners.has(name)) {
    listeners.set(name, those);
    if (source) attach(source, name);
  }
  those.add(listener);
  return () => those.delete(listener);
}

function attach(to: EventSource, name: string): void {
  to.addEventListener(name, (event) => {
    const data: unknown = JSON.parse((event as MessageEvent<string>).data);
    listeners.get(name)?.forEach((listener) => listener(data));
  });
}

/** Begin to listen; again after `stop`. */
export function start(): void {
  if (source) return;
  const opened = new EventSource(`${API}/events`);
  source = opened;
  opened.addEventListener("open", () => (link.value = "live"));
  opened.addEventListener("error", () => {
    link.value = "away";
    if (opened.readyState !== EventSource.CLOSED || source !== opened) return;
    source = null; // the service refused it: the browser does not come again by itself
    setTimeout(start, LATER_MS);
  });
  opened.addEventListener("reset", () => void list());
  opened.addEventListener("job", (event) => take(JSON.parse(event.data as string) as Job));
  opened.addEventListener("workflow_deleted", (event) => {
    forgetWorkflow((JSON.parse(event.data as string) as { id: string }).id);
  });
  for (const name of listeners.keys()) attach(opened, name);
}

// A connection that hangs is not noticed by itself: with the network back, begin one anew.
addEventListener("online", () => {
  if (!source) return;
  source.close();
  source = null;
  start();
});

export function stop(): void {
  source?.close();
  source = null;
  jobs.value = null;
  link.value = "connecting";
}

/** Take in a job that the service has answered with. */
export function take(job: Job): void {
  waiting?.set(job.id, job);
  if (jobs.value) jobs.value = new Map(jobs.value).set(job.id, job);
}

export function forgetWorkflow(workflow: string): void {
  if (!jobs.value) return;
  jobs.value = new Map([...jobs.value].filter(([, job]) => job.workflow !== workflow));
}

/** List anew; what is told meanwhile counts more than what was listed. */
export async function list(): Promise<void> {
  const told = (waiting = new Map<string, Job>());
  try {
    const open = await pages({ open: true }, KNOWN_PAGES);
    const ended = await pages({ open: false }, 1);
    jobs.value = new Map(
      [...open, ...ended].map((job) => [job.id, job] as const).concat([...told]),
    );
    trouble.value = null;
  } catch (error) {
    trouble.value = asApiError(error);
    setTimeout(() => void list(), LATER_MS);
  } finally {
    if (waiting === told) waiting = null;
  }
}

async function pages(query: Record<string, boolean>, most: number): Promise<Job[]> {
  const found: Job[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < most; page++) {
    const answer: Jobs = await ask<Jobs>("/jobs", { query: { ...query, limit: PAGE, cursor } });
    found.push(...answer.jobs);
    cursor = answer.next;
    if (!cursor) break;
  }
  return found;
}
