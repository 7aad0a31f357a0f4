// The caller's slides as this view needs them: by id, for choosing among them and for cards of jobs.
import { computed } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, url } from "../../api/http";
import type { Slide } from "../../api/types";
import { put, refresh, slides } from "../../slides";

export const slideById = computed(
  () => new Map((slides.value ?? []).map((slide) => [slide.id, slide])),
);

/** Load the slides, and the wanted one if it is among the older ones. */
export function useSlides(wanted: string | null): void {
  useEffect(() => {
    void refresh();
  }, []);
  const isMissing = wanted !== null && slides.value !== null && !slideById.value.has(wanted);
  useEffect(() => {
    if (!isMissing) return;
    ask<Slide>(`/slides/${encodeURIComponent(wanted)}`).then(put, () => {});
  }, [isMissing, wanted]);
}

/** Those of the slides that can be worked on, now or once they have been looked at. */
export function usable(ids: readonly string[]): Slide[] {
  const found = ids.flatMap((id) => slideById.value.get(id) ?? []);
  return found.filter((slide) => slide.state !== "refused");
}

/** What a job's slide is called. */
export function slideName(slide: string): string {
  return slideById.value.get(slide)?.name ?? slide.split("/").pop() ?? slide;
}

export function thumbnail(slide: string): string | null {
  const known = slideById.value.get(slide);
  return known?.thumbnail ? url(`/slides/${slide}/thumbnail`) : null;
}

/** Ask for a slide until it has been looked at. Throws `ApiError` for one that is refused. */
export async function lookedAt(slide: Slide, headers: Record<string, string> = {}): Promise<Slide> {
  let found = slide;
  for (let tries = 0; found.state === "checking" && tries < 60; tries++) {
    await new Promise((done) => setTimeout(done, 300));
    found = await ask<Slide>(`/slides/${slide.id}`, { headers });
  }
  return found;
}
