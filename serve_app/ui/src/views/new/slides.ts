// The caller's slides, for choosing among them and for the cards of jobs.
import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, asApiError, url, type ApiError } from "../../api/http";
import type { Slide, Slides } from "../../api/types";

const PAGE = 200;
const LOOK_AGAIN_MS = 1000;

export const slides = signal<readonly Slide[] | null>(null);
export const slidesError = signal<ApiError | null>(null);
export const moreSlides = signal<string | null>(null);
export const slideById = computed(
  () => new Map((slides.value ?? []).map((slide) => [slide.id, slide])),
);

export async function loadSlides(cursor: string | null = null): Promise<void> {
  try {
    const page = await ask<Slides>("/slides", { query: { limit: PAGE, cursor } });
    const known = cursor === null ? [] : (slides.value ?? []);
    slides.value = [...known, ...page.slides];
    moreSlides.value = page.next;
    slidesError.value = null;
  } catch (error) {
    slidesError.value = asApiError(error);
  }
}

/** Take in a slide that the service has answered with. */
export function takeSlide(slide: Slide): void {
  const others = (slides.value ?? []).filter((each) => each.id !== slide.id);
  slides.value = [slide, ...others].sort((a, b) => b.id.localeCompare(a.id));
}

/** Load the slides, and look again while some are being checked: that takes a moment. */
export function useSlides(wanted: string | null): void {
  useEffect(() => {
    void loadSlides();
  }, []);
  const isMissing = wanted !== null && slides.value !== null && !slideById.value.has(wanted);
  useEffect(() => {
    if (!isMissing) return; // it is among the older ones
    ask<Slide>(`/slides/${encodeURIComponent(wanted)}`).then(takeSlide, () => {});
  }, [isMissing, wanted]);
  const checking = (slides.value ?? []).filter((each) => each.state === "checking");
  useEffect(() => {
    if (!checking.length) return;
    const timer = setTimeout(() => {
      for (const each of checking.slice(0, 3)) {
        ask<Slide>(`/slides/${each.id}`).then(takeSlide, () => {});
      }
    }, LOOK_AGAIN_MS);
    return () => clearTimeout(timer);
  }, [slides.value]);
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
