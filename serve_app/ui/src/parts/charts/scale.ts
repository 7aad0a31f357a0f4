// From values to pixels, and the values at which an axis is marked.

const STEPS = [1, 2, 2.5, 5, 10];

/** Round values from `low` to `high`, about as many as wanted; `whole`: of what is counted. */
export function ticks(low: number, high: number, wanted = 5, whole = false): number[] {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const rough = span / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const fits = (each: number) => each * power >= rough * 0.999 && !(whole && (each * power) % 1);
  const found = power * (STEPS.find(fits) ?? 10);
  const step = whole ? Math.max(found, 1) : found;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => clean((first + index) * step));
}

/** 0.30000000000000004 as 0.3 */
const clean = (value: number): number => Number(value.toPrecision(10));

/** The first mark at or above the largest value, so that nothing touches the upper edge. */
export function ceiling(most: number, wanted = 4, whole = false): number {
  if (!(most > 0)) return 1;
  const marks = ticks(0, most, wanted, whole);
  const step = marks[1] ?? most;
  return Math.ceil(most / step - 1e-9) * step;
}

/** A straight line from values to pixels. */
export function scale(low: number, high: number, from: number, to: number) {
  const span = high - low || 1;
  return (value: number): number => from + ((value - low) / span) * (to - from);
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

/** What stands beside a mark. */
export const markText = (value: number): string =>
  Math.abs(value) >= 10_000 ? short.format(value) : plain.format(value);
