// All results, newest first, as cards.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../../api/http";
import type { Job, Jobs } from "../../api/types";
import { jobList, jobs, list, trouble } from "../../live";
import { Button, Empty, Failure, Field, Head, LinkButton, Loading } from "../../parts/basics";
import { link, note } from "../../router";
import { many } from "../../format";
import { canBeSeen } from "../../jobs";
import { ResultCard } from "../../parts/result-card";

const PAGE = 60;

export function ResultsList({ query }: { query: URLSearchParams }): JSX.Element {
  const wanted = query.get("find") ?? "";
  const older = useOlder();
  const live = jobList.value;
  const known = new Set(live.map((job) => job.id));
  const all = [...live, ...older.jobs.filter((job) => !known.has(job.id))];
  const there = all.filter(canBeSeen);
  const shown = there.filter((job) => fits(job, wanted));
  return (
    <>
      <Head
        title="Results"
        about="The cells of your finished jobs, and what is there of running ones."
      />
      {trouble.value && <Failure error={trouble.value} onRetry={() => void list()} />}
      {jobs.value === null && !trouble.value && <Loading label="Loading your jobs" rows={5} />}
      {jobs.value && there.length === 0 && !older.next && <NothingYet />}
      {there.length > 0 && <Search wanted={wanted} found={shown.length} of={there.length} />}
      {there.length > 0 && shown.length === 0 && (
        <Empty
          icon="search"
          title={`Nothing of “${wanted}”`}
          action={<Button onClick={() => note(["results"])}>Show all</Button>}
        >
          Slides, engines, branches and job ids are searched.
        </Empty>
      )}
      <ul class="result-cards">
        {shown.map((job) => (
          <li key={job.id}>
            <ResultCard job={job} />
          </li>
        ))}
      </ul>
      {older.error && <Failure error={older.error} onRetry={() => void older.more()} />}
      {jobs.value && older.next !== null && live.length >= PAGE && (
        <div class="row centred results-more">
          <Button onClick={() => void older.more()} disabled={older.isBusy}>
            Show older ones
          </Button>
        </div>
      )}
    </>
  );
}

function Search(props: { wanted: string; found: number; of: number }): JSX.Element {
  const { wanted, found, of } = props;
  return (
    <div class="results-search">
      <Field label="Find">
        {(ids) => (
          <input
            {...ids}
            type="search"
            value={wanted}
            placeholder="slide, engine, branch or job"
            onInput={(event) => note(["results"], { find: event.currentTarget.value })}
          />
        )}
      </Field>
      <p class="muted small" role="status">
        {found === of ? many(of, "result") : `${found} of ${of} results`}
      </p>
    </div>
  );
}

function NothingYet(): JSX.Element {
  return (
    <Empty
      icon="results"
      title="No results yet"
      action={
        <LinkButton href={link(["new"])} kind="primary" icon="workflow">
          New workflow
        </LinkButton>
      }
    >
      When a job has found its cells, they are here: counts, measurements, pictures and files for
      QuPath, napari and pandas.
    </Empty>
  );
}

function fits(job: Job, wanted: string): boolean {
  const text = `${job.slide} ${job.engine ?? job.kind} ${job.branch} ${job.id}`.toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

interface Older {
  jobs: Job[];
  /** `undefined`: the first page was not asked for; null: that was the last. */
  next: string | null | undefined;
  error: ApiError | null;
  isBusy: boolean;
  more: () => Promise<void>;
}

/** What ended long ago, page by page, when it is asked for. */
function useOlder(): Older {
  const [found, setFound] = useState<Job[]>([]);
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const [error, setError] = useState<ApiError | null>(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    if (jobs.value && jobList.value.length < PAGE) setNext(null);
  }, [jobs.value]);
  const more = async () => {
    setBusy(true);
    setError(null);
    try {
      const page: Jobs = await ask("/jobs", { query: { open: false, limit: 200, cursor: next } });
      setFound((old) => [...old, ...page.jobs]);
      setNext(page.next);
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  };
  return { jobs: found, next, error, isBusy, more };
}
