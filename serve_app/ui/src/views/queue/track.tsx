// The four steps of an attempt as one line; the second fills with its tiles.
import type { JSX } from "preact";
import type { Job } from "../../api/types";
import { count } from "../../format";

const STEPS = ["plan", "segment", "assemble", "publish"] as const;
const OF_STATE: Record<string, number> = {
  planning: 0,
  needs_mpp: 0,
  segmenting: 1,
  assembling: 2,
  publishing: 3,
  succeeded: 4,
};

function reached(job: Job): number {
  const told = OF_STATE[job.state] ?? (job.stage ? STEPS.indexOf(job.stage) : -1);
  return told;
}

/** How much of the tiles is done, 0..1. */
export const tileShare = (job: Job): number =>
  job.tiles_total ? Math.min(job.tiles_done / job.tiles_total, 1) : 0;

export function Track({ job }: { job: Job }): JSX.Element {
  const now = reached(job);
  const done = `${count(job.tiles_done)} of ${count(job.tiles_total ?? 0)} tiles`;
  return (
    <ol class={`q-track ${job.state}`} aria-label="Steps">
      {STEPS.map((step, at) => {
        const part = at < now ? "done" : at === now ? "now" : "";
        const share = at < now ? 1 : at === 1 && now >= 0 ? tileShare(job) : 0;
        return (
          <li key={step} class={part} aria-current={part === "now" ? "step" : undefined}>
            <span class="q-bar">
              <span style={{ inlineSize: `${share * 100}%` }} />
            </span>
            <span>{step}</span>
            <span class="unseen">
              {part === "done" ? "done" : part === "now" ? (at === 1 ? done : "now") : "to come"}
            </span>
          </li>
        );
      })}
    </ol>
  );
}
