// What is known of a job that is looked at: itself, from the events, and its cells, asked for anew
// whenever it has got further, at most about once a second.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, asApiError, online, type ApiError } from "../../api/http";
import type { Job } from "../../api/types";
import { hasEnded } from "../../jobs";
import { jobs, link } from "../../live";
import { useLoad } from "../../parts/load";
import type { CellsFacts, Chunks } from "./shapes";

const PACE_MS = 1000;

/** A value that changes at most once in `ms`; the last one always comes. */
export function usePaced<T>(value: T, ms = PACE_MS): T {
  const [shown, show] = useState(value);
  const changedAt = useRef(0);
  useEffect(() => {
    const wait = Math.max(changedAt.current + ms - Date.now(), 0);
    const timer = setTimeout(() => {
      changedAt.current = Date.now();
      show(value);
    }, wait);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return shown;
}

export interface LiveJob {
  job: Job | null;
  view: CellsFacts | null;
  error: ApiError | null;
  again: () => void;
  /** Changes, at most once a second, when the job has got further. */
  beat: string;
}

/** A job that is looked at; null: none is. */
export function useLiveJob(id: string | null): LiveJob {
  const told = id ? (jobs.value?.get(id) ?? null) : null;
  const isUntold = id !== null && jobs.value !== null && !told;
  const asked = useLoad<Job>(isUntold ? `/jobs/${id}` : null);
  const job = told ?? asked.data;
  const beat = usePaced(job ? `${id} ${job.state} ${job.chunks_done} ${job.checksum ?? ""}` : "");
  const view = useFollowed<CellsFacts>(id && `/jobs/${id}/view`);
  useAgain(beat, view.again);
  useReturn(view.again);
  const isBehind = job?.state === "succeeded" && view.data?.complete === false;
  useEffect(() => {
    if (!isBehind) return; // the process that answers learns of the end within a second
    const timer = setTimeout(view.again, PACE_MS);
    return () => clearTimeout(timer);
  }, [isBehind, view.data]);
  return { job, view: view.data, error: view.error ?? asked.error, again: view.again, beat };
}

const NO_CHUNKS = { data: null, error: null };

/** The chunks of a job, while they are wanted. */
export function useChunks(
  id: string | null,
  job: Job | null,
  isWanted: boolean,
): { data: Chunks | null; error: ApiError | null } {
  const loaded = useFollowed<Chunks>(id && isWanted ? `/jobs/${id}/chunks` : null);
  const beat = usePaced(job ? `${job.state} ${job.chunks_done} ${job.tiles_done}` : "");
  const isOpen = job !== null && !hasEnded(job);
  useAgain(beat, loaded.again);
  useEffect(() => {
    if (!isWanted || !isOpen) return;
    const timer = setInterval(loaded.again, 2 * PACE_MS); // a chunk that begins is not told of
    return () => clearInterval(timer);
  }, [isWanted, isOpen]);
  return isWanted ? loaded : NO_CHUNKS;
}

interface Followed<T> {
  data: T | null;
  error: ApiError | null;
  again: () => void;
}

/** As `useLoad`, for what is asked for again and again: one request at a time, and each is let end, so
 *  that a slow service is still heard. */
function useFollowed<T>(path: string | null): Followed<T> {
  const [state, set] = useState<{ data: T | null; error: ApiError | null }>({
    data: null,
    error: null,
  });
  const course = useRef({ path, isBusy: false, isWanted: false });
  const go = async () => {
    const now = course.current;
    now.isWanted = true;
    while (now.path !== null && now.isWanted && !now.isBusy) {
      [now.isBusy, now.isWanted] = [true, false];
      const answer = await ask<T>(now.path).then(
        (data) => ({ data, error: null }),
        (error: unknown) => ({ error: asApiError(error) }),
      );
      now.isBusy = false;
      if (now === course.current) set((old) => ({ ...old, ...answer }));
    }
  };
  useEffect(() => {
    course.current = { path, isBusy: false, isWanted: false };
    if (path === null) set({ data: null, error: null });
    else void go();
    return () => (course.current = { path: null, isBusy: false, isWanted: false });
  }, [path]);
  return { ...state, again: () => void go() };
}

function useAgain(beat: string, again: () => void): void {
  const first = useRef(beat);
  useEffect(() => {
    if (beat !== first.current) again();
    first.current = beat;
  }, [beat]);
}

/** Do something when the service can be reached again. */
export function useReturn(work: () => void): void {
  const isAway = !online.value || link.value === "away";
  const wasAway = useRef(isAway);
  useEffect(() => {
    if (wasAway.current && !isAway) work();
    wasAway.current = isAway;
  }, [isAway]);
}
