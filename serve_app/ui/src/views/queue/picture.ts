// The scheduler's picture of slots, lanes and who waits: the service tells it whenever it changes.
import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ask } from "../../api/http";
import type { Job, Jobs, QueuePicture } from "../../api/types";
import { hear, jobs } from "../../live";

const ASK_AT_MOST_EVERY_MS = 4000;
const PLACES = 200;

/** `null`: not known yet. */
export const picture = signal<QueuePicture | null>(null);

/** Keeps the picture while a view is shown. */
export function usePicture(): void {
  usePlaces();
  useEffect(() => {
    const stop = hear("queue", (data) => see(data as QueuePicture));
    void refresh();
    return () => {
      stop();
      picture.value = null; // whoever looks next may be somebody else
    };
  }, []);
}

async function refresh(): Promise<void> {
  try {
    see(await ask<QueuePicture>("/queue"));
  } catch {
    // A failure is shown by the jobs' own list, and the next event brings the picture.
  }
}

function see(next: QueuePicture): void {
  const before = picture.value;
  picture.value = next;
  if (before === null || standing(before) === standing(next)) return;
  askSoon();
}

/** My own jobs move each other: one that begins or ends lets others forward. */
function usePlaces(): void {
  const known = useRef<ReadonlyMap<string, Job> | null>(null);
  useSignalEffect(() => {
    const [before, now] = [known.current, jobs.value];
    known.current = now;
    if (!before || !now) return;
    const moved = [...now].some(
      ([id, job]) => before.get(id) !== job && before.get(id)?.state !== job.state,
    );
    if (moved) askSoon();
  });
}

/** What moves the places of jobs that wait. */
function standing(seen: QueuePicture): string {
  const holders = seen.held.map((each) => [each.mine, each.parked]);
  return JSON.stringify([seen.me.rank, seen.users_waiting, holders, seen.paused_at]);
}

let due: number | undefined;
let askedAt = 0;

/** A job's place moves with others' work, of which it is not told: ask for the places again. */
function askSoon(): void {
  if (due !== undefined) return;
  const wait = Math.max(500, askedAt + ASK_AT_MOST_EVERY_MS - Date.now());
  due = setTimeout(() => {
    due = undefined;
    askedAt = Date.now();
    void askPlaces();
  }, wait);
}

async function askPlaces(): Promise<void> {
  const before = jobs.value;
  if (![...(before?.values() ?? [])].some((job) => job.state === "waiting")) return;
  try {
    const found = await ask<Jobs>("/jobs", { query: { state: "waiting", limit: PLACES } });
    const now = jobs.value;
    if (!now) return;
    // What was told meanwhile counts more.
    const told = found.jobs.filter((job) => before?.get(job.id) === now.get(job.id));
    jobs.value = new Map([...now, ...told.map((job) => [job.id, job] as const)]);
  } catch {
    // The places shown are older than they could be; the connection's own mark says why.
  }
}
