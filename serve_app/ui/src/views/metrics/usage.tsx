// What was used in the last 30 days, by user.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { url } from "../../api/http";
import { Choice, Failure, LinkButton, Loading } from "../../parts/basics";
import { Stacked, type Part } from "../../parts/charts/bars";
import { useLoad } from "../../parts/load";
import type { UsageDay, UsageReport } from "../../api/types";
import { daysOf, dayText } from "../../parts/usage-days";

type What = "jobs" | "tiles" | "cells" | "hours";
const WHATS = [
  ["jobs", "Jobs"],
  ["tiles", "Tiles"],
  ["cells", "Cells"],
  ["hours", "Lane hours"],
] as const;
const OF: Record<What, (day: UsageDay) => number> = {
  jobs: (day) => day.submitted,
  tiles: (day) => day.tiles,
  cells: (day) => day.cells,
  hours: (day) => day.lane_s / 3600,
};
const UNITS: Record<What, string> = { jobs: "jobs", tiles: "tiles", cells: "cells", hours: "h" };
const TONES = [1, 2, 3, 4, 6] as const;
const NAMED = TONES.length;

export function UsageSection(): JSX.Element {
  const { data, error, again } = useLoad<UsageReport>("/usage");
  const [what, setWhat] = useState<What>("jobs");
  return (
    <section class="card stack" aria-labelledby="usage-head">
      <header class="row apart">
        <div>
          <h2 id="usage-head">Usage of the last 30 days</h2>
          <p class="muted small">
            By user and day (UTC); those of most use have a colour of their own.
          </p>
        </div>
        <div class="row">
          <Choice label="What is counted" options={WHATS} value={what} onChange={setWhat} />
          <LinkButton href={url("/usage", { format: "csv" })} icon="download" download>
            CSV
          </LinkButton>
        </div>
      </header>
      {error && <Failure error={error} onRetry={again} />}
      {!data && !error && <Loading label="Loading the usage" rows={5} />}
      {data && data.days.length === 0 && <p class="muted">Nothing was used yet.</p>}
      {data && data.days.length > 0 && (
        <Stacked
          label={`Usage by day and user, in ${UNITS[what]}.`}
          unit={UNITS[what]}
          at={daysOf(data).map(dayText)}
          parts={partsOf(data, OF[what])}
        />
      )}
    </section>
  );
}

/** A part for each of the users of most use, and one for all others. */
function partsOf(usage: UsageReport, of: (day: UsageDay) => number): Part[] {
  const total = new Map<string, number>();
  for (const day of usage.days) total.set(day.user, (total.get(day.user) ?? 0) + of(day));
  const ranked = [...total].sort((a, b) => b[1] - a[1]).map(([user]) => user);
  const named = ranked.slice(0, NAMED);
  const days = daysOf(usage);
  const values = (isOf: (user: string) => boolean) =>
    days.map((day) =>
      usage.days
        .filter((each) => each.day === day && isOf(each.user))
        .reduce((sum, each) => sum + of(each), 0),
    );
  const parts = named.map((user, index): Part => ({
    name: user,
    values: values((each) => each === user),
    tone: TONES[index] ?? 5,
  }));
  if (ranked.length === named.length) return parts;
  const others = values((each) => !named.includes(each));
  return [...parts, { name: "others", values: others, tone: 5 }];
}
