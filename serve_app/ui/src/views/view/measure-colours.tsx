// Cells coloured by a measurement: the legend, its ends, its colours.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { number, unit, words } from "../../format";
import { useLoad } from "../../parts/load";
import { Field } from "../../parts/basics";
import type { Looking } from "./address";
import { PALETTE_NAMES, Strip } from "./palettes";
import type { CellsFacts, Measures } from "./shapes";

interface Props {
  looking: Looking;
  view: CellsFacts;
}

type Ends = { low: number; high: number };

const RANGES = [
  ["p05", "p95", "5th to 95th percentile"],
  ["p25", "p75", "25th to 75th percentile"],
  ["min", "max", "Smallest to largest"],
] as const;

export function MeasureColours({ looking, view }: Props): JSX.Element | null {
  const { look, set } = looking;
  const { by, low, high, palette } = look.value;
  const range = view.measures.find(({ name }) => name === by);
  const known = useLoad<Measures>(`/jobs/${view.job}/measures`).data;
  const facts = known?.measures.find(({ name }) => name === by);
  if (!range) {
    return <p class="field-error">The cells have no measurement “{by}”.</p>;
  }
  const ends = { low: low ?? range.low, high: high ?? range.high };
  const choose = (which: string) => {
    const found = RANGES.find(([name]) => name === which);
    const [from, to] = [found && facts?.[found[0]], found && facts?.[found[1]]];
    if (from == null || to == null || from >= to) set({ low: null, high: null });
    else set({ low: from, high: to });
  };
  const chosen = RANGES.find(([a, b]) => facts?.[a] === low && facts[b] === high)?.[0];
  return (
    <div class="viewer-measure">
      <div class="viewer-ends">
        <Strip palette={palette} />
        <span>{number(ends.low)}</span>
        <span class="muted">
          {words(range.name)} {unit(range.unit) && `in ${unit(range.unit)}`}
        </span>
        <span>{number(ends.high)}</span>
      </div>
      <Field label="Range">
        {(ids) => (
          <select
            {...ids}
            value={low === null ? "usual" : (chosen ?? "own")}
            onChange={(event) => choose(event.currentTarget.value)}
          >
            <option value="usual">2nd to 98th percentile</option>
            {facts &&
              RANGES.map(([name, , text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            {low !== null && !chosen && <option value="own">As entered</option>}
          </select>
        )}
      </Field>
      <OwnEnds ends={ends} onChange={set} />
      <Palette palette={palette} onChange={(chosen) => set({ palette: chosen })} />
    </div>
  );
}

type PaletteName = (typeof PALETTE_NAMES)[number][0];

function Palette(props: {
  palette: PaletteName;
  onChange: (palette: PaletteName) => void;
}): JSX.Element {
  return (
    <Field label="Palette">
      {(ids) => (
        <select
          {...ids}
          value={props.palette}
          onChange={(event) => {
            const found = PALETTE_NAMES.find(([name]) => name === event.currentTarget.value);
            if (found) props.onChange(found[0]);
          }}
        >
          {PALETTE_NAMES.map(([name, text]) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function OwnEnds(props: { ends: Ends; onChange: (ends: Ends) => void }): JSX.Element {
  const { ends, onChange } = props;
  const [typed, setTyped] = useState<Record<keyof Ends, string> | null>(null);
  useEffect(() => setTyped(null), [ends.low, ends.high]);
  const shown = typed ?? { low: number(ends.low, 4), high: number(ends.high, 4) };
  const [low, high] = [asNumber(shown.low), asNumber(shown.high)];
  const isRange = low !== null && high !== null && low < high;
  const end = (name: keyof Ends, label: string) => (
    <Field label={label}>
      {(ids) => (
        <input
          {...ids}
          inputMode="decimal"
          value={shown[name]}
          aria-invalid={typed !== null && !isRange}
          onInput={(event) => setTyped({ ...shown, [name]: event.currentTarget.value })}
          onChange={() => isRange && onChange({ low, high })}
        />
      )}
    </Field>
  );
  return (
    <>
      <div class="viewer-pair">
        {end("low", "Low")}
        {end("high", "High")}
      </div>
      {typed && !isRange && <p class="field-error">Low must be a number less than high.</p>}
    </>
  );
}

function asNumber(text: string): number | null {
  const value = Number(text.replaceAll(",", ""));
  return text.trim() !== "" && Number.isFinite(value) ? value : null;
}
