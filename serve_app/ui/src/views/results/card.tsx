import type { ComponentChildren, JSX } from "preact";
import type { Job } from "../../api/types";
import { count, time } from "../../format";
import { hasEnded } from "../../live";
import { State } from "../../parts/basics";
import { JobPicture } from "../../parts/job-picture";
import { link } from "../../router";
import "./card.css";

/** Whether there is something to look at: finished, or some cells so far. */
export function hasResults(job: Job): boolean {
  if (job.results_deleted_at) return false;
  return job.state === "succeeded" || (!hasEnded(job) && job.cells > 0);
}

export const isSegmentation = (job: Job): boolean => job.kind === "cell_segmentation";

interface Props {
  job: Job;
  to?: string;
  children?: ComponentChildren;
}

/** One result: its picture and what it is. */
export function ResultCard({ job, to, children }: Props): JSX.Element {
  const isFinished = job.state === "succeeded";
  return (
    <a class="card result-card" href={to ?? link(["results", job.id])}>
      <JobPicture job={job.id} alt="" most={560} hasPreview={isFinished} />
      <span class="result-card-body">
        <strong class="truncate" title={job.slide}>
          {job.slide}
        </strong>
        <span class="result-card-count">
          {isSegmentation(job) ? (
            <>
              <b>{count(job.cells)}</b> {job.cells === 1 ? "cell" : "cells"}
              {!isFinished && " so far"}
            </>
          ) : (
            <b>Tissue mask</b>
          )}
        </span>
        <span class="muted small truncate">
          {[job.engine, `branch ${job.branch}`].filter(Boolean).join(" · ")}
        </span>
        <span class="result-card-foot muted small">
          {isFinished ? time(job.ended_at) : <State state={job.state} />}
          {job.tiles_failed > 0 && (
            <span class="state ask">
              {job.tiles_failed} failed {job.tiles_failed === 1 ? "tile" : "tiles"}
            </span>
          )}
          {job.reused && <span class="state idle">reused</span>}
        </span>
        {children}
      </span>
    </a>
  );
}
