// The last hour by minutes.
import type { ComponentChildren, JSX } from "preact";
import { time } from "../../format";
import { Lines, type Line } from "../../parts/charts/lines";
import type { Minute, Minutes } from "./types";

const WHOLE_HOUR = 60;

export function Hour({ minutes }: { minutes: Minutes }): JSX.Element {
  const padded = toWholeHour(minutes.minutes);
  const at = padded.map((minute) => time(minute.at));
  const line = (
    name: string,
    tone: Line["tone"],
    value: (minute: Minute) => number | null,
    filled = false,
  ): Line => ({
    name,
    tone,
    filled,
    values: padded.map((each) => ("requests" in each ? value(each) : null)),
  });
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
        <Panel title="Wait of jobs until they start" unit="s">
          <Lines
            label="Wait of jobs until they start, by minutes."
            unit="s"
            at={at}
            lines={[
              line("median", 1, (each) => each.wait_median_s),
              line("90 %", 2, (each) => each.wait_p90_s),
            ]}
          />
        </Panel>
        <Panel title="Time of a chunk in its lane" unit="s">
          <Lines
            label="Time of a chunk in its lane, by minutes."
            unit="s"
            at={at}
            lines={[
              line("median", 1, (each) => each.chunk_median_s),
              line("90 %", 2, (each) => each.chunk_p90_s),
            ]}
          />
        </Panel>
        <Panel title="Answer to a request" unit="ms">
          <Lines
            label="Time until the answer to a request, by minutes."
            unit="ms"
            at={at}
            lines={[
              line("median", 1, (each) => each.request_median_ms),
              line("95 %", 2, (each) => each.request_p95_ms),
            ]}
          />
        </Panel>
        <Panel title="Lanes busy" unit="%">
          <Lines
            label="Share of the lanes' time that was at work, by minutes."
            unit="%"
            at={at}
            most={100}
            lines={[line("busy", 1, (each) => each.lanes_busy * 100, true)]}
          />
        </Panel>
        <Panel title="Tiles" unit="/ min">
          <Lines
            label="Tiles segmented, by minutes."
            unit="tiles"
            at={at}
            lines={[line("tiles", 1, (each) => each.tiles, true)]}
          />
        </Panel>
        <Panel title="Cells" unit="/ min">
          <Lines
            label="Cells found, by minutes."
            unit="cells"
            at={at}
            lines={[line("cells", 2, (each) => each.cells, true)]}
          />
        </Panel>
        <Panel title="Jobs that wait" unit="">
          <Lines
            label="Unfinished jobs with no work in flight, at the end of each minute."
            unit="jobs"
            at={at}
            lines={[line("waiting", 1, (each) => each.queue_depth, true)]}
          />
        </Panel>
        <Panel title="Jobs that came and went" unit="/ min">
          <Lines
            label="Jobs submitted and ended, by minutes."
            unit="jobs"
            at={at}
            lines={[
              line("submitted", 1, (each) => each.jobs_submitted),
              line("ended", 3, (each) => each.jobs_ended),
            ]}
          />
        </Panel>
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
