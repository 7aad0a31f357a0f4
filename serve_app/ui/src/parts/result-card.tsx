import type { ComponentChildren, JSX } from "preact";
import type { Job } from "../api/types";
import { count, time } from "../format";
import { isSegmentation } from "../jobs";
import { State } from "./basics";
import { failedTiles } from "./failed-tiles";
import { JobPicture } from "./job-picture";
import { link } from "../router";
import "./result-card.css";

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
          {job.tiles_failed > 0 && <span class="state ask">{failedTiles(job)}</span>}
          {job.reused && <span class="state idle">reused</span>}
        </span>
        {children}
      </span>
    </a>
  );
}
