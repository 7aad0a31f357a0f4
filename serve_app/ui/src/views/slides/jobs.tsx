// What was made from a slide: its jobs and their results.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Job, Jobs, Results, Slide } from "../../api/types";
import { bytes, count, percent, time } from "../../format";
import { jobList } from "../../live";
import { Button, Failure, LinkButton, Loading, Progress, State } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { link } from "../../router";
import { mayChange } from "../../session";

const LOOKED_AT = 200;

export function SlideJobs({ slide }: { slide: Slide }): JSX.Element {
  const older = useLoad<Jobs>("/jobs", { slide: slide.name, limit: LOOKED_AT });
  const isOf = (job: Job) => job.slide_id === slide.id;
  const all = new Map(
    (older.data?.jobs as Job[] | undefined)?.filter(isOf).map((job) => [job.id, job]),
  );
  for (const job of jobList.value.filter(isOf)) all.set(job.id, job); // these are as of now
  const jobs = [...all.values()].sort((a, b) => b.submitted_at.localeCompare(a.submitted_at));
  return (
    <section class="slide-jobs" aria-labelledby="slide-jobs">
      <h2 id="slide-jobs">Jobs and results</h2>
      {older.error && <Failure error={older.error} onRetry={older.again} />}
      {jobs.length === 0 && !older.error && (
        <p class="muted">
          {older.data === null ? "Looking for jobs." : "Nothing was made from this slide yet."}{" "}
          {older.data !== null && mayChange.value && slide.state === "ready" && (
            <a href={link(["new"], { slide: slide.id })}>Segment its cells</a>
          )}
        </p>
      )}
      {jobs.map((job) => (
        <OneJob key={job.id} job={job} />
      ))}
    </section>
  );
}

function OneJob({ job }: { job: Job }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const hasResults = job.state === "succeeded" && !job.results_deleted_at;
  const isOn = job.started_at !== null && job.ended_at === null;
  const share = job.tiles_total ? job.tiles_done / job.tiles_total : null;
  return (
    <article class="card slide-job">
      <div class="slide-job-text">
        <span class="row">
          <strong>{job.kind.replaceAll("_", " ")}</strong>
          {job.engine && <span class="muted">{job.engine}</span>}
          <State state={job.state} />
        </span>
        <span class="small muted">
          {saidOf(job, share)} · branch {job.branch} · {time(job.submitted_at)}
        </span>
      </div>
      <div class="row">
        {(hasResults || isOn) && (
          <LinkButton href={link(["view", job.id])} icon="view">
            View
          </LinkButton>
        )}
        {hasResults && (
          <>
            <LinkButton href={link(["results", job.id])} icon="results">
              Results
            </LinkButton>
            <LinkButton href={link(["review", job.id])} icon="review">
              Quality check
            </LinkButton>
            <Button icon="download" pressed={isOpen} onClick={() => setOpen(!isOpen)}>
              Files
            </Button>
          </>
        )}
      </div>
      {isOn && <Progress value={share} label={`Progress of ${job.id}`} />}
      {isOpen && <Files job={job} />}
    </article>
  );
}

function saidOf(job: Job, share: number | null): string {
  if (job.results_deleted_at) return "its results were deleted";
  if (job.failure) return job.failure.message;
  if (job.state === "succeeded") return `${count(job.cells)} cells`;
  if (job.started_at && !job.ended_at && share !== null) {
    return `${percent(share)}, ${count(job.cells)} cells so far`;
  }
  return job.why.sentence;
}

function Files({ job }: { job: Job }): JSX.Element {
  const { data, error, again } = useLoad<Results>(`/jobs/${job.id}/results`);
  if (error) return <Failure error={error} onRetry={again} />;
  if (!data) return <Loading rows={2} />;
  const zip = data.zip;
  return (
    <ul class="slide-files">
      {zip && (
        <li>
          <a href={zip.href} download>
            Everything as one zip
          </a>
          <span class="muted number">{bytes(zip.size_bytes)}</span>
        </li>
      )}
      {data.exports.map((each) => (
        <li key={each.href}>
          <a href={each.href} download>
            {each.name.replace(job.id, "")}
          </a>
          <span class="muted number">
            {each.exact ? "" : "about "}
            {bytes(each.size_bytes)}
          </span>
        </li>
      ))}
      {data.files.length > 0 && (
        <li>
          <a href={link(["results", job.id])}>
            {count(data.files.length)} {data.files.length === 1 ? "file" : "files"} one by one
          </a>
        </li>
      )}
    </ul>
  );
}
