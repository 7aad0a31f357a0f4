// Jobs that have ended, also long ago: a table that is asked for page by page.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError, ask, type ApiError } from "../../api/http";
import type { Job, Jobs } from "../../api/types";
import { count, duration, time } from "../../format";
import { hasEnded, jobList, jobs } from "../../live";
import { Button, Empty, Failure, LinkButton, Loading, State } from "../../parts/basics";
import { link } from "../../router";
import { engineOf, seconds } from "./card";
import { Filters, isFiltered } from "./filters";
import { groups } from "./group";
import { nameOf, useNames } from "./names";
import { jobLink } from "./places";

const PAGE = 50;
const TYPING_MS = 250;
const EMPTY_PAGES_MOST = 20;

interface Past {
  jobs: Job[];
  next: string | null;
  error: ApiError | null;
  busy: boolean;
  /** Those that had ended when this was asked for. */
  known: ReadonlySet<string>;
}

const NOTHING: Past = { jobs: [], next: null, error: null, busy: true, known: new Set() };

export function History({ query }: { query: URLSearchParams }): JSX.Element {
  const { past, more, again } = usePast(query);
  useNames([...new Set(past.jobs.map((job) => job.workflow))]);
  const fresh = jobList.value.filter((job) => hasEnded(job) && !past.known.has(job.id)).length;
  const isNew = fresh > 0 && !past.busy && !isFiltered(query) && jobs.value !== null;
  return (
    <>
      <Filters query={query} groups={groups.value} history />
      {isNew && (
        <p class="q-fresh">
          <Button icon="retry" onClick={again}>
            {`${count(fresh)} more have ended: show`}
          </Button>
        </p>
      )}
      {past.error && <Failure error={past.error} onRetry={again} />}
      {past.jobs.length > 0 && <Table rows={past.jobs} />}
      {past.busy && <Loading rows={past.jobs.length ? 1 : 5} />}
      {!past.busy && !past.error && past.jobs.length === 0 && (
        <Empty icon="log" title={isFiltered(query) ? "No ended job fits" : "No job has ended yet"}>
          {isFiltered(query)
            ? "Change the filters above to see others."
            : "Jobs stay here after they end, also those that you clear from the queue."}
        </Empty>
      )}
      {past.next && !past.busy && (
        <p class="q-fresh">
          <Button onClick={more}>Show older</Button>
        </p>
      )}
    </>
  );
}

function usePast(query: URLSearchParams): { past: Past; more: () => void; again: () => void } {
  const [past, set] = useState<Past>(NOTHING);
  const [turn, setTurn] = useState(0);
  const wanted = Object.fromEntries(
    ["workflow", "branch", "state", "slide"].map((name) => [name, query.get(name) || null]),
  );
  const key = JSON.stringify(wanted);
  const current = useRef("");
  const read = async (cursor: string | null, before: Job[]) => {
    const of = (current.current = `${key}/${turn}`);
    const ended = cursor
      ? past.known
      : new Set(jobList.value.filter(hasEnded).map((job) => job.id));
    try {
      const found = await pageOf(wanted, cursor);
      if (current.current !== of) return;
      const all = [...before, ...found.jobs];
      const known = new Set([...ended, ...all.map((job) => job.id)]);
      set({ jobs: all, next: found.next, error: null, busy: false, known });
    } catch (thrown) {
      if (current.current !== of) return;
      set((old) => ({ ...old, error: asApiError(thrown), busy: false }));
    }
  };
  useEffect(() => {
    set((old) => ({ ...old, busy: true }));
    const timer = setTimeout(() => void read(null, []), wanted.slide ? TYPING_MS : 0);
    return () => {
      clearTimeout(timer);
      current.current = "";
    };
  }, [key, turn]);
  const more = () => {
    set((old) => ({ ...old, busy: true, error: null }));
    void read(past.next, past.jobs);
  };
  return { past, more, again: () => setTurn((old) => old + 1) };
}

/** One page; where few fit, the service answers with empty ones that lead on. */
async function pageOf(wanted: Record<string, string | null>, from: string | null): Promise<Jobs> {
  let cursor = from;
  const found: Job[] = [];
  for (let page = 0; ; page++) {
    const query = { ...wanted, open: false, limit: PAGE, cursor };
    const answer = await ask<Jobs>("/jobs", { query });
    found.push(...answer.jobs);
    cursor = answer.next;
    if (!cursor || found.length > 0 || page >= EMPTY_PAGES_MOST) break;
  }
  return { jobs: found, next: cursor };
}

function Table({ rows }: { rows: Job[] }): JSX.Element {
  return (
    <div class="card q-history scroll" tabIndex={0} role="region" aria-label="Ended jobs">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Slide</th>
            <th scope="col">Workflow, branch</th>
            <th scope="col" class="q-wide">
              Engine
            </th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Cells
            </th>
            <th scope="col" class="number q-wide">
              Took
            </th>
            <th scope="col">Ended</th>
            <th scope="col">
              <span class="unseen">Open</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((job) => (
            <Row key={job.id} job={job} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ job }: { job: Job }): JSX.Element {
  const hasResults = job.state === "succeeded" && !job.results_deleted_at;
  const hasCells = job.state === "succeeded" && job.kind === "cell_segmentation";
  const took = job.started_at && job.ended_at ? seconds(job.started_at, job.ended_at) : null;
  return (
    <tr>
      <td class="q-cell">
        <a class="truncate" href={jobLink(job.id)} title={job.slide}>
          {job.slide}
        </a>
      </td>
      <td class="q-cell">
        <span class="truncate" title={nameOf(job.workflow)}>
          {nameOf(job.workflow)}
          <span class="muted">{` · ${job.branch}`}</span>
        </span>
      </td>
      <td class="q-wide">{engineOf(job)}</td>
      <td>
        <State state={job.state} />
        {job.results_deleted_at && <span class="muted small"> results deleted</span>}
      </td>
      <td class="number">{job.cells || hasCells ? count(job.cells) : "–"}</td>
      <td class="number q-wide">{duration(took)}</td>
      <td class="q-ended">{time(job.ended_at)}</td>
      <td class="q-links">
        {hasResults && (
          <>
            <LinkButton href={link(["view", job.id])} icon="view" kind="quiet" label="Viewer" />
            <LinkButton
              href={link(["results", job.id])}
              icon="results"
              kind="quiet"
              label="Results"
            />
          </>
        )}
        {job.started_at && (
          <LinkButton href={jobLink(job.id, "log")} icon="log" kind="quiet" label="Log" />
        )}
      </td>
    </tr>
  );
}
