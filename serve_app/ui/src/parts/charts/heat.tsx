import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { count, many, number } from "../../format";
import { isDark } from "../../theme";
import { Below, Beside } from "./axes";
import { Chart } from "./chart";
import { density } from "./palette";
import { scale, ticks } from "./scale";

export interface Axis {
  name: string;
  unit: string;
  low: number;
  high: number;
}

interface Props {
  x: Axis;
  y: Axis;
  /** Rows of y, the lowest first. */
  counts: readonly (readonly number[])[];
  height?: number;
}

const LEFT = 62;
const RIGHT = 10;
const TOP = 8;
const FOOT = 42;

const titled = (axis: Axis) => `${axis.name}${axis.unit && `, ${axis.unit}`}`;
const spanOf = (axis: Axis, bin: number, bins: number) => {
  const step = (axis.high - axis.low) / bins;
  const [from, to] = [axis.low + bin * step, axis.low + (bin + 1) * step];
  return `${axis.name} ${number(from)} to ${number(to)}${axis.unit && ` ${axis.unit}`}`;
};

/** Cells by two measurements: the darker (in the dark: the lighter), the more. */
export function Heat({ x, y, counts, height = 400 }: Props): JSX.Element {
  const bins = counts.length;
  const columns = counts[0]?.length ?? 0;
  const cells = (index: number) => counts[Math.floor(index / columns)]?.[index % columns] ?? 0;
  const read = (index: number) =>
    `${spanOf(x, index % columns, columns)}, ${spanOf(y, Math.floor(index / columns), bins)}: ${many(cells(index), "cell")}`;
  return (
    <Chart
      label={`Cells by ${x.name} and ${y.name}.`}
      height={height}
      points={bins * columns}
      row={columns}
      under={(px, py, width) => {
        const column = Math.floor(((px - LEFT) / (width - LEFT - RIGHT)) * columns);
        const row = Math.floor(((height - FOOT - py) / (height - FOOT - TOP)) * bins);
        const isIn = column >= 0 && column < columns && row >= 0 && row < bins;
        return isIn ? row * columns + column : null;
      }}
      read={read}
      hint="Point at it, or use the arrow keys, to read a value."
      sheet={{
        head: [titled(x), titled(y), "Cells"],
        rows: () =>
          counts.flatMap((row, up) =>
            row.flatMap((many, across) =>
              many ? [[spanOf(x, across, columns), spanOf(y, up, bins), count(many)] as const] : [],
            ),
          ),
      }}
      backdrop={(width) => (
        <Field counts={counts} width={width - LEFT - RIGHT} height={height - FOOT - TOP} />
      )}
      draw={(width, chosen) => {
        const [wide, tall] = [(width - LEFT - RIGHT) / columns, (height - FOOT - TOP) / bins];
        return (
          <>
            <Axes x={x} y={y} width={width} height={height} />
            {chosen != null && (
              <rect
                class="cursor-box"
                x={LEFT + (chosen % columns) * wide}
                y={height - FOOT - (Math.floor(chosen / columns) + 1) * tall}
                width={wide}
                height={tall}
              />
            )}
          </>
        );
      }}
    />
  );
}

function Axes(props: { x: Axis; y: Axis; width: number; height: number }): JSX.Element {
  const { x, y, width, height } = props;
  return (
    <>
      <Beside
        marks={ticks(y.low, y.high, 5)}
        at={scale(y.low, y.high, height - FOOT, TOP)}
        x={LEFT}
        to={width - RIGHT}
        title={titled(y)}
        middle={(height - FOOT + TOP) / 2}
        grid={false}
      />
      <Below
        marks={ticks(x.low, x.high, Math.max(2, Math.floor(width / 100)))}
        at={scale(x.low, x.high, LEFT, width - RIGHT)}
        y={height - FOOT}
        from={LEFT}
        to={width - RIGHT}
        title={titled(x)}
      />
    </>
  );
}

function Field(props: { counts: Props["counts"]; width: number; height: number }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { counts, width, height } = props;
  const dark = isDark.value;
  const columns = counts[0]?.length ?? 0;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, columns, counts.length);
    const most = Math.sqrt(Math.max(...counts.map((row) => Math.max(...row)), 1));
    counts.forEach((row, up) =>
      row.forEach((many, across) => {
        if (many === 0) return;
        context.fillStyle = density(Math.sqrt(many) / most, dark);
        context.fillRect(across, counts.length - 1 - up, 1, 1);
      }),
    );
  }, [counts, dark]);
  return (
    <canvas
      ref={canvas}
      class="heat"
      width={columns}
      height={counts.length}
      aria-hidden="true"
      style={{
        insetInlineStart: `${LEFT}px`,
        insetBlockStart: `${TOP}px`,
        inlineSize: `${width}px`,
        blockSize: `${height}px`,
      }}
    />
  );
}

/** What the colours mean: 1 cell to the most; the root of the number is what is drawn. */
export function HeatLegend({ most }: { most: number }): JSX.Element {
  const steps = 24;
  return (
    <p class="heat-legend small muted">
      1
      <svg
        width={120}
        height={10}
        viewBox={`0 0 ${steps} 1`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        {Array.from({ length: steps }, (_, step) => (
          <rect
            key={step}
            x={step}
            width={1.05}
            height={1}
            fill={density((step + 1) / steps, isDark.value)}
          />
        ))}
      </svg>
      {count(most)} cells in a bin
    </p>
  );
}
