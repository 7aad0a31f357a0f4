import type { JSX } from "preact";
import { number } from "../../format";
import { Below, Beside } from "./axes";
import { Chart } from "./chart";
import { ceiling, markText, scale, ticks } from "./scale";

export interface Line {
  name: string;
  /** null: nothing was there to be measured. */
  values: readonly (number | null)[];
  tone: 1 | 2 | 3;
  /** Also the area below it. */
  filled?: boolean;
}

interface Props {
  label: string;
  unit: string;
  /** Of each point, in words: "14:05". */
  at: readonly string[];
  lines: readonly Line[];
  height?: number;
  /** The top of the scale; otherwise as the values need it. */
  most?: number;
}

const LEFT = 46;
const RIGHT = 8;
const TOP = 10;
const FOOT = 22;

/** Values over time, with gaps where nothing was measured. */
export function Lines(props: Props): JSX.Element {
  const { label, unit, at, lines, height = 168 } = props;
  const last = Math.max(at.length - 1, 1);
  const seen = lines.flatMap((line) => line.values.filter((value) => value != null));
  const isCounted = seen.every(Number.isInteger); // there is no half job
  const most = props.most ?? ceiling(Math.max(...seen, 0), 4, isCounted);
  const words = (value: number | null | undefined) =>
    value == null ? "–" : `${number(value)} ${unit}`;
  return (
    <>
      <Legend items={lines.map((line) => [line.name, line.tone] as const)} />
      <Chart
        label={label}
        height={height}
        points={at.length}
        under={(x, _, width) => {
          const index = Math.round(((x - LEFT) / (width - LEFT - RIGHT)) * last);
          return index >= 0 && index < at.length ? index : null;
        }}
        read={(index) =>
          `${at[index]}: ${lines
            .map((line) => `${line.name} ${words(line.values[index])}`)
            .join(" · ")}`
        }
        hint={seen.length ? "" : "Nothing in this hour yet."}
        sheet={{
          head: ["At", ...lines.map((line) => `${line.name}, ${unit}`)],
          rows: () =>
            at.map((time, index) => [
              time,
              ...lines.map((line) => {
                const value = line.values[index];
                return value == null ? "–" : markText(value);
              }),
            ]),
        }}
        draw={(width, chosen) => {
          const x = scale(0, last, LEFT, width - RIGHT);
          const y = scale(0, most, height - FOOT, TOP);
          const every = Math.max(1, Math.ceil(at.length / Math.max(width / 90, 2)));
          const marks = at.map((_, index) => index).filter((index) => (last - index) % every === 0);
          return (
            <>
              <Beside marks={ticks(0, most, 4, isCounted)} at={y} x={LEFT} to={width - RIGHT} />
              <Below
                marks={marks}
                at={x}
                y={height - FOOT}
                from={LEFT}
                to={width - RIGHT}
                text={(index) => at[index] ?? ""}
              />
              {chosen != null && (
                <line class="cursor" x1={x(chosen)} x2={x(chosen)} y1={TOP} y2={height - FOOT} />
              )}
              {lines.map((line) => (
                <Trace key={line.name} line={line} x={x} y={y} chosen={chosen} />
              ))}
            </>
          );
        }}
      />
    </>
  );
}

type Scale = (value: number) => number;

function Trace(props: { line: Line; x: Scale; y: Scale; chosen: number | null }): JSX.Element {
  const { line, x, y, chosen } = props;
  const value = chosen == null ? null : line.values[chosen];
  return (
    <g class={`trace tone-${line.tone}`}>
      {runs(line.values).map((run) => {
        const points = run.map(([index, each]) => `${x(index)},${y(each)}`).join(" L");
        const [first, end] = [run[0]?.[0] ?? 0, run.at(-1)?.[0] ?? 0];
        if (run.length === 1) {
          return <circle key={first} cx={x(first)} cy={y(run[0]?.[1] ?? 0)} r={2.6} />;
        }
        return (
          <g key={first}>
            {line.filled && (
              <path class="area" d={`M${x(first)},${y(0)} L${points} L${x(end)},${y(0)} Z`} />
            )}
            <path class="line" d={`M${points}`} />
          </g>
        );
      })}
      {value != null && chosen != null && <circle cx={x(chosen)} cy={y(value)} r={4} />}
    </g>
  );
}

/** The stretches without a gap. */
function runs(values: readonly (number | null)[]): [number, number][][] {
  const found: [number, number][][] = [];
  let open: [number, number][] | null = null;
  values.forEach((value, index) => {
    if (value == null) open = null;
    else if (open) open.push([index, value]);
    else found.push((open = [[index, value]]));
  });
  return found;
}

export function Legend({ items }: { items: readonly (readonly [string, number])[] }) {
  if (items.length < 2) return null;
  return (
    <ul class="legend" aria-hidden="true">
      {items.map(([name, tone]) => (
        <li key={name} class={`tone-${tone}`}>
          {name}
        </li>
      ))}
    </ul>
  );
}
