// What every chart shares: it fills its width, is read by pointer or arrow keys, and is a table too.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "./charts.css";

export interface Sheet {
  head: readonly string[];
  rows: () => readonly (readonly (string | number)[])[];
}

interface ChartProps {
  /** What it shows, in a sentence. */
  label: string;
  height: number;
  /** How many values can be read, one by one. */
  points: number;
  /** Which of them lies under a point of the drawing. */
  under: (x: number, y: number, width: number) => number | null;
  /** One of them in words. */
  read: (index: number) => string;
  draw: (width: number, chosen: number | null) => ComponentChildren;
  /** Below it, while nothing is chosen. */
  hint?: ComponentChildren;
  sheet: Sheet;
  /** How far the arrows up and down go; 0: as left and right. */
  row?: number;
  /** Beneath the SVG: a picture of the same size. */
  backdrop?: (width: number) => ComponentChildren;
}

/** The width that an element has, as it changes. */
export function useWidth(): [(element: Element | null) => void, number] {
  const [width, set] = useState(0);
  const observer = useRef<ResizeObserver | null>(null);
  const attach = useRef((element: Element | null) => {
    observer.current?.disconnect();
    if (!element) return;
    observer.current = new ResizeObserver(([entry]) => {
      if (entry) set(Math.floor(entry.contentRect.width));
    });
    observer.current.observe(element);
  });
  useEffect(() => () => observer.current?.disconnect(), []);
  return [attach.current, width];
}

const MOVES: Record<string, (index: number, last: number, row: number) => number> = {
  ArrowRight: (index) => index + 1,
  ArrowLeft: (index) => index - 1,
  ArrowUp: (index, _, row) => index + (row || 1),
  ArrowDown: (index, _, row) => index - (row || 1),
  Home: () => 0,
  End: (_, last) => last,
};

export function Chart(props: ChartProps): JSX.Element {
  const { label, height, points, read, row = 0 } = props;
  const [attach, width] = useWidth();
  const [chosen, choose] = useState<number | null>(null);
  const last = points - 1;
  const shown = chosen != null && chosen <= last ? chosen : null;
  const onKeyDown = (event: KeyboardEvent) => {
    const move = MOVES[event.key];
    if (!move || points === 0) return;
    event.preventDefault();
    choose(Math.min(Math.max(move(shown ?? -1, last, row), 0), last));
  };
  const onPointerMove = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    choose(props.under(event.clientX - box.left, event.clientY - box.top, width));
  };
  return (
    <div class="chart">
      <div
        ref={attach}
        class="chart-area"
        role="slider"
        tabIndex={0}
        aria-label={`${label} Arrow keys read the values.`}
        aria-valuemin={0}
        aria-valuemax={Math.max(last, 0)}
        aria-valuenow={shown ?? 0}
        aria-valuetext={shown == null ? "nothing chosen" : read(shown)}
        style={{ blockSize: `${height}px` }}
        onKeyDown={onKeyDown}
        onPointerMove={onPointerMove}
        onPointerLeave={() => choose(null)}
        onBlur={() => choose(null)}
      >
        {width > 0 && props.backdrop?.(width)}
        {width > 0 && (
          <svg width={width} height={height} aria-hidden="true">
            {props.draw(width, shown)}
          </svg>
        )}
      </div>
      <p class="chart-read" aria-hidden={shown != null}>
        {shown == null ? props.hint : read(shown)}
      </p>
      <AsTable label={label} sheet={props.sheet} />
    </div>
  );
}

/** The same numbers as a table, made when it is wanted. */
function AsTable({ label, sheet }: { label: string; sheet: Sheet }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="chart-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        As a table<span class="unseen">: {label}</span>
      </summary>
      {isOpen && (
        <div class="scroll" tabIndex={0} role="region" aria-label={label}>
          <table class="table">
            <thead>
              <tr>
                {sheet.head.map((text, column) => (
                  <th key={text} scope="col" class={column ? "number" : ""}>
                    {text}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {sheet.rows().map((row, index) => (
                <tr key={index}>
                  {row.map((value, column) => (
                    <td key={column} class={column ? "number" : ""}>
                      {value}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
