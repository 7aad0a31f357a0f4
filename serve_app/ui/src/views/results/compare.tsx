// Two results of one slide, in numbers.
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Diff, Job, Jobs } from "../../api/types";
import { url } from "../../api/http";
import { count, number, percent, time, words } from "../../format";
import { hasResults, isSegmentation } from "../../jobs";
import { jobList } from "../../live";
import { Failure, Field, LinkButton, Loading } from "../../parts/basics";
import { Changes } from "../../parts/changes";
import { useLoad } from "../../parts/load";
import { link, note } from "../../router";

export function Compare({ job, query }: { job: Job; query: URLSearchParams }): JSX.Element {
  const { others, error, again } = useOthers(job);
  const other = others?.find((each) => each.id === query.get("with"));
  const choose = (id: string) =>
    note(["results", job.id], { ...Object.fromEntries(query), with: id });
  return (
    <section class="card stack" aria-labelledby="compare-head">
      <header class="row apart">
        <div>
          <h2 id="compare-head">Compare</h2>
          <p class="muted small">With another result of {job.slide}.</p>
        </div>
        {other && (
          <div class="row">
            <LinkButton href={link(["view", job.id, other.id])} icon="split">
              Side by side
            </LinkButton>
            <LinkButton href={url(`/jobs/${job.id}/diff/${other.id}/page`)} icon="log" newTab>
              Report of the difference
            </LinkButton>
          </div>
        )}
      </header>
      {error && <Failure error={error} onRetry={again} />}
      {others?.length === 0 && (
        <p class="muted">
          There is no other result of this slide yet: run it again with other parameters, on a
          branch of its own.
        </p>
      )}
      {others && others.length > 0 && (
        <Field label="Other result">
          {(ids) => (
            <select
              {...ids}
              class="compare-which"
              value={other?.id ?? ""}
              onChange={(event) => choose(event.currentTarget.value)}
            >
              <option value="">Choose one …</option>
              {others.map((each) => (
                <option key={each.id} value={each.id}>
                  {named(each)}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {other && <Numbers key={other.id} job={job} other={other} />}
    </section>
  );
}

/** The other results of its slide, also one that comes while one looks; undefined: not known yet. */
function useOthers(job: Job) {
  const found = useLoad<Jobs>("/jobs", {
    slide: job.slide,
    state: "succeeded",
    kind: job.kind,
    limit: 100,
  });
  const ended = jobList.value.filter((each) => each.state === "succeeded").length;
  useEffect(() => {
    if (found.data) found.again();
  }, [ended]);
  const others = (found.data?.jobs as Job[] | undefined)?.filter(
    (each) =>
      each.id !== job.id && each.slide === job.slide && isSegmentation(each) && hasResults(each),
  );
  return { others, error: found.error, again: found.again };
}

const named = (job: Job) =>
  `${job.branch}, ${job.engine}, ${count(job.cells)} cells, ${time(job.ended_at)} (${job.id})`;

function Numbers({ job, other }: { job: Job; other: Job }): JSX.Element {
  const { data, error, again } = useLoad<Diff>(`/jobs/${job.id}/diff/${other.id}`);
  if (error) return <Failure error={error} onRetry={again} />;
  if (!data) return <Loading label="Comparing the cells" rows={4} />;
  const all = Math.max(data.lost + data.matched + data.gained, 1);
  const parts = [
    ["only in this one", data.lost, 1],
    ["in both", data.matched, 3],
    ["only in the other", data.gained, 2],
  ] as const;
  return (
    <div class="stack">
      <div class="timings-bar tall" aria-hidden="true">
        {parts.map(([name, cells, tone]) => (
          <span key={name} class={`tone-${tone}`} style={{ flexGrow: cells / all }} />
        ))}
      </div>
      <ul class="legend">
        {parts.map(([name, cells, tone]) => (
          <li key={name} class={`tone-${tone}`}>
            <strong>{count(cells)}</strong> {name}
          </li>
        ))}
        <li class="plain">
          F1 <strong>{number(data.f1["0.5"])}</strong> at IoU 0.5
        </li>
        <li class="plain">
          mean IoU <strong>{number(data.mean_iou)}</strong>
        </li>
        <li class="plain">
          <strong>{percent(data.matched / all, 1)}</strong> are in both
        </li>
      </ul>
      <div class="results-pair">
        <Differing diff={data} />
        <div>
          <h3>How cells that are in both have changed</h3>
          <Changes diff={data} />
        </div>
      </div>
    </div>
  );
}

function Differing({ diff }: { diff: Diff }): JSX.Element {
  const text = (value: unknown) => (value == null ? "automatic" : String(value));
  return (
    <div>
      <h3>What was set otherwise</h3>
      {diff.differing.length === 0 && <p class="muted">Nothing: both were made alike.</p>}
      <table class="table" hidden={diff.differing.length === 0}>
        <thead>
          <tr>
            <th scope="col">Setting</th>
            <th scope="col">This one</th>
            <th scope="col">The other</th>
          </tr>
        </thead>
        <tbody>
          {diff.differing.map((each) => (
            <tr key={each.setting}>
              <td>{words(each.setting.split(".").at(-1) ?? each.setting)}</td>
              <td>{text(each.first)}</td>
              <td>{text(each.second)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
