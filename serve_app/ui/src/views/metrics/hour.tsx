// The last hour by minutes.
import type { ComponentChildren, JSX } from "preact";
import { time } from "../../format";
import { Lines, type Line } from "../../parts/charts/lines";
import type { Minute, Minutes } from "./types";

const WHOLE_HOUR = 60;

interface Shown {
  title: string;
  /** Beside the title. */
  unit: string;
  /** Of the values, where it is another one. */
  of?: string;
  label: string;
  lines: readonly (readonly [
    name: string,
    tone: Line["tone"],
    of: (minute: Minute) => number | null,
  ])[];
  /** The top of the scale; otherwise as the values need it. */
  most?: number;
}

const SHOWN: readonly Shown[] = [
  {
    title: "Wait of jobs until they start",
    unit: "s",
    label: "Wait of jobs until they start, by minutes.",
    lines: [
      ["median", 1, (each) => each.wait_median_s],
      ["90 %", 2, (each) => each.wait_p90_s],
    ],
  },
  {
    title: "Time of a chunk in its lane",
    unit: "s",
    label: "Time of a chunk in its lane, by minutes.",
    lines: [
      ["median", 1, (each) => each.chunk_median_s],
      ["90 %", 2, (each) => each.chunk_p90_s],
    ],
  },
  {
    title: "Answer to a request",
    unit: "ms",
    label: "Time until the answer to a request, by minutes.",
    lines: [
      ["median", 1, (each) => each.request_median_ms],
      ["95 %", 2, (each) => each.request_p95_ms],
    ],
  },
  {
    title: "Lanes busy",
    unit: "%",
    label: "Share of the lanes' time that was at work, by minutes.",
    lines: [["busy", 1, (each) => each.lanes_busy * 100]],
    most: 100,
  },
  {
    title: "Tiles",
    unit: "/ min",
    of: "tiles",
    label: "Tiles segmented, by minutes.",
    lines: [["tiles", 1, (each) => each.tiles]],
  },
  {
    title: "Cells",
    unit: "/ min",
    of: "cells",
    label: "Cells found, by minutes.",
    lines: [["cells", 2, (each) => each.cells]],
  },
  {
    title: "Jobs that wait",
    unit: "jobs",
    label: "Unfinished jobs with no work in flight, at the end of each minute.",
    lines: [["waiting", 1, (each) => each.queue_depth]],
  },
  {
    title: "Jobs that came and went",
    unit: "/ min",
    of: "jobs",
    label: "Jobs submitted and ended, by minutes.",
    lines: [
      ["submitted", 1, (each) => each.jobs_submitted],
      ["ended", 3, (each) => each.jobs_ended],
    ],
  },
];

export function Hour({ minutes }: { minutes: Minutes }): JSX.Element {
  const padded = toWholeHour(minutes.minutes);
  const at = padded.map((minute) => time(minute.at));
  const linesOf = (shown: Shown): Line[] =>
    shown.lines.map(([name, tone, of]) => ({
      name,
      tone,
      filled: shown.lines.length === 1,
      values: padded.map((each) => ("requests" in each ? of(each) : null)),
    }));
  return (
    <section aria-labelledby="hour-head">
      <header class="section-head">
        <h2 id="hour-head">The last hour</h2>
        <p class="muted small">
          By minutes; the last one goes on.
          {minutes.since && ` Nothing is known of the time before ${time(minutes.since)}.`}
        </p>
      </header>
      <div class="hour">
        {SHOWN.map((shown) => (
          <Panel key={shown.title} title={shown.title} unit={shown.unit}>
            <Lines
              label={shown.label}
              unit={shown.of ?? shown.unit}
              at={at}
              lines={linesOf(shown)}
              {...(shown.most === undefined ? {} : { most: shown.most })}
            />
          </Panel>
        ))}
      </div>
    </section>
  );
}

function Panel(props: { title: string; unit: string; children: ComponentChildren }): JSX.Element {
  return (
    <article class="card hour-panel">
      <h3>
        {props.title} <span class="muted">{props.unit}</span>
      </h3>
      {props.children}
    </article>
  );
}

/** Minutes before the first known one are empty, so that the axis is always an hour. */
function toWholeHour(minutes: readonly Minute[]): (Minute | { at: string })[] {
  const first = minutes[0];
  const missing = first ? Math.max(WHOLE_HOUR - minutes.length, 0) : 0;
  const begun = first ? Date.parse(first.at) : 0;
  const before = Array.from({ length: missing }, (_, index) => ({
    at: new Date(begun - (missing - index) * 60_000).toISOString(),
  }));
  return [...before, ...minutes];
}
