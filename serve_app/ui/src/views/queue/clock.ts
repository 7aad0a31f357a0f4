// The reader's own clock, for "since 3 min": nothing is asked of the service.
import { useEffect, useState } from "preact/hooks";

/** Milliseconds since the epoch, anew every so often. */
export function useNow(everyMs = 5000): number {
  const [now, set] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
