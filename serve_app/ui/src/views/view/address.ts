// The look and the address are one: what changes here is written there, and the other way round.
import { signal, type Signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { link, note } from "../../router";
import { asQuery, readCamera, readLook, type Look } from "./look";
import type { Stage } from "./stage";
import { useWatch } from "./watch";

const WRITTEN_AFTER_MS = 300;

export interface Looking {
  look: Signal<Look>;
  set: (change: Partial<Look>) => void;
  /** The address of exactly this view. */
  address: () => string;
}

/** `path`: of the address; `also`: what else is in its query. */
export function useLooking(
  path: string[],
  also: Record<string, string>,
  query: URLSearchParams,
  stage: Stage | null,
): Looking {
  const written = useRef(location.hash);
  const look = useMemo(() => signal(readLook(query)), []);
  const asked = () => ({ ...also, ...asQuery(look.peek(), stage?.target() ?? null) });
  useWatch(() => {
    void [look.value, stage?.rests.value];
    if (!stage?.rests.peek()) return; // not open yet: the address still says where to look
    const timer = setTimeout(() => {
      if (location.hash !== written.current) return; // another address, which is not read yet
      written.current = link(path, asked());
      note(path, asked());
      written.current = location.hash;
    }, WRITTEN_AFTER_MS);
    return () => clearTimeout(timer);
  }, [stage]);
  useEffect(() => {
    if (location.hash === written.current) return;
    written.current = location.hash; // somebody has gone to another address of this view
    look.value = readLook(query);
    const camera = readCamera(query);
    if (camera) stage?.look(camera);
  }, [query.toString()]);
  const set = (change: Partial<Look>) => (look.value = { ...look.peek(), ...change });
  return { look, set, address: () => location.href.split("#")[0] + link(path, asked()) };
}
