// What can be said of a job from its state alone: each of these once, for every view.
import type { Job } from "./api/types";

export const ENDED = ["succeeded", "failed", "cancelled", "skipped"] as const;
const ENDED_STATES: ReadonlySet<string> = new Set(ENDED);

export const hasEnded = (job: Job): boolean => ENDED_STATES.has(job.state);

export const RUNNING = [
  "planning",
  "segmenting",
  "assembling",
  "publishing",
  "cancelling",
] as const;
const RUNNING_STATES: ReadonlySet<string> = new Set(RUNNING);

export const isRunning = (job: Job): boolean => RUNNING_STATES.has(job.state);

export const isSegmentation = (job: Job): boolean => job.kind === "cell_segmentation";

/** Finished, and its files are there. */
export const hasResults = (job: Job): boolean =>
  job.state === "succeeded" && !job.results_deleted_at;

/** Whether there are cells, of a tissue mask a mask, to look at: finished, or some so far. */
export const canBeSeen = (job: Job): boolean =>
  hasResults(job) || (!hasEnded(job) && job.cells > 0);

/** Whether a sample of its cells can be judged. */
export const canBeChecked = (job: Job): boolean =>
  hasResults(job) && isSegmentation(job) && job.cells > 0;
