// The cluster's state and its last hour: asked for when the queue has changed, not by the clock.
import { useEffect, useState } from "preact/hooks";
import type { Cluster } from "../../api/types";
import { hear } from "../../live";
import { useLoad, type Loaded } from "../../parts/load";
import type { Minutes } from "./types";

const PAUSE_MS = 5000;

export interface Watched {
  cluster: Loaded<Cluster>;
  minutes: Loaded<Minutes>;
  again: () => void;
}

export function useCluster(): Watched {
  const cluster = useLoad<Cluster>("/cluster", { limit: 200 });
  const minutes = useLoad<Minutes>("/cluster/minutes");
  const again = () => {
    cluster.again();
    minutes.again();
  };
  const [isStale, setStale] = useState(false);
  useEffect(() => hear("queue", () => setStale(true)), []);
  useEffect(() => {
    if (!isStale) return;
    const soon = setTimeout(() => {
      setStale(false);
      again();
    }, PAUSE_MS);
    return () => clearTimeout(soon);
  }, [isStale]);
  return { cluster, minutes, again };
}
