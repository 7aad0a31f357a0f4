import type { JSX } from "preact";
import { Below, Beside } from "./axes";
import { Chart } from "./chart";
import { Legend } from "./lines";
import { ceiling, markText, scale, ticks } from "./scale";

export interface Part {
  name: string;
  values: readonly number[];
  tone: 1 | 2 | 3 | 4 | 5 | 6;
}

interface StackedProps {
  label: string;
  unit: string;
  at: readonly string[];
  parts: readonly Part[];
  height?: number;
}

const LEFT = 46;
const RIGHT = 8;
const TOP = 10;
const FOOT = 22;

/** A bar for each time, put together from parts. */
export function Stacked({ label, unit, at, parts, height = 200 }: StackedProps): JSX.Element {
  const total = (index: number) => parts.reduce((sum, part) => sum + (part.values[index] ?? 0), 0);
  const totals = at.map((_, index) => total(index));
  const isCounted = totals.every(Number.isInteger); // there is no half job
  const most = ceiling(Math.max(...totals, 0), 4, isCounted);
  return (
    <>
      <Legend items={parts.map((part) => [part.name, part.tone] as const)} />
      <Chart
        label={label}
        height={height}
        points={at.length}
        under={(x, _, width) => {
          const index = Math.floor(((x - LEFT) / (width - LEFT - RIGHT)) * at.length);
          return index >= 0 && index < at.length ? index : null;
        }}
        read={(index) => {
          const some = parts.filter((part) => (part.values[index] ?? 0) > 0);
          const each = some.map((part) => `${part.name} ${markText(part.values[index] ?? 0)}`);
          return `${at[index]}: ${markText(total(index))} ${unit}${
            each.length > 1 ? ` (${each.join(", ")})` : each.length ? `, ${some[0]?.name}` : ""
          }`;
        }}
        sheet={{
          head: ["Day", ...parts.map((part) => `${part.name}, ${unit}`)],
          rows: () =>
            at.map((day, index) => [
              day,
              ...parts.map((part) => markText(part.values[index] ?? 0)),
            ]),
        }}
        draw={(width, chosen) => {
          const wide = (width - LEFT - RIGHT) / at.length;
          const x = (index: number) => LEFT + (index + 0.5) * wide;
          const y = scale(0, most, height - FOOT, TOP);
          const every = Math.max(1, Math.ceil(at.length / Math.max(width / 90, 2)));
          const marks = at
            .map((_, index) => index)
            .filter((index) => (at.length - 1 - index) % every === 0);
          return (
            <>
              <Beside marks={ticks(0, most, 4, isCounted)} at={y} x={LEFT} to={width - RIGHT} />
              {at.map((day, index) => (
                <Stack
                  key={day}
                  heights={parts.map((part) => [part.tone, part.values[index] ?? 0] as const)}
                  x={LEFT + index * wide}
                  wide={wide}
                  y={y}
                  isChosen={chosen === index}
                />
              ))}
              <Below
                marks={marks}
                at={x}
                y={height - FOOT}
                from={LEFT}
                to={width - RIGHT}
                text={(index) => at[index] ?? ""}
              />
            </>
          );
        }}
      />
    </>
  );
}

function Stack(props: {
  heights: readonly (readonly [number, number])[];
  x: number;
  wide: number;
  y: (value: number) => number;
  isChosen: boolean;
}): JSX.Element {
  const { heights, x, wide, y, isChosen } = props;
  const gap = Math.min(wide * 0.2, 6);
  let sum = 0;
  return (
    <g>
      {isChosen && <rect class="chart-column" x={x} y={TOP} width={wide} height={y(0) - TOP} />}
      {heights.map(([tone, value]) => {
        const foot = y(sum);
        sum += value;
        const [top, width] = [y(sum), Math.max(wide - 2 * gap, 1)];
        return (
          <rect
            key={tone}
            class={`part tone-${tone}`}
            x={x + gap}
            y={top}
            width={width}
            height={Math.max(foot - top, 0)}
          />
        );
      })}
    </g>
  );
}

export interface Row {
  name: string;
  about?: string;
  value: number;
  text: string;
  /** A part of the value that is told apart, such as what is at work. */
  part?: number;
}

/** One bar for each thing, the longest for the largest. */
export function Rows({ label, rows }: { label: string; rows: readonly Row[] }): JSX.Element {
  const most = Math.max(...rows.map((row) => row.value), 1e-9);
  return (
    <ul class="rows" aria-label={label}>
      {rows.map((row) => (
        <li key={`${row.about}/${row.name}`}>
          <span class="rows-name truncate" title={row.name}>
            {row.name}
            {row.about && <span class="muted"> · {row.about}</span>}
          </span>
          <span class="rows-value number">{row.text}</span>
          <span class="rows-bar" aria-hidden="true">
            <span style={{ inlineSize: `${(row.value / most) * 100}%` }} />
            {row.part != null && (
              <span class="part" style={{ inlineSize: `${(row.part / most) * 100}%` }} />
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}
