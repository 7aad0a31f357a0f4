// Everything of one job, along the right edge: facts, why, parameters, and its log.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../../api/http";
import type { Job } from "../../api/types";
import { count, duration, number, time, words } from "../../format";
import { hasEnded, isSegmentation } from "../../jobs";
import { FailedTilesAgain } from "../../parts/failed-tiles";
import { JobLinks } from "../../parts/job-links";
import { Fact } from "../../parts/facts";
import { jobs, take } from "../../live";
import { Button, Choice, Failure, Loading, State } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { go, note } from "../../router";
import { mayChange } from "../../session";
import { cancel, canRetry, retry } from "./acts";
import { Answer } from "./answer";
import { engineOf, Numbers, seconds, Thumb } from "./card";
import { useNow } from "./clock";
import { Log } from "./log";
import { nameOf, useNames } from "./names";
import { filters } from "./places";
import { Why } from "./sentence";
import { Track } from "./track";
import "./panel.css";

const TABS = [
  ["facts", "Overview"],
  ["log", "Log"],
] as const;
type Tab = (typeof TABS)[number][0];

interface Props {
  id: string;
  query: URLSearchParams;
}

export function Panel({ id, query }: Props): JSX.Element {
  const { job, error, again } = useJob(id);
  const close = () => go(["queue"], filters(query));
  const tab: Tab = query.get("tab") === "log" ? "log" : "facts";
  const turn = (to: Tab) =>
    note(["queue", id], { ...filters(query), tab: to === "log" ? to : null });
  return (
    <Dialog side title={job?.slide ?? "Job"} onClose={close}>
      {error && !job && <Failure error={error} onRetry={again} />}
      {!job && !error && <Loading rows={4} />}
      {job && (
        <div class="q-panel">
          <Summary job={job} />
          <Choice label="What to see" options={TABS} value={tab} onChange={turn} />
          {tab === "log" ? <Log key={id} job={job} /> : <Overview job={job} />}
        </div>
      )}
    </Dialog>
  );
}

/** The job as it is told live, or asked for where it is not among those. */
function useJob(id: string): { job: Job | null; error: ApiError | null; again: () => void } {
  const [asked, set] = useState<Job | null>(null);
  const [error, fail] = useState<ApiError | null>(null);
  const [turn, setTurn] = useState(0);
  const live = jobs.value?.get(id);
  const isListed = jobs.value !== null;
  useEffect(() => {
    set(null);
    fail(null);
    if (!isListed) return;
    const stop = new AbortController();
    ask<Job>(`/jobs/${encodeURIComponent(id)}`, { signal: stop.signal }).then(
      (job) => (live ? take(job) : set(job)), // its place in line may have moved since it was told
      (thrown: unknown) => !stop.signal.aborted && fail(asApiError(thrown)),
    );
    return () => stop.abort();
  }, [id, isListed, turn]);
  const job = live ?? (asked?.id === id ? asked : null);
  return { job, error, again: () => setTurn((old) => old + 1) };
}

function Summary({ job }: { job: Job }): JSX.Element {
  useNames([job.workflow]);
  return (
    <div class="q-summary">
      <Thumb job={job} />
      <div>
        <State state={job.state} />
        <p class="muted small">
          {[nameOf(job.workflow), `branch ${job.branch}`, engineOf(job)].join(" · ")}
        </p>
      </div>
    </div>
  );
}

/** A sentence that says no more than the number below it. */
const saysCellsAlone = (job: Job) => /^done: [\d,]+ cells?$/.test(job.why.sentence);

function Overview({ job }: { job: Job }): JSX.Element {
  const isBegun = job.stage !== null || job.tiles_total !== null;
  const asks = job.state === "needs_mpp";
  return (
    <>
      {asks && mayChange.value && <Answer job={job} />}
      {job.failure && job.state === "failed" && (
        <div class="notice bad">
          <div>
            <strong>{job.failure.message}</strong>
            <p>{job.failure.remedy}</p>
          </div>
        </div>
      )}
      {!(asks && mayChange.value) && job.state !== "failed" && !saysCellsAlone(job) && (
        <Why job={job} />
      )}
      {isBegun && job.state !== "succeeded" && <Track job={job} />}
      {isBegun && <Numbers job={job} />}
      <PanelActs job={job} />
      <Facts job={job} />
    </>
  );
}

