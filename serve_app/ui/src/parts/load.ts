// Asking for something once a view is shown, and again on demand.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, asApiError, type ApiError, type Ask } from "../api/http";

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
  return { data: state.data, error: state.error, again: () => setTurn((old) => old + 1) };
}
