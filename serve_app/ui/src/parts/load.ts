// Asking for something once a view is shown, and again on demand.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, asApiError, online, type ApiError, type Ask } from "../api/http";
import { link } from "../live";

/** Call once the service is reached again: by a request, by its events, or as the browser says. */
export function whenBack(call: () => void): () => void {
  let isNow = true; // a signal tells its present value at once: that is no change
  const hear = (isBack: boolean) => !isNow && isBack && call();
  const stops = [online.subscribe(hear), link.subscribe((state) => hear(state === "live"))];
  isNow = false;
  addEventListener("online", call);
  return () => {
    removeEventListener("online", call);
    for (const stop of stops) stop();
  };
}

export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
  /** Ask again; what is shown stays meanwhile. */
  again: () => void;
}

/** GET a path (null: nothing yet), anew whenever it or the query changes. */
export function useLoad<T>(path: string | null, query?: Ask["query"]): Loaded<T> {
  const [state, set] = useState<{ of: string | null; data: T | null; error: ApiError | null }>({
    of: null,
    data: null,
    error: null,
  });
  const [turn, setTurn] = useState(0);
  const given = JSON.stringify([path, query]);
  const latest = useRef(query);
  latest.current = query;
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    ask<T>(path, { signal: stop.signal, query: latest.current }).then(
      (data) => set({ of: given, data, error: null }),
      (error: unknown) => {
        if (!stop.signal.aborted) {
          set((old) => ({
            of: given,
            data: old.of === given ? old.data : null,
            error: asApiError(error),
          }));
        }
      },
    );
    return () => stop.abort();
  }, [given, turn]);
  const again = () => setTurn((old) => old + 1);
  const isAway = state.error?.status === 0;
  useEffect(() => (isAway ? whenBack(again) : undefined), [isAway]);
  return { data: state.data, error: state.error, again };
}
