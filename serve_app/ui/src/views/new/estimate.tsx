// What the draft would cost and when it would be done, asked of the service once the draft rests; and
// the button that submits it.
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../../api/http";
import type { Estimate } from "../../api/types";
import { Button, Notice } from "../../parts/basics";
import { Icon } from "../../parts/icons";
import { bytes, count, duration, number } from "../../format";
import { link } from "../../router";
import { copies, type Draft, type Job } from "./graph";
import { submission } from "./json";
import { slideName } from "./slides";
import { draft, invalid, renewKey } from "./state";
import { again, busy, submitDraft } from "./submit";

const LATER_MS = 700;
const SAFE = "Submit again when the network is back: if it has arrived, it is not taken twice.";

interface Asked {
  of: string;
  data: Estimate | null;
  error: ApiError | null;
}

export const asked = signal<Asked>({ of: "", data: null, error: null });

/** Keep the estimate up to date while the view is shown. */
export function useEstimate(now: Draft): void {
  const text = JSON.stringify({ jobs: submission(now)["jobs"] });
  useEffect(() => {
    if (!now.jobs.length || text === asked.value.of) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const json = JSON.parse(text) as unknown;
      ask<Estimate>("/workflows/estimate", { method: "POST", json, signal: stop.signal }).then(
        (data) => (asked.value = { of: text, data, error: null }),
        (error: unknown) => {
          if (!stop.signal.aborted) {
            asked.value = { of: text, data: null, error: asApiError(error) };
          }
        },
      );
    }, LATER_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
}

const isCurrent = (): boolean =>
  asked.value.of === JSON.stringify({ jobs: submission(draft.value)["jobs"] });

export interface OfJob {
  laneSeconds: number;
  isReused: boolean;
  question: string | null;
}

/** What the estimate says of a job of the draft; a sweep's jobs together. */
export function estimateOf(now: Draft, job: Job): OfJob | null {
  const { data } = asked.value;
  if (!data || !isCurrent()) return null;
  let from = 0;
  for (const each of now.jobs) {
    const many = copies(each);
    if (each.id === job.id) {
      const rows = data.jobs.slice(from, from + many);
      return {
        laneSeconds: rows.reduce((sum, row) => sum + row.lane_s, 0),
        isReused: rows.length > 0 && rows.every((row) => row.reused),
        question: rows.find((row) => row.question)?.question ?? null,
      };
    }
    from += many;
  }
  return null;
}

export function EstimatePanel(): JSX.Element {
  const { data, error } = asked.value;
  const current = isCurrent();
  return (
    <section class="card estimate" aria-labelledby="estimate-title">
      <h2 id="estimate-title">Before it runs</h2>
      <div aria-live="polite" aria-busy={!current}>
        {error && current ? (
          <div class="notice bad">
            <Icon name="warning" />
            <div>
              <strong>{error.message.replace(/^body\./, "")}</strong>
              <p>
                {error.facts["faults"] ? "The JSON of the draft shows the place." : error.remedy}
              </p>
            </div>
          </div>
        ) : data ? (
          <Figures data={data} isOld={!current} />
        ) : (
          <div class="stack tight" role="status" aria-label="Estimating">
            <div class="bone" />
            <div class="bone" />
          </div>
        )}
      </div>
      <Submit />
      {data && current && <PerJob data={data} />}
    </section>
  );
}

function Figures({ data, isOld }: { data: Estimate; isOld: boolean }): JSX.Element {
  const reused = data.jobs.filter((job) => job.reused).length;
  const tiles = data.jobs.reduce((sum, job) => sum + job.tiles, 0);
  const questions = data.jobs.filter((job) => job.question).length;
  return (
    <div class={isOld ? "stack tight is-old" : "stack tight"}>
      <p class="estimate-main">
        <strong>
          {data.ends_in_s === null ? "It will wait" : `≈ ${duration(data.ends_in_s)}`}
        </strong>
        <span class="muted">
          {data.ends_in_s === null ? waits(data) : `until all is done, ${starts(data)}`}
        </span>
      </p>
      <dl class="facts">
        <dt>Jobs</dt>
        <dd>
          {count(data.jobs.length)}
          {reused > 0 && `, ${count(reused)} with a result already`}
        </dd>
        <dt>Tiles</dt>
        <dd>{count(tiles)}</dd>
        <dt>Lane time</dt>
        <dd>
          {duration(data.lane_s)} on {number(data.lanes, 2)} of {data.lanes_open} lanes
        </dd>
        <dt>Results</dt>
        <dd title={data.result_bytes_from}>≈ {bytes(data.result_bytes)}</dd>
      </dl>
      {questions > 0 && (
        <p class="preview-warning small">
          <Icon name="warning" size={16} /> {questions === 1 ? "One job" : `${questions} jobs`}{" "}
          would stop and ask for the pixel size: give it in the settings.
        </p>
      )}
    </div>
  );
}

function waits(data: Estimate): string {
  if (data.lanes_open === 0) return "No lane is open now; it starts once one is.";
  return "Slots are held until their users are done; nothing says when.";
}

function starts(data: Estimate): string {
  if (data.queue_rank !== null) return `after place ${data.queue_rank} in the queue for a slot`;
  if (data.starts_in_s === null) return "beginning when a lane opens";
  return data.starts_in_s < 1 ? "beginning now" : `beginning in ${duration(data.starts_in_s)}`;
}

function Submit(): JSX.Element {
  const [problem, setProblem] = useState<ApiError | null>(null);
  const faults = [...invalid.value.values()];
  const submit = () => {
    setProblem(null);
    void submitDraft().then(setProblem);
  };
  const known = typeof problem?.facts["workflow"] === "string" ? problem.facts["workflow"] : null;
  return (
    <div class="stack tight">
      <Button
        kind="primary"
        disabled={busy.value || faults.length > 0 || !draft.value.jobs.length}
        onClick={submit}
      >
        {busy.value ? "Submitting" : "Submit workflow"}
      </Button>
      {faults.length > 0 && (
        <p class="field-error" role="status">
          {faults.length === 1 ? "One setting is" : `${faults.length} settings are`} not valid:{" "}
          {faults[0]}
        </p>
      )}
      {again.value && !problem && (
        <p class="field-hint">Sent again under the same key: it counts once.</p>
      )}
      {problem && known && (
        <Notice tone="warn">
          <strong>This draft has been submitted before, and was changed since.</strong>
          <div class="row">
            <a href={link(["queue"], { workflow: known })}>See what runs</a>
            <Button
              onClick={() => {
                renewKey();
                submit();
              }}
            >
              Submit as another workflow
            </Button>
          </div>
        </Notice>
      )}
      {problem && !known && (
        <div class="notice bad" role="alert">
          <Icon name="warning" />
          <div>
            <strong>{problem.message}</strong>
            <p>{problem.status === 0 ? SAFE : problem.remedy}</p>
          </div>
        </div>
      )}
    </div>
  );
}

function PerJob({ data }: { data: Estimate }): JSX.Element {
  return (
    <details class="group per-job">
      <summary>
        Job by job <span class="muted small">{data.jobs[0]?.seconds_from}</span>
      </summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="The estimate job by job">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Job</th>
              <th scope="col" class="number">
                Tissue, mm²
              </th>
              <th scope="col" class="number">
                Tiles
              </th>
              <th scope="col" class="number">
                Lane time
              </th>
            </tr>
          </thead>
          <tbody>
            {data.jobs.map((job) => (
              <tr key={job.number}>
                <td>
                  <div class="truncate" title={`${job.branch}: ${slideName(job.slide)}`}>
                    {job.branch}
                  </div>
                  {job.reused && <span class="small muted">an equal result is there</span>}
                </td>
                <td class="number">{number(job.tissue_mm2)}</td>
                <td class="number">{count(job.tiles)}</td>
                <td class="number">{duration(job.lane_s)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
