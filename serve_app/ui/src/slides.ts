// The caller's slides. They come page by page, newest first; while one of them is being looked at, the
// first page is asked for again, ever more rarely.
import { computed, effect, signal } from "@preact/signals";
import { ask, asApiError, type ApiError } from "./api/http";
import type { Slide, Slides } from "./api/types";
import { whenBack } from "./parts/load";
import { me, refreshMe } from "./session";

const PAGE = 60;
const LARGE_PAGE = 500;
const MOST = 5000;
const FIRST_WAIT_MS = 400;
const MOST_WAIT_MS = 10_000;

/** `null` until the first page has come. */
export const slides = signal<readonly Slide[] | null>(null);
export const next = signal<string | null>(null);
export const trouble = signal<ApiError | null>(null);
export const busy = signal(false);

const checking = computed(() =>
  (slides.value ?? [])
    .filter((slide) => slide.state === "checking")
    .map((slide) => slide.id)
    .join(),
);
let timer: ReturnType<typeof setTimeout> | undefined;

async function reading(work: () => Promise<void>): Promise<void> {
  busy.value = true;
  try {
    await work();
    trouble.value = null;
  } catch (error) {
    trouble.value = asApiError(error);
  } finally {
    busy.value = false;
  }
}

/** Ask for the newest again; older ones that were shown stay. */
export function refresh(): Promise<void> {
  return reading(async () => {
    const page = await ask<Slides>("/slides", { query: { limit: PAGE } });
    const last = page.slides.at(-1);
    const old = slides.value ?? [];
    const isFirst = slides.value === null || page.next === null || !last;
    const older = isFirst ? [] : old.slice(old.findIndex((each) => each.id === last.id) + 1);
    slides.value = [...page.slides, ...older];
    if (isFirst || older.length === 0) next.value = page.next;
  });
}

/** The page after those that are shown. */
export function more(limit = PAGE): Promise<void> {
  return reading(async () => {
    const cursor = next.value;
    if (!cursor) return;
    const page = await ask<Slides>("/slides", { query: { limit, cursor } });
    const known = new Set(slides.value?.map((slide) => slide.id));
    slides.value = [
      ...(slides.value ?? []),
      ...page.slides.filter((slide) => !known.has(slide.id)),
    ];
    next.value = page.next;
  });
}

/** All pages: to search and to sort needs them. */
export async function everything(): Promise<void> {
  while (next.value && !busy.value && (slides.value?.length ?? 0) < MOST) {
    await more(LARGE_PAGE);
    if (trouble.value) return;
  }
}

/** Take in one slide as the service has answered with it. */
export function put(slide: Slide): void {
  const old = slides.value ?? [];
  const isKnown = old.some((each) => each.id === slide.id);
  slides.value = isKnown
    ? old.map((each) => (each.id === slide.id ? slide : each))
    : [slide, ...old];
}

export async function deleteSlide(id: string): Promise<void> {
  await ask(`/slides/${id}`, { method: "DELETE" });
  slides.value = (slides.value ?? []).filter((slide) => slide.id !== id);
  await refreshMe();
}

function watch(wait: number): void {
  timer = setTimeout(() => {
    void refresh().then(() => {
      if (checking.value) watch(Math.min(wait * 1.6, MOST_WAIT_MS));
    });
  }, wait);
}

effect(() => {
  clearTimeout(timer);
  if (checking.value) watch(FIRST_WAIT_MS);
});

const isAway = computed(() => trouble.value?.status === 0);
effect(() => (isAway.value ? whenBack(() => void refresh()) : undefined));

const user = computed(() => me.value?.id);
effect(() => {
  user.value; // another user sees nothing of the one before
  slides.value = null;
  next.value = null;
  trouble.value = null;
});

/** The sample slide as one of the caller's: the one that is there, or a new one. */
export const addSample = (headers: Record<string, string> = {}): Promise<Slide> =>
  ask<Slide>("/slides/sample", { method: "POST", headers });
