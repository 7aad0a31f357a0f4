// A few numbers that are asked for first.
import type { ComponentChildren, JSX } from "preact";
import "./figures.css";

export function Figures({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <dl class="figures" aria-label={label}>
      {children}
    </dl>
  );
}

interface Props {
  name: string;
  value: string;
  unit?: string;
  children?: ComponentChildren;
}

export function Figure({ name, value, unit, children }: Props): JSX.Element {
  return (
    <div class="figure card">
      <dt>{name}</dt>
      <dd>
        <span class="figure-value">{value}</span>
        {unit && <span class="figure-unit"> {unit}</span>}
        <span class="figure-note muted small">{children}</span>
      </dd>
    </div>
  );
}
