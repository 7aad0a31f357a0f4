// One job's results.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, url } from "../../api/http";
import type { Job } from "../../api/types";
import { count, time } from "../../format";
import { hasEnded, jobs, take } from "../../live";
import { Button, Empty, Failure, Head, LinkButton, Loading, Notice } from "../../parts/basics";
import { confirmed, say, tried } from "../../parts/dialog";
import { useLoad } from "../../parts/load";
import { go, link } from "../../router";
import { mayChange } from "../../session";
import { isSegmentation } from "./card";
import { Compare } from "./compare";
import { DensityPlot } from "./density";
import { Downloads } from "./downloads";
import { Headline } from "./headline";
import { MeasuresSection } from "./measures";
import { Provenance } from "./provenance";
import type { Manifest, Measures } from "./types";

export function JobResults({ id, query }: { id: string; query: URLSearchParams }): JSX.Element {
  const asked = useLoad<Job>(`/jobs/${id}`);
  const job = jobs.value?.get(id) ?? asked.data;
  if (!job) {
    return asked.error ? (
      <>
        <Head title="Results" />
        <Failure error={asked.error} onRetry={asked.again} />
      </>
    ) : (
      <Loading label="Loading the job" rows={5} />
    );
  }
  return (
    <div class="stack results-page">
      <Title job={job} />
      {job.results_deleted_at ? (
        <Gone job={job} />
      ) : job.state === "succeeded" ? (
        <Finished job={job} query={query} />
      ) : (
        <Unfinished job={job} query={query} />
      )}
    </div>
  );
}

function Title({ job }: { job: Job }): JSX.Element {
  const isThere = job.state === "succeeded" && !job.results_deleted_at;
  const canBeSeen = isThere || (!hasEnded(job) && isSegmentation(job) && job.cells > 0);
  return (
    <Head
      title={job.slide}
      about={
        <>
          <a href={link(["results"])}>Results</a> ·{" "}
          {isSegmentation(job) ? `cells by ${job.engine}` : "tissue mask"} · branch {job.branch} ·{" "}
          {job.ended_at ? time(job.ended_at) : "running"} · <span class="mono">{job.id}</span>
        </>
      }
    >
      {canBeSeen && (
        <LinkButton href={link(["view", job.id])} icon="view" kind="primary">
          Open the viewer
        </LinkButton>
      )}
      {canBeSeen && (
        <Button icon="download" onClick={toDownloads}>
          Downloads
        </Button>
      )}
      {isThere && isSegmentation(job) && (
        <LinkButton href={link(["review", job.id])} icon="review">
          Quality check
        </LinkButton>
      )}
      {isThere && (
        <LinkButton href={url(`/jobs/${job.id}/report`)} icon="log" newTab label="Opens a new tab">
          Report
        </LinkButton>
      )}
      {isThere && mayChange.value && (
        <Button
          icon="trash"
          kind="danger"
          label="Delete results"
          onClick={() => void remove(job)}
        />
      )}
    </Head>
  );
}

/** They are far below. */
function toDownloads(): void {
  const head = document.getElementById("downloads-head");
  head?.scrollIntoView({ block: "start" });
  head?.focus({ preventScroll: true });
}

async function remove(job: Job): Promise<void> {
  const isWanted = await confirmed(
    "Delete these results?",
    <p>
      The cells, pictures and quality checks of <strong>{job.slide}</strong> ({job.id},{" "}
      {count(job.cells)} cells) are deleted for good. The slide stays; the job can be run again.
    </p>,
    "Delete results",
  );
  if (!isWanted) return;
  const isDone = await tried(async () => {
    await ask(`/jobs/${job.id}/results`, { method: "DELETE" });
    take(await ask<Job>(`/jobs/${job.id}`));
  });
  if (!isDone) return;
  say("The results are deleted.");
  go(["results"]);
}

function Gone({ job }: { job: Job }): JSX.Element {
  return (
    <Empty
      icon="trash"
      title="These results were deleted"
      action={<LinkButton href={link(["new"])}>Run it again</LinkButton>}
    >
      On {time(job.results_deleted_at)}. The job itself is kept, with its log.
    </Empty>
  );
}

interface PartProps {
  job: Job;
  query: URLSearchParams;
}

function Finished({ job, query }: PartProps): JSX.Element {
  const manifest = useLoad<Manifest>(`/jobs/${job.id}/results/manifest.json`);
  const measures = useLoad<Measures>(isSegmentation(job) ? `/jobs/${job.id}/measures` : null);
  return (
    <>
      <Headline job={job} manifest={manifest.data} measures={measures.data} />
      {isSegmentation(job) && (
        <>
          {measures.error && <Failure error={measures.error} onRetry={measures.again} />}
          {!measures.data && !measures.error && (
            <Loading label="Loading the measurements" rows={6} />
          )}
          {measures.data && <Distributions job={job} measures={measures.data} query={query} />}
          <Compare job={job} query={query} />
        </>
      )}
      <div class="results-pair">
        {manifest.error && <Failure error={manifest.error} onRetry={manifest.again} />}
        {!manifest.data && !manifest.error && <Loading label="Loading the provenance" rows={8} />}
        {manifest.data && <Provenance manifest={manifest.data} />}
        <Downloads job={job.id} />
      </div>
    </>
  );
}

function Distributions(props: PartProps & { measures: Measures }): JSX.Element {
  const { job, measures, query } = props;
  if (measures.cells === 0) {
    return (
      <Empty icon="info" title="No cells were found">
        There is nothing to be measured. The tissue mask and the engine's threshold are what to look
        at first.
      </Empty>
    );
  }
  return (
    <>
      <MeasuresSection measures={measures} />
      <DensityPlot job={job.id} measures={measures.measures} query={query} />
    </>
  );
}

/** A job that runs, failed or was cancelled: what there is of it so far. */
function Unfinished({ job, query }: PartProps): JSX.Element {
  const hasCells = isSegmentation(job) && !hasEnded(job) && job.cells > 0;
  const measures = useLoad<Measures>(hasCells ? `/jobs/${job.id}/measures` : null);
  const [chunks, setChunks] = useState(job.chunks_done);
  useEffect(() => {
    if (job.chunks_done === chunks) return;
    const soon = setTimeout(() => {
      setChunks(job.chunks_done);
      measures.again();
    }, 3000);
    return () => clearTimeout(soon);
  }, [job.chunks_done, chunks]);
  const queue = <LinkButton href={link(["queue"])}>To the queue</LinkButton>;
  if (!hasCells) {
    return (
      <Empty icon="info" title={`No results: ${job.why.sentence}`} action={queue}>
        {job.failure ? job.failure.remedy : "They are here as soon as the first cells are found."}
      </Empty>
    );
  }
  return (
    <>
      <Notice>
        <div class="row apart">
          <span>
            <strong>This job is still at work:</strong> {job.why.sentence}. All numbers are of the
            cells that cannot change any more.
          </span>
          {queue}
        </div>
      </Notice>
      <Headline job={job} manifest={null} measures={measures.data} />
      {measures.error && <Failure error={measures.error} onRetry={measures.again} />}
      {measures.data && <Distributions job={job} measures={measures.data} query={query} />}
      <Downloads job={job.id} />
    </>
  );
}
