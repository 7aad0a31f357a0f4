// What one has used in the last 30 days.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { url } from "../../api/http";
import type { UsageDay, UsageReport } from "../../api/types";
import { count, duration } from "../../format";
import { Choice, Failure, LinkButton, Loading } from "../../parts/basics";
import { Stacked, type Part } from "../../parts/charts/bars";
import { daysOf, dayText } from "../../parts/usage-days";
import { useLoad } from "../../parts/load";

type What = "jobs" | "cells" | "minutes";
const WHATS = [
  ["jobs", "Jobs"],
  ["cells", "Cells"],
  ["minutes", "Minutes"],
] as const;
type Counted = readonly [name: string, tone: Part["tone"], of: (day: UsageDay) => number];
const COUNTED: Record<What, readonly Counted[]> = {
  jobs: [
    ["succeeded", 1, (day) => day.succeeded],
    ["failed", 2, (day) => day.failed],
    ["cancelled or skipped", 5, (day) => day.cancelled + day.skipped],
  ],
  cells: [["cells", 1, (day) => day.cells]],
  minutes: [["computed", 1, (day) => day.lane_s / 60]],
};
const UNITS: Record<What, string> = { jobs: "jobs", cells: "cells", minutes: "min" };
export function Usage(): JSX.Element {
  const { data, error, again } = useLoad<UsageReport>("/me/usage");
  const [what, setWhat] = useState<What>("jobs");
  return (
    <section class="card account-wide stack tight" aria-labelledby="usage">
      <div class="row apart">
        <h2 id="usage">The last 30 days</h2>
        <div class="row">
          <Choice label="What is counted" options={WHATS} value={what} onChange={setWhat} />
          <LinkButton href={url("/me/usage", { format: "csv" })} icon="download" download>
            CSV
          </LinkButton>
        </div>
      </div>
      {error && <Failure error={error} onRetry={again} />}
      {!data && !error && <Loading rows={4} label="Loading the usage" />}
      {data && <Sums days={data.days} />}
      {data && data.days.length === 0 && (
        <p class="muted">Nothing was used yet: it is drawn here by day once something was.</p>
      )}
      {data && data.days.length > 0 && <Days report={data} what={what} />}
    </section>
  );
}

function Days({ report, what }: { report: UsageReport; what: What }): JSX.Element {
  const byDay = new Map(report.days.map((day) => [day.day, day]));
  const days = daysOf(report);
  const parts = COUNTED[what].map(([name, tone, of]) => ({
    name,
    tone,
    values: days.map((at) => {
      const day = byDay.get(at);
      return day ? of(day) : 0;
    }),
  }));
  return (
    <Stacked
      label={`Your usage by day (UTC), in ${UNITS[what]}.`}
      unit={UNITS[what]}
      at={days.map(dayText)}
      parts={parts}
      height={180}
    />
  );
}

type Summed = "succeeded" | "failed" | "reused" | "cells" | "lane_s";

function Sums({ days }: { days: readonly UsageDay[] }): JSX.Element {
  const sum = (name: Summed) => days.reduce((all, day) => all + day[name], 0);
  const shown = [
    ["Jobs succeeded", count(sum("succeeded"))],
    ["Failed", count(sum("failed"))],
    ["Taken from equal jobs", count(sum("reused"))],
    ["Cells", count(sum("cells"))],
    ["Computed", duration(sum("lane_s"))],
  ] as const;
  return (
    <dl class="account-sums">
      {shown.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
