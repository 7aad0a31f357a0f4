import type { JSX } from "preact";

/** The mark: a cell with its nucleus, in the colours of the stain. */
export function Brand(): JSX.Element {
  return (
    <span class="brand">
      <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
        <path class="brand-cell" d="M16 2c8 0 14 5 14 13s-5 15-14 15S2 24 2 16 8 2 16 2z" />
        <ellipse class="brand-nucleus" cx="17" cy="15" rx="7.5" ry="6.2" />
        <circle class="brand-spot" cx="19" cy="13.4" r="1.7" />
      </svg>
      raysched
    </span>
  );
}
