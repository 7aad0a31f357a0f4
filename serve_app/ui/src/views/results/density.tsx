// How two measurements go together.
import type { JSX } from "preact";
import { count, number, unit, words } from "../../format";
import { Button, Failure, Field, Loading } from "../../parts/basics";
import { Heat, HeatLegend, type Axis } from "../../parts/charts/heat";
import { useLoad } from "../../parts/load";
import { note } from "../../router";
import type { Measure, Pair, Span } from "./types";

interface Props {
  job: string;
  measures: readonly Measure[];
  query: URLSearchParams;
}

export function DensityPlot({ job, measures, query }: Props): JSX.Element | null {
  const names = measures.filter((each) => each.low !== each.high).map((each) => each.name);
  const chosen = (name: string | null, usual: number) =>
    name && names.includes(name) ? name : names[Math.min(usual, names.length - 1)];
  const [x, y] = [chosen(query.get("x"), 0), chosen(query.get("y"), 2)];
  const pair = useLoad<Pair>(x && y ? `/jobs/${job}/measures/${x}/by/${y}` : null);
  if (!x || !y || names.length < 2) return null;
  const change = (to: { x?: string; y?: string }) => {
    note(["results", job], { ...Object.fromEntries(query), x, y, ...to });
  };
  return (
    <section class="card density" aria-labelledby="density-head">
      <div class="density-side stack tight">
        <h2 id="density-head">Two measurements together</h2>
        <p class="muted small">Each square counts the cells that have both values.</p>
        <Which label="Across" names={names} value={x} onChange={(name) => change({ x: name })} />
        <Which label="Up" names={names} value={y} onChange={(name) => change({ y: name })} />
        <div>
          <Button icon="retry" onClick={() => change({ x: y, y: x })}>
            Swap the axes
          </Button>
        </div>
        {pair.data && <Together pair={pair.data} />}
      </div>
      <div class="density-plot">
        {pair.error && <Failure error={pair.error} onRetry={pair.again} />}
        {!pair.data && !pair.error && <Loading label="Loading the plot" rows={8} />}
        {pair.data && <Plot pair={pair.data} />}
      </div>
    </section>
  );
}

function Plot({ pair }: { pair: Pair }): JSX.Element {
  const [x, y] = [axis(pair.x), axis(pair.y)];
  if (!x || !y) return <p class="muted">There are no cells with both.</p>;
  return (
    <>
      <Heat x={x} y={y} counts={pair.counts} />
      <HeatLegend most={Math.max(...pair.counts.map((row) => Math.max(...row)))} />
    </>
  );
}

function axis({ name, unit: given, low, high }: Span): Axis | null {
  if (low == null || high == null || low === high) return null;
  return { name: words(name), unit: unit(given), low, high };
}

function Together({ pair }: { pair: Pair }): JSX.Element {
  const r = pair.correlation;
  return (
    <dl class="facts density-facts">
      <dt>Correlation</dt>
      <dd>
        <strong>{r == null ? "–" : r.toFixed(2)}</strong>{" "}
        <span class="muted">{r != null && strength(r)}</span>
      </dd>
      <dt>Cells</dt>
      <dd>{count(pair.cells)}</dd>
      <dt>Drawn</dt>
      <dd>{number((pair.inside / Math.max(pair.cells, 1)) * 100)} % of them</dd>
    </dl>
  );
}

function strength(r: number): string {
  const size = Math.abs(r);
  if (size < 0.1) return "none";
  const words = size < 0.3 ? "weak" : size < 0.6 ? "moderate" : "strong";
  return `${words}, ${r > 0 ? "rising" : "falling"}`;
}

interface WhichProps {
  label: string;
  names: readonly string[];
  value: string;
  onChange: (name: string) => void;
}

function Which({ label, names, value, onChange }: WhichProps): JSX.Element {
  return (
    <Field label={label}>
      {(ids) => (
        <select {...ids} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {names.map((name) => (
            <option key={name} value={name}>
              {words(name)}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
