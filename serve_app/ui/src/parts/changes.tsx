// How the measurements of cells that two results have in common differ.
import type { JSX } from "preact";
import type { Diff } from "../api/types";
import { number, unit, words } from "../format";

export function Changes({ diff, caption }: { diff: Diff; caption?: string }): JSX.Element {
  return (
    <table class="table">
      {caption && <caption>{caption}</caption>}
      <thead>
        <tr>
          <th scope="col">Measurement</th>
          <th scope="col" class="number">
            Median
          </th>
          <th scope="col" class="number">
            5 – 95 %
          </th>
        </tr>
      </thead>
      <tbody>
        {Object.entries(diff.changes).map(([name, change]) => (
          <tr key={name}>
            <td>
              {words(name)} <span class="muted">{unit(change.unit)}</span>
            </td>
            <td class="number">{number(change.median, 2)}</td>
            <td class="number">
              {number(change.p05, 2)} to {number(change.p95, 2)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
