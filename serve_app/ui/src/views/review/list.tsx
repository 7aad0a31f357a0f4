// Which result to check.
import type { JSX } from "preact";
import { jobList, jobs, list, trouble } from "../../live";
import { Empty, Failure, Head, LinkButton, Loading } from "../../parts/basics";
import { link } from "../../router";
import { canBeChecked } from "../../jobs";
import { ResultCard } from "../../parts/result-card";

export function ReviewList(): JSX.Element {
  const there = jobList.value.filter(canBeChecked);
  return (
    <>
      <Head
        title="Quality check"
        about="Judge a random sample of cells or tiles; it tells how many of all are right."
      />
      {trouble.value && <Failure error={trouble.value} onRetry={() => void list()} />}
      {jobs.value === null && !trouble.value && <Loading label="Loading your jobs" rows={5} />}
      {jobs.value && there.length === 0 && (
        <Empty
          icon="review"
          title="Nothing to check yet"
          action={
            <LinkButton href={link(["new"])} kind="primary" icon="workflow">
              New workflow
            </LinkButton>
          }
        >
          A result can be checked once its job has ended and has found cells.
        </Empty>
      )}
      {there.length > 0 && <h2 class="review-which">Which result?</h2>}
      <ul class="result-cards">
        {there.map((job) => (
          <li key={job.id}>
            <ResultCard job={job} to={link(["review", job.id])} />
          </li>
        ))}
      </ul>
    </>
  );
}
