import type { JSX } from "preact";
import { count, many, number } from "../../format";
import { Below } from "./axes";
import { Chart } from "./chart";
import { scale, ticks } from "./scale";

export interface Quartiles {
  p25: number;
  median: number;
  p75: number;
}

interface Props {
  name: string;
  unit: string;
  low: number;
  high: number;
  counts: readonly number[];
  quartiles: Quartiles | null;
  below?: number;
  above?: number;
  height?: number;
}

const EDGE = 2;
const TOP = 16;
const FOOT = 22;

/** How one measurement is distributed: bins of equal width, the middle half and the median marked. */
export function Histogram(props: Props): JSX.Element {
  const { name, unit, low, high, counts, quartiles, below = 0, above = 0, height = 150 } = props;
  const bins = counts.length;
  const step = (high - low) / bins;
  const inUnit = (value: number) => `${number(value)}${unit && ` ${unit}`}`;
  const span = (bin: number) => `${number(low + bin * step)} to ${inUnit(low + (bin + 1) * step)}`;
  const cellsIn = (bin: number) => counts[bin] ?? 0;
  return (
    <Chart
      label={`${name}: cells by ${bins} bins.`}
      height={height}
      points={bins}
      under={(x, _, width) => {
        const bin = Math.floor(((x - EDGE) / (width - 2 * EDGE)) * bins);
        return bin >= 0 && bin < bins ? bin : null;
      }}
      read={(bin) => `${span(bin)}: ${many(cellsIn(bin), "cell")}`}
      hint={outside(below, above)}
      sheet={{
        head: [unit ? `From, ${unit}` : "From", unit ? `To, ${unit}` : "To", "Cells"],
        rows: () =>
          counts.map((cells, bin) => [
            number(low + bin * step),
            number(low + (bin + 1) * step),
            count(cells),
          ]),
      }}
      draw={(width, chosen) => {
        const x = scale(low, high, EDGE, width - EDGE);
        return (
          <>
            <Bars {...props} width={width} height={height} chosen={chosen} />
            {quartiles && <Median x={x(quartiles.median)} foot={height - FOOT} width={width} />}
            <Below
              marks={ticks(low, high, Math.max(2, Math.floor(width / 80)))}
              at={x}
              y={height - FOOT}
              from={EDGE}
              to={width - EDGE}
            />
          </>
        );
      }}
    />
  );
}

function Bars(props: Props & { width: number; height: number; chosen: number | null }) {
  const { low, high, counts, quartiles, width, height, chosen } = props;
  const foot = height - FOOT;
  const y = scale(0, Math.max(...counts, 1), foot, TOP);
  const wide = (width - 2 * EDGE) / counts.length;
  const inMiddle = (bin: number) => {
    const middle = low + ((bin + 0.5) * (high - low)) / counts.length;
    return quartiles != null && middle >= quartiles.p25 && middle <= quartiles.p75;
  };
  return (
    <>
      {chosen != null && (
        <rect
          class="chart-column"
          x={EDGE + chosen * wide}
          y={TOP}
          width={wide}
          height={foot - TOP}
        />
      )}
      {counts.map((cells, bin) => (
        <rect
          key={bin}
          class={`bar${inMiddle(bin) ? " middle" : ""}${chosen === bin ? " chosen" : ""}`}
          x={EDGE + bin * wide}
          y={y(cells)}
          width={Math.max(wide - 0.8, 0.6)}
          height={foot - y(cells)}
        />
      ))}
    </>
  );
}

function Median({ x, foot, width }: { x: number; foot: number; width: number }): JSX.Element {
  const isRight = x > width - 60;
  return (
    <g class="median">
      <line x1={x} x2={x} y1={4} y2={foot} />
      <text x={isRight ? x - 5 : x + 5} y={12} text-anchor={isRight ? "end" : "start"}>
        median
      </text>
    </g>
  );
}

function outside(below: number, above: number): string {
  const parts = [
    below ? `${count(below)} below` : "",
    above ? `${count(above)} above what is drawn` : "",
  ].filter(Boolean);
  if (parts.length === 0) return "";
  return above ? parts.join(", ") : `${parts[0]} what is drawn`;
}
