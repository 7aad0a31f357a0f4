// Everything of one job, along the right edge: facts, why, parameters, and its log.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../../api/http";
import type { Job } from "../../api/types";
import { count, duration, number, time, words } from "../../format";
import { hasEnded, jobs, take } from "../../live";
import { Button, Choice, Failure, LinkButton, Loading, State } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { go, link, note } from "../../router";
import { mayChange } from "../../session";
import { cancel, canRetry, retry } from "./acts";
import { Answer } from "./answer";
import { engineOf, Numbers, seconds, Thumb } from "./card";
import { useNow } from "./clock";
import { bucketOf } from "./group";
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
  const hasResults = job.state === "succeeded" && !job.results_deleted_at;
  return (
    <div class="row">
      {(hasResults || bucketOf(job) === "running") && (
        <LinkButton href={link(["view", job.id])} icon="view" kind="primary">
          Open the viewer
        </LinkButton>
      )}
      {hasResults && (
        <>
          <LinkButton href={link(["results", job.id])} icon="results">
            Results
          </LinkButton>
          {job.kind === "cell_segmentation" && (
            <LinkButton href={link(["review", job.id])} icon="review">
              Quality check
            </LinkButton>
          )}
        </>
      )}
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
          <Fact name="Job" value={<code>{job.id}</code>} />
          <Fact name="Workflow" value={<code>{job.workflow}</code>} />
          <Fact name="Attempt" value={job.started_at ? job.attempt : "not begun"} />
          <Fact name="Chunks" value={ofAll(job.chunks_done, job.chunks_total)} />
          <Fact name="Tiles" value={ofAll(job.tiles_done, job.tiles_total)} />
          {job.tiles_failed > 0 && <Fact name="Tiles lost" value={count(job.tiles_failed)} />}
          {job.kind === "cell_segmentation" && <Fact name="Cells" value={count(job.cells)} />}
          {job.reused && <Fact name="Reused" value="the cells of an equal job" />}
          {job.checksum && <Fact name="Checksum" value={<code>{job.checksum}</code>} />}
          {job.results_deleted_at && (
            <Fact name="Results" value={`deleted ${time(job.results_deleted_at)}`} />
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

function Fact({ name, value }: { name: string; value: ComponentChildren }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
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
      <Fact name="Submitted" value={time(submitted)} />
      <Fact name={started ? "Waited" : "Waits for"} value={waited} />
      {started && <Fact name="Begun" value={time(started)} />}
      {started && (
        <Fact
          name={ended ? "Took" : "Runs for"}
          value={duration(Math.round(seconds(started, ended ?? now)))}
        />
      )}
      {ended && <Fact name="Ended" value={time(ended)} />}
      {job.tiles_per_s !== null && (
        <Fact name="Speed" value={`${number(job.tiles_per_s)} tiles/s`} />
      )}
      {!ended && job.eta_s !== null && (
        <Fact name="Left" value={duration(Math.max(1, Math.round(job.eta_s)))} />
      )}
    </dl>
  );
}

function Parameters({ job }: { job: Job }): JSX.Element {
  const groups: [string, Record<string, unknown>][] = [
    ["", { kind: job.kind, engine: job.engine, mpp: job.mpp ?? "as the slide says" }],
    ["", { tile_px: job.tile_px, chunk_tiles: job.chunk_tiles }],
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
            <Fact key={of + name} name={of + label(name, of)} value={shown(value)} />
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