function PanelActs({ job }: { job: Job }): JSX.Element {
  return (
    <div class="row">
      <JobLinks job={job} primary />
      <FailedTilesAgain job={job} />
      {mayChange.value && canRetry(job) && (
        <Button icon="retry" kind="primary" onClick={() => void retry(job)}>
          Retry
        </Button>
      )}
      {mayChange.value && !hasEnded(job) && (
        <Button
          icon="stop"
          kind="danger"
          disabled={job.state === "cancelling"}
          onClick={() => void cancel(job)}
        >
          Cancel the job
        </Button>
      )}
    </div>
  );
}

function Facts({ job }: { job: Job }): JSX.Element {
  return (
    <div class="stack">
      <Part title="Time">
        <Times job={job} />
      </Part>
      <Part title="Work">
        <dl class="facts">
          <Fact name="Job">{<code>{job.id}</code>}</Fact>
          <Fact name="Workflow">{<code>{job.workflow}</code>}</Fact>
          <Fact name="Attempt">{job.started_at ? job.attempt : "not begun"}</Fact>
          <Fact name="Chunks">{ofAll(job.chunks_done, job.chunks_total)}</Fact>
          <Fact name="Tiles">{ofAll(job.tiles_done, job.tiles_total)}</Fact>
          {job.tiles_failed > 0 && <Fact name="Failed tiles">{count(job.tiles_failed)}</Fact>}
          {isSegmentation(job) && <Fact name="Cells">{count(job.cells)}</Fact>}
          {job.reused && <Fact name="Reused">the cells of an equal job</Fact>}
          {job.checksum && <Fact name="Checksum">{<code>{job.checksum}</code>}</Fact>}
          {job.results_deleted_at && (
            <Fact name="Results">{`deleted ${time(job.results_deleted_at)}`}</Fact>
          )}
        </dl>
      </Part>
      <Part title="Parameters">
        <Parameters job={job} />
      </Part>
    </div>
  );
}

function Part({ title, children }: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <section>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

const ofAll = (done: number, all: number | null): string =>
  all === null ? "not planned yet" : `${count(done)} of ${count(all)}`;

function Times({ job }: { job: Job }): JSX.Element {
  const now = new Date(useNow(1000)).toISOString();
  const { submitted_at: submitted, started_at: started, ended_at: ended } = job;
  const waited = duration(Math.round(seconds(submitted, started ?? ended ?? now)));
  return (
    <dl class="facts">
      <Fact name="Submitted">{time(submitted)}</Fact>
      <Fact name={started ? "Waited" : "Waits for"}>{waited}</Fact>
      {started && <Fact name="Begun">{time(started)}</Fact>}
      {started && (
        <Fact name={ended ? "Took" : "Runs for"}>
          {duration(Math.round(seconds(started, ended ?? now)))}
        </Fact>
      )}
      {ended && <Fact name="Ended">{time(ended)}</Fact>}
      {job.tiles_per_s !== null && <Fact name="Speed">{number(job.tiles_per_s)} tiles/s</Fact>}
      {!ended && job.eta_s !== null && (
        <Fact name="Left">{duration(Math.max(1, Math.round(job.eta_s)))}</Fact>
      )}
    </dl>
  );
}

function Parameters({ job }: { job: Job }): JSX.Element {
  const groups: [string, Record<string, unknown>][] = [
    ["", { kind: job.kind, engine: job.engine, mpp: job.mpp ?? "as the slide says" }],
    [
      "",
      {
        tile_px: job.tile_px,
        chunk_tiles: job.chunk_tiles,
        max_failed_share: job.max_failed_share,
      },
    ],
    ["Engine: ", { ...job.params }],
    ["Tissue: ", { ...job.tissue }],
    ["Measure: ", { ...job.measure }],
  ];
  return (
    <dl class="facts">
      {groups.flatMap(([of, values]) =>
        Object.entries(values)
          .filter(([, value]) => value != null)
          .map(([name, value]) => (
            <Fact key={of + name} name={of + label(name, of)}>
              {shown(value)}
            </Fact>
          )),
      )}
    </dl>
  );
}

const UNITS: readonly (readonly [RegExp, string])[] = [
  [/_um2$/, " (µm²)"],
  [/_um$/, " (µm)"],
  [/_px$/, " (px)"],
];

function label(name: string, of: string): string {
  if (name === "mpp") return "Pixel size (µm)";
  const text = words(name) + (UNITS.find(([ends]) => ends.test(name))?.[1] ?? "");
  return of ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

const shown = (value: unknown): string =>
  typeof value === "number"
    ? number(value, 6)
    : typeof value === "string"
      ? value.replaceAll("_", " ")
      : JSON.stringify(value);
