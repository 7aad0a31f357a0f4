import type { JSX } from "preact";
import { percent } from "../../format";
import type { Interval } from "./interval";
import "./accuracy.css";

/** A share with its interval on a line from 0 to 100 %: the more answers, the narrower. */
export function AccuracyBar(props: { interval: Interval | null; label: string }): JSX.Element {
  const { interval, label } = props;
  const text = interval
    ? `${label}: ${percent(interval.share, 1)}, from ${percent(interval.low, 1)} to ${percent(interval.high, 1)}`
    : `${label}: nothing is known yet`;
  const [low, high] = interval ? [interval.low, interval.high] : [0, 1];
  return (
    <div class="accuracy-bar" role="img" aria-label={text}>
      <span class="accuracy-line" />
      <span
        class={interval ? "accuracy-span" : "accuracy-span unknown"}
        style={{ insetInlineStart: `${low * 100}%`, inlineSize: `${(high - low) * 100}%` }}
      />
      {interval && (
        <span class="accuracy-point" style={{ insetInlineStart: `${interval.share * 100}%` }} />
      )}
      {[0, 25, 50, 75, 100].map((mark) => (
        <span key={mark} class="accuracy-mark" style={{ insetInlineStart: `${mark}%` }}>
          {mark}
          {mark === 100 && " %"}
        </span>
      ))}
    </div>
  );
}
