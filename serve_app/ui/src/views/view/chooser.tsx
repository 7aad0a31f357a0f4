// No job is chosen yet: the newest are offered, each with its slide.
import type { JSX } from "preact";
import { API, url } from "../../api/http";
import type { Job, Slides } from "../../api/types";
import { count, percent, time } from "../../format";
import { Empty, Failure, Head, LinkButton, Loading, Progress, State } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { hasEnded, jobList, jobs, trouble, list } from "../../live";
import { link } from "../../router";

const MOST = 24;

export function Chooser(): JSX.Element {
  if (trouble.value && !jobs.value) {
    return (
      <div class="viewer-chooser">
        <Failure error={trouble.value} onRetry={() => void list()} />
      </div>
    );
  }
  if (!jobs.value) return <Loading rows={4} label="Looking for your jobs" />;
  const shown = jobList.value.filter(hasSomething).slice(0, MOST);
  return (
    <div class="viewer-chooser">
      <Head
        title="Viewer"
        about="Choose a job to see its cells on its slide, also while it runs."
      />
      {shown.length ? (
        <ul class="viewer-cards">
          {shown.map((job) => (
            <JobTile key={job.id} job={job} />
          ))}
        </ul>
      ) : (
        <Empty
          icon="view"
          title="No jobs yet"
          action={
            <>
              <LinkButton href={link(["new"])} kind="primary" icon="workflow">
                New workflow
              </LinkButton>
              <LinkButton href={link(["slides"])}>Slides</LinkButton>
            </>
          }
        >
          When a job runs, its cells appear here on the slide as they are found.
        </Empty>
      )}
      <SlideTiles />
    </div>
  );
}

/** What failed or was cancelled before its first cell has nothing to be looked at. */
const hasSomething = (job: Job): boolean =>
  !job.results_deleted_at && (!hasEnded(job) || job.state === "succeeded" || job.cells > 0);

function JobTile({ job }: { job: Job }): JSX.Element {
  const share = job.tiles_total ? job.tiles_done / job.tiles_total : null;
  return (
    <li>
      <a class="viewer-card card" href={link(["view", job.id])}>
        <Picture address={`${API}/jobs/${job.id}/tiles/0/0/0`} />
        <div class="viewer-card-text">
          <strong class="truncate" title={job.slide}>
            {job.slide}
          </strong>
          <div class="row apart">
            <State state={job.state} />
            <span class="small muted">{time(job.ended_at ?? job.submitted_at)}</span>
          </div>
          {hasEnded(job) ? (
            <span class="small muted truncate">
              {job.kind === "tissue_mask" ? "tissue mask" : `${count(job.cells)} cells`} · branch{" "}
              {job.branch}
            </span>
          ) : job.question ? (
            <span class="small muted">It waits for your answer in the queue.</span>
          ) : (
            <>
              <Progress value={share} label={`Progress of ${job.id}`} />
              <span class="small muted">
                {count(job.cells)} cells{share !== null && ` · ${percent(share)}`}
              </span>
            </>
          )}
        </div>
      </a>
    </li>
  );
}

function SlideTiles(): JSX.Element | null {
  const { data } = useLoad<Slides>("/slides", { limit: 12 });
  const ready = data?.slides.filter((slide) => slide.state === "ready") ?? [];
  if (!ready.length) return null;
  return (
    <>
      <h2>Your slides, without cells</h2>
      <ul class="viewer-cards">
        {ready.map((slide) => (
          <li key={slide.id}>
            <a class="viewer-card card" href={link(["view"], { slide: slide.id })}>
              <Picture address={url(`/slides/${slide.id}/tiles/0/0/0`)} />
              <div class="viewer-card-text">
                <strong class="truncate" title={slide.name}>
                  {slide.name}
                </strong>
                <span class="small muted">
                  {count(slide.width ?? 0)} × {count(slide.height ?? 0)} px
                </span>
              </div>
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}

/** A picture that leaves its place empty where there is none. */
function Picture({ address }: { address: string }): JSX.Element {
  const hide = (event: Event) => ((event.currentTarget as HTMLElement).hidden = true);
  return (
    <span class="viewer-picture">
      <img src={address} alt="" loading="lazy" onError={hide} />
    </span>
  );
}
