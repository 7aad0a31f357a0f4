// The lines, marks and names around a drawing.
import type { JSX } from "preact";
import { markText } from "./scale";

interface BelowProps {
  marks: readonly number[];
  at: (value: number) => number;
  y: number;
  from: number;
  to: number;
  title?: string;
  text?: (value: number) => string;
}

/** The axis along the bottom, with its title at the end. */
export function Below({ marks, at, y, from, to, title, text = markText }: BelowProps) {
  const anchor = (x: number) => (x < from + 14 ? "start" : x > to - 14 ? "end" : "middle");
  return (
    <g class="axis">
      <line x1={from} x2={to} y1={y} y2={y} />
      {marks.map((value) => (
        <g key={value}>
          <line x1={at(value)} x2={at(value)} y1={y} y2={y + 4} />
          <text x={at(value)} y={y + 16} text-anchor={anchor(at(value))}>
            {text(value)}
          </text>
        </g>
      ))}
      {title && (
        <text class="axis-title" x={(from + to) / 2} y={y + 33} text-anchor="middle">
          {title}
        </text>
      )}
    </g>
  );
}

interface BesideProps {
  marks: readonly number[];
  at: (value: number) => number;
  x: number;
  to: number;
  title?: string;
  /** Where the title's middle is. */
  middle?: number;
  grid?: boolean;
}

/** The axis at the left, with lines across. */
export function Beside(props: BesideProps): JSX.Element {
  const { marks, at, x, to, title, middle = 0, grid = true } = props;
  return (
    <g class="axis">
      {marks.map((value) => (
        <g key={value}>
          {grid ? (
            <line class="grid" x1={x} x2={to} y1={at(value)} y2={at(value)} />
          ) : (
            <line x1={x - 4} x2={x} y1={at(value)} y2={at(value)} />
          )}
          <text x={x - 7} y={at(value) + 4} text-anchor="end">
            {markText(value)}
          </text>
        </g>
      ))}
      {title && (
        <text
          class="axis-title"
          transform={`translate(12 ${middle}) rotate(-90)`}
          text-anchor="middle"
        >
          {title}
        </text>
      )}
    </g>
  );
}
