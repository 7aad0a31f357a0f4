// One job as a card. Rich only near the screen: a branch may have hundreds.
import { Component, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { API } from "../../api/http";
import type { Job } from "../../api/types";
import { count, duration, number } from "../../format";
import { hasEnded, hasResults } from "../../jobs";
import { Button, LinkButton, State } from "../../parts/basics";
import { failedTiles, FailedTilesAgain } from "../../parts/failed-tiles";
import { JobLinks } from "../../parts/job-links";
import { whenNear } from "../../parts/near";
import { Icon } from "../../parts/icons";
import { mayChange } from "../../session";
import { cancel, canRetry, retry } from "./acts";
import { Answer } from "./answer";
import { bucketOf, numberOf } from "./group";
import { jobLink } from "./places";
import { Why } from "./sentence";
import { Track } from "./track";
import "./card.css";

interface Props {
  job: Job;
}

/** Drawn anew only when the job itself has changed. */
export class Card extends Component<Props> {
  override shouldComponentUpdate(next: Readonly<Props>): boolean {
    return next.job !== this.props.job;
  }

  render(): JSX.Element {
    return <Drawn job={this.props.job} />;
  }
}

function Drawn({ job }: Props): JSX.Element {
  const item = useRef<HTMLLIElement>(null);
  const isNear = useNear(item);
  const bucket = bucketOf(job);
  return (
    <li ref={item} id={`card-${job.id}`} class={`q-card ${bucket}`}>
      <div class="q-top">
        {isNear && <Thumb job={job} />}
        <div class="q-title">
          <a class="q-name truncate" href={jobLink(job.id)} title={job.slide}>
            {job.slide}
          </a>
          {isNear && <Kind job={job} />}
        </div>
      </div>
      {isNear && <Body job={job} />}
    </li>
  );
}

/** Whether an element has been near what is seen; it stays drawn from then on. */
function useNear(item: { current: HTMLElement | null }): boolean {
  const [near, set] = useState(false);
  useEffect(() => whenNear(item.current, () => set(true)), []);
  return near;
}

/** A small picture of the slide; of a file that is nobody's slide once it has been opened. */
export function Thumb({ job }: Props): JSX.Element {
  const [failed, fail] = useState(false);
  const source = pictureOf(job);
  return (
    <span class="q-thumb">
      {source && !failed ? (
        <img src={source} alt="" loading="lazy" onError={() => fail(true)} />
      ) : (
        <Icon name="slides" size={18} />
      )}
    </span>
  );
}

function pictureOf(job: Job): string | null {
  if (job.slide_id) return `${API}/slides/${encodeURIComponent(job.slide_id)}/thumbnail`;
  if (job.tiles_total === null) return null;
  return `${API}/jobs/${encodeURIComponent(job.id)}/tiles/0/0/0`;
}

function Kind({ job }: Props): JSX.Element {
  return (
    <span class="q-kind muted">
      <State state={job.state} />
      <span
        class="truncate"
        title={engineOf(job)}
      >{`#${numberOf(job.id)} · ${engineOf(job)}`}</span>
      {job.attempt > 1 && <span class="q-attempt">attempt {job.attempt}</span>}
      {mayChange.value && !hasEnded(job) && (
        <Button
          icon="stop"
          kind="quiet"
          label="Cancel this job"
          disabled={job.state === "cancelling"}
          onClick={() => void cancel(job)}
        />
      )}
    </span>
  );
}

/** Begun, and not computing just now: parked, stopping, or waiting for a lane. */
const isHeldUp = (job: Job): boolean =>
  bucketOf(job) === "running" && job.why.reason !== "computing";

function Body({ job }: Props): JSX.Element {
  const bucket = bucketOf(job);
  const isBegun = job.stage !== null || job.state === "succeeded" || job.tiles_total !== null;
  return (
    <>
      {isBegun && job.state !== "succeeded" && <Track job={job} />}
      {isBegun && <Numbers job={job} />}
      {job.state === "needs_mpp" &&
        (mayChange.value ? <Answer job={job} /> : <Why job={job} brief />)}
      {job.failure && bucket === "failed" && <Fault job={job} />}
      {(bucket === "waiting" || bucket === "stopped" || isHeldUp(job)) && <Why job={job} brief />}
      {job.reused && job.state === "succeeded" && (
        <p class="q-why muted">Those of an equal job: nothing was computed twice.</p>
      )}
      <CardActs job={job} />
    </>
  );
}

export const engineOf = (job: Job): string => job.engine ?? job.kind.replaceAll("_", " ");

export function Numbers({ job }: Props): JSX.Element {
  const isDone = hasEnded(job);
  const took = job.started_at && job.ended_at ? seconds(job.started_at, job.ended_at) : null;
  const isMask = job.kind === "tissue_mask";
  const facts: [string, string][] = [];
  if (job.tiles_total !== null && job.tiles_total > 0)
    facts.push(["tiles", `${count(job.tiles_done)}/${count(job.tiles_total)}`]);
  if (isDone) facts.push(["took", duration(took)]);
  else {
    if (job.tiles_per_s !== null) facts.push(["tiles/s", number(job.tiles_per_s, 2)]);
    if (job.eta_s !== null)
      facts.push(["left", `~${duration(Math.max(1, Math.round(job.eta_s)))}`.replace(".0", "")]);
  }
  return (
    <div class="q-numbers">
      {!isMask && (
        <p class={`q-cells${isDone ? "" : " alive"}`}>
          <strong>{count(job.cells)}</strong> {job.cells === 1 ? "cell" : "cells"}
        </p>
      )}
      <dl>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {!isMask && job.tiles_total === 0 && (
        <p class="q-why">No tissue was found: nothing to segment.</p>
      )}
      {job.tiles_failed > 0 && <p class="q-lost">{failedTiles(job)}</p>}
    </div>
  );
}

export const seconds = (from: string, to: string): number =>
  Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);

function Fault({ job }: Props): JSX.Element {
  return (
    <div class="q-fault">
      <p class="q-clamp">
        <strong>{job.failure?.message}</strong>
      </p>
      <p class="q-clamp">{job.failure?.remedy}</p>
    </div>
  );
}

function CardActs({ job }: Props): JSX.Element | null {
  const mayRetry = mayChange.value && canRetry(job);
  if (!hasResults(job) && job.started_at === null && !mayRetry) return null;
  return (
    <div class="q-acts">
      <JobLinks job={job} bare />
      {job.started_at && (
        <LinkButton href={jobLink(job.id, "log")} icon="log" kind="quiet" label="Log" />
      )}
      <span class="q-space" />
      <FailedTilesAgain job={job} />
      {mayRetry && (
        <Button icon="retry" onClick={() => void retry(job)}>
          Retry
        </Button>
      )}
    </div>
  );
}
