// The cluster's state and its last hour: asked for when the queue has changed, not by the clock.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, asApiError, type ApiError, type Ask } from "../../api/http";
import type { Cluster } from "../../api/types";
import { hear } from "../../live";
import type { Minutes } from "./types";

const PAUSE_MS = 5000;
const MOST = 200;

export interface Watched {
  cluster: Cluster | null;
  minutes: Minutes | null;
  error: ApiError | null;
  isAsking: boolean;
  again: () => void;
}

type Known = Pick<Watched, "cluster" | "minutes" | "error">;

export function useCluster(): Watched {
  const [known, setKnown] = useState<Known>({ cluster: null, minutes: null, error: null });
  const [isAsking, setAsking] = useState(false);
  const isStale = useRef(false);
  const stop = useRef(new AbortController());
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const isBusy = useRef(false);

  const load = async () => {
    if (isBusy.current) return;
    isBusy.current = true;
    isStale.current = false;
    setAsking(true);
    const { signal } = stop.current;
    const part = async <T>(path: string, query: Ask["query"], set: (data: T) => Partial<Known>) => {
      const data = await ask<T>(path, { signal, query });
      setKnown((old) => ({ ...old, ...set(data) }));
    };
    try {
      await Promise.all([
        part<Cluster>("/cluster", { limit: MOST }, (cluster) => ({ cluster })),
        part<Minutes>("/cluster/minutes", {}, (minutes) => ({ minutes })),
      ]);
      setKnown((old) => ({ ...old, error: null }));
    } catch (thrown) {
      if (!signal.aborted) setKnown((old) => ({ ...old, error: asApiError(thrown) }));
    }
    isBusy.current = false;
    if (signal.aborted) return;
    setAsking(false);
    timer.current = setTimeout(() => {
      timer.current = null;
      if (isStale.current) void load();
    }, PAUSE_MS);
  };
  useEffect(() => {
    stop.current = new AbortController();
    void load();
    const deaf = hear("queue", () => {
      isStale.current = true;
      if (timer.current === null) void load();
    });
    return () => {
      deaf();
      stop.current.abort();
      if (timer.current) clearTimeout(timer.current);
    };
  }, []);
  const again = () => {
    if (timer.current) clearTimeout(timer.current);
    timer.current = null;
    void load();
  };
  return { ...known, isAsking, again };
}
