// A small bar chart in SVG: one bar a day, an hour, a bin.
import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { brief } from "../format";
import "./more.css";

export interface Bar {
  /** On the axis. */
  label: string;
  value: number;
  /** What is said of it when it is pointed at. */
  text: string;
}

interface BarsProps {
  bars: readonly Bar[];
  /** What the bars are, in words. */
  title: string;
  /** Labels are written below every `every`-th bar. */
  every?: number;
  /** How a value is written. */
  said?: (value: number) => string;
}

const HEIGHT = 140;
const TOP = 20;
const GAP = 0.3;
const LEAST = 2;

/** As wide as there is room, so that letters keep their size; the values are also a table, unseen. */
export function Bars({ bars, title, every = 7, said = brief }: BarsProps): JSX.Element {
  const [at, setAt] = useState<number | null>(null);
  const [frame, width] = useWidth();
  const most = Math.max(...bars.map((bar) => bar.value), 0);
  const step = width / Math.max(bars.length, 1);
  const high = (value: number) =>
    value > 0 ? Math.max((value / most) * (HEIGHT - TOP), LEAST) : 0;
  return (
    <figure class="bars" ref={frame}>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT + 22}`}
        aria-hidden="true"
        onMouseLeave={() => setAt(null)}
      >
        <line class="bars-most" x1="0" x2={width} y1={TOP} y2={TOP} />
        {most > 0 && (
          <text x="0" y={TOP - 6}>
            {said(most)}
          </text>
        )}
        {bars.map((bar, index) => (
          <g key={bar.label} onMouseEnter={() => setAt(index)}>
            <rect class="bars-ground" x={index * step} y="0" width={step} height={HEIGHT} />
            <rect
              class={index === at ? "bars-bar at" : "bars-bar"}
              x={index * step + (step * GAP) / 2}
              y={HEIGHT - high(bar.value)}
              width={step * (1 - GAP)}
              height={high(bar.value)}
              rx="2"
            />
            {index % every === 0 && (
              <text x={index * step + (step * GAP) / 2} y={HEIGHT + 17}>
                {bar.label}
              </text>
            )}
          </g>
        ))}
        <line class="bars-axis" x1="0" x2={width} y1={HEIGHT} y2={HEIGHT} />
      </svg>
      <figcaption class="small muted">{at == null ? title : bars[at]?.text}</figcaption>
      <ul class="unseen">
        {bars
          .filter((bar) => bar.value > 0)
          .map((bar) => (
            <li key={bar.label}>{bar.text}</li>
          ))}
      </ul>
    </figure>
  );
}

/** How wide an element is, in CSS px, whenever that changes. */
function useWidth() {
  const frame = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(720);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.max(element.clientWidth, 1)));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  return [frame, width] as const;
}
