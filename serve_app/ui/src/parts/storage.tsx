import type { JSX } from "preact";
import { bytes, percent } from "../format";
import "./more.css";

const NEARLY = 0.9;

/** How much of the room is used; `most` 0: there is no limit. */
export function Storage({ used, most }: { used: number; most: number }): JSX.Element {
  const share = most > 0 ? Math.min(used / most, 1) : null;
  const text = most > 0 ? `${bytes(used)} of ${bytes(most)} used` : `${bytes(used)} used`;
  return (
    <span class={share != null && share > NEARLY ? "storage nearly" : "storage"}>
      <span>{text}</span>
      {share != null && (
        <meter class="storage-bar" min={0} max={1} value={share} aria-label={`Storage: ${text}`}>
          {percent(share)}
        </meter>
      )}
    </span>
  );
}
