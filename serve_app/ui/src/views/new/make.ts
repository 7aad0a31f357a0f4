// Jobs and whole drafts of the usual kinds.
import type { Slide } from "../../api/types";
import { added, EMPTY, freeBranch, freeName, type Draft, type Job, type Spec } from "./graph";
import { newId } from "./state";

export type Kind = "cell_segmentation" | "tissue_mask";
export const KINDS: readonly (readonly [Kind, string])[] = [
  ["cell_segmentation", "Cells"],
  ["tissue_mask", "Tissue"],
];
const OWN_BRANCHES_MOST = 6;
/** Fields that a tissue mask does not take. */
export const OF_CELLS = [
  ...(["engine", "params", "measure"] as const),
  ...(["tile_px", "chunk_tiles", "max_failed_share"] as const),
] as const;

export type Spread = "one" | "each";

/** What is usual for so many slides: a branch each while they can be overlooked. */
export const usualSpread = (slides: number): Spread =>
  slides > 1 && slides <= OWN_BRANCHES_MOST ? "each" : "one";

const stem = (name: string): string => name.replace(/\.[A-Za-z0-9]+$/, "");

/** A job of a kind for each slide, on one branch or on one each. */
export function withJobs(
  draft: Draft,
  slides: readonly Slide[],
  kind: Kind,
  spread: Spread,
  branch?: string,
): Draft {
  const short = kind === "tissue_mask" ? "tissue" : "cells";
  const one = branch ?? (draft.jobs.length ? freeBranch(draft) : "main");
  let made = draft.name || !slides.length ? draft : { ...draft, name: workflowName(slides) };
  for (const slide of slides) {
    const wish = slides.length > 1 ? `${short}-${stem(slide.name)}` : short;
    const on = spread === "each" ? freeBranch(made, stem(slide.name)) : one;
    made = added(made, [job(freeName(made, wish), on, { kind, slide: slide.id })]);
  }
  return made;
}

export function job(name: string, branch: string, spec: Spec, needs: string[] = []): Job {
  return { id: newId(), name, branch, spec, needs };
}

export function workflowName(slides: readonly Slide[]): string {
  const first = slides[0] ? stem(slides[0].name) : "workflow";
  const more = slides.length > 1 ? ` and ${slides.length - 1} more` : "";
  return `${first.slice(0, 200 - more.length)}${more}`;
}

/** Two branches on one slide: cells as usual beside a tissue mask, then cells found otherwise. */
export function example(slide: Slide): Draft {
  const usual = job("cells", "usual", { kind: "cell_segmentation", slide: slide.id });
  const tissue = job("tissue", "careful", { kind: "tissue_mask", slide: slide.id });
  const sweep = job(
    "cells-sweep",
    "careful",
    {
      kind: "cell_segmentation",
      slide: slide.id,
      params: { min_area_um2: 12 },
      sweep: { threshold: [0.5, 0.7] },
    },
    [usual.id],
  );
  return { ...EMPTY, name: "Example: two branches", jobs: [usual, tissue, sweep] };
}
