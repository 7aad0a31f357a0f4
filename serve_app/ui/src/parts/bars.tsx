// A small bar chart in SVG: one bar a day, an hour, a bin.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { brief } from "../format";
import "./more.css";

export interface Bar {
  /** On the axis and in the table for screen readers. */
  label: string;
  value: number;
  /** What is said of it when it is pointed at. */
  text: string;
}

const WIDTH = 720;
const HEIGHT = 150;
const TOP = 18;
const GAP = 0.28;

/** `title`: what the bars are, in words. Labels are written below every `every`-th bar. */
export function Bars(props: { bars: Bar[]; title: string; every?: number }): JSX.Element {
  const [at, setAt] = useState<number | null>(null);
  const { bars, title, every = 7 } = props;
  const most = Math.max(...bars.map((bar) => bar.value), 0);
  const step = WIDTH / Math.max(bars.length, 1);
  const high = (value: number) => (most > 0 ? (value / most) * (HEIGHT - TOP) : 0);
  return (
    <figure class="bars">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT + 24}`}
        role="img"
        aria-label={`${title}, ${bars.length} bars, at most ${brief(most)}`}
        onMouseLeave={() => setAt(null)}
      >
        <line class="bars-most" x1="0" x2={WIDTH} y1={TOP} y2={TOP} />
        {most > 0 && (
          <text x="0" y={TOP - 6}>
            {brief(most)}
          </text>
        )}
        {bars.map((bar, index) => (
          <g key={bar.label} onMouseEnter={() => setAt(index)}>
            <rect class="bars-ground" x={index * step} y="0" width={step} height={HEIGHT} />
            <rect
              class={index === at ? "bars-bar at" : "bars-bar"}
              x={index * step + (step * GAP) / 2}
              y={HEIGHT - Math.max(high(bar.value), bar.value > 0 ? 2 : 0)}
              width={step * (1 - GAP)}
              height={Math.max(high(bar.value), bar.value > 0 ? 2 : 0)}
              rx="2"
            />
            {index % every === 0 && (
              <text x={index * step + (step * GAP) / 2} y={HEIGHT + 17}>
                {bar.label}
              </text>
            )}
          </g>
        ))}
        <line class="bars-axis" x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
      </svg>
      <figcaption class="small muted">{at == null ? title : bars[at]?.text}</figcaption>
    </figure>
  );
}
