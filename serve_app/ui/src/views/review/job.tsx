// The quality check of one job: begin it, go on with it, or look at what it says.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { asApiError, ask, url, type ApiError } from "../../api/http";
import type { Job } from "../../api/types";
import { hasEnded } from "../../jobs";
import { jobs } from "../../live";
import { Button, Empty, Failure, Head, LinkButton, Loading } from "../../parts/basics";
import { confirmed, say, tried } from "../../parts/dialog";
import { useLoad } from "../../parts/load";
import { link, note } from "../../router";
import { mayChange } from "../../session";
import { Answers } from "./answers";
import { Begin } from "./begin";
import { Judge } from "./judge";
import { Summary } from "./summary";
import type { Review } from "./types";

export function ReviewJob({ id, query }: { id: string; query: URLSearchParams }): JSX.Element {
  const asked = useLoad<Job>(`/jobs/${id}`);
  const job = jobs.value?.get(id) ?? asked.data;
  const { review, error, again, set } = useReview(job ? id : null);
  const failed = asked.error && !job ? asked.error : error;
  if (failed) {
    const retry = job ? again : asked.again;
    return (
      <>
        <Head title="Quality check" />
        <Failure error={failed} onRetry={retry} />
      </>
    );
  }
  if (!job || review === undefined) return <Loading label="Loading the quality check" rows={5} />;
  if (review === null) return <NotBegun job={job} onBegun={set} />;
  return (
    <Going
      key={`${review.begun_at} ${review.seed}`}
      job={job}
      review={review}
      query={query}
      onGone={() => set(null)}
    />
  );
}

interface Found {
  /** `undefined`: not known yet; null: there is none. */
  review: Review | null | undefined;
  error: ApiError | null;
  again: () => void;
  set: (review: Review | null) => void;
}

function useReview(job: string | null): Found {
  const [review, setReview] = useState<Review | null | undefined>(undefined);
  const [error, setError] = useState<ApiError | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (job === null) return;
    const stop = new AbortController();
    setError(null);
    ask<Review | null>(`/jobs/${job}/review`, { signal: stop.signal }).then(setReview, (thrown) => {
      if (!stop.signal.aborted) setError(asApiError(thrown));
    });
    return () => stop.abort();
  }, [job, turn]);
  return { review, error, again: () => setTurn((old) => old + 1), set: setReview };
}

function NotBegun({ job, onBegun }: { job: Job; onBegun: (review: Review) => void }): JSX.Element {
  if (job.state !== "succeeded" || job.results_deleted_at || job.cells === 0) {
    return (
      <>
        <Head title="Quality check" about={job.slide} />
        <Empty
          icon="review"
          title={hasEnded(job) ? "This job has nothing to check" : "Nothing to check yet"}
          action={<LinkButton href={link(["review"])}>Choose another result</LinkButton>}
        >
          {job.results_deleted_at ? "Its results were deleted." : job.why.sentence}
        </Empty>
      </>
    );
  }
  if (!mayChange.value) {
    return (
      <>
        <Head title="Quality check" about={job.slide} />
        <Empty icon="review" title="Not begun">
          Your key may only read. A quality check needs one that may change things.
        </Empty>
      </>
    );
  }
  return <Begin job={job} onBegun={onBegun} />;
}

interface GoingProps {
  job: Job;
  review: Review;
  query: URLSearchParams;
  onGone: () => void;
}

function Going({ job, review, query, onGone }: GoingProps): JSX.Element {
  const answers = useMemo(() => new Answers(job.id, review), []);
  useEffect(() => () => answers.close(), [answers]);
  useWarning(answers.pending.value.length > 0);
  const all = answers.items.value.length;
  const isDone = answers.answered.value === all;
  const wanted = query.get("show");
  const isSummary = wanted === "summary" || (isDone && wanted !== "items");
  const number = Number(query.get("item")) || null;
  const show = (view: "summary" | "items", item?: number) =>
    note(["review", job.id], { show: view, item });
  return (
    <div class="review-page">
      <Head
        title="Quality check"
        about={
          <>
            <a href={link(["results", job.id])}>{job.slide}</a> · {job.engine} · branch {job.branch}
          </>
        }
      >
        {isSummary ? (
          <Button icon="review" kind={isDone ? "plain" : "primary"} onClick={() => show("items")}>
            {isDone ? "Look at them again" : "Go on"}
          </Button>
        ) : (
          <Button icon="results" onClick={() => show("summary")}>
            Summary
          </Button>
        )}
        <Exports job={job.id} />
        {mayChange.value && (
          <Button icon="rotate" kind="danger" onClick={() => void beginAnew(answers, onGone)}>
            Begin anew
          </Button>
        )}
      </Head>
      <Saving answers={answers} />
      {isSummary ? (
        <Summary answers={answers} onItem={(item) => show("items", item)} />
      ) : (
        <Judge
          answers={answers}
          number={number}
          onItem={(item) => show("items", item)}
          onDone={() => show("summary")}
        />
      )}
    </div>
  );
}

function Exports({ job }: { job: string }): JSX.Element {
  const href = (format: string) => url(`/jobs/${job}/review/export`, { format });
  return (
    <>
      <LinkButton href={href("csv")} icon="download" download>
        CSV
      </LinkButton>
      <LinkButton href={href("json")} icon="download" download>
        JSON
      </LinkButton>
    </>
  );
}

async function beginAnew(answers: Answers, onGone: () => void): Promise<void> {
  const isWanted = await confirmed(
    "Begin this quality check anew?",
    <p>
      Its {answers.answered.value} answers are deleted for good. Export them first if they are
      needed.
    </p>,
    "Delete the answers",
  );
  if (!isWanted) return;
  const isDone = await tried(() => ask(`/jobs/${answers.job}/review`, { method: "DELETE" }));
  if (!isDone) return;
  answers.forget();
  note(["review", answers.job]);
  say("The quality check is deleted; begin another one.");
  onGone();
}

/** Leaving the page with answers that are not saved is asked about by the browser itself. */
function useWarning(isWanted: boolean): void {
  useEffect(() => {
    if (!isWanted) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [isWanted]);
}

/** Said only when something is wrong: usually an answer is saved before the next one is given. */
function Saving({ answers }: { answers: Answers }): JSX.Element | null {
  const error = answers.error.value;
  const many = answers.pending.value.length;
  if (!error || many === 0) return null;
  return (
    <div class="notice warn review-saving" role="alert">
      <div>
        <strong>
          {many === 1 ? "One answer is" : `${many} answers are`} not saved yet: {error.message}
        </strong>
        <p>
          {answers.refused.value
            ? `${error.remedy} They are kept in this browser.`
            : "They are kept in this browser, and sent again by themselves. Go on meanwhile."}
        </p>
      </div>
      {!answers.refused.value && (
        <Button icon="retry" onClick={() => answers.retry()}>
          Try now
        </Button>
      )}
    </div>
  );
}
