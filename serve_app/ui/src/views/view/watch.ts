import { effect } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** As `useSignalEffect`, and anew whenever one of `given` is another one. */
export function useWatch(work: () => void | (() => void), given: unknown[]): void {
  useEffect(() => effect(work), given);
}
