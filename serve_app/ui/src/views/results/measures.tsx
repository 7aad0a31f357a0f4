// How each measurement is distributed.
import type { JSX } from "preact";
import { formula, number, unit, words } from "../../format";
import { Histogram } from "../../parts/charts/histogram";
import type { Measure, Measures } from "./types";

export function MeasuresSection({ measures }: { measures: Measures }): JSX.Element {
  return (
    <section aria-labelledby="measures-head">
      <header class="section-head">
        <h2 id="measures-head">Measurements</h2>
        <p class="muted small">Of all cells; the middle half is dark, the median is pink.</p>
      </header>
      <div class="measure-cards">
        {measures.measures.map((measure) => (
          <MeasureCard key={measure.name} measure={measure} />
        ))}
      </div>
    </section>
  );
}

function MeasureCard({ measure }: { measure: Measure }): JSX.Element {
  const { low, high, p25, median, p75, mean, sd, p05, p95 } = measure;
  const [name, inUnit] = [words(measure.name), unit(measure.unit)];
  const quartiles = p25 != null && median != null && p75 != null ? { p25, median, p75 } : null;
  return (
    <article class="card measure-card">
      <header>
        <h3>
          {name}
          {inUnit && <span class="muted"> {inUnit}</span>}
        </h3>
        <p class="muted small truncate" title={formula(measure.description)}>
          {formula(measure.description)}
        </p>
      </header>
      {low == null || high == null ? (
        <p class="muted">No cell has a value.</p>
      ) : low === high ? (
        <p class="muted">
          All cells have {number(low)} {inUnit}.
        </p>
      ) : (
        <Histogram
          name={name}
          unit={inUnit}
          low={low}
          high={high}
          counts={measure.counts}
          quartiles={quartiles}
          below={measure.below}
          above={measure.above}
        />
      )}
      <dl class="measure-facts">
        <Fact name="Median" value={number(median)} />
        <Fact name="Quartiles" value={`${number(p25)} – ${number(p75)}`} />
        <Fact name="Mean ± SD" value={`${number(mean)} ± ${number(sd, 2)}`} />
        <Fact name="5 – 95 %" value={`${number(p05)} – ${number(p95)}`} />
      </dl>
    </article>
  );
}

function Fact({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
