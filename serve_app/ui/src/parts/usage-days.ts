// The days of a usage report, also those on which nothing was used.
import type { UsageReport } from "../api/types";

const DAY_MS = 86_400_000;
const OF_DAY = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  timeZone: "UTC",
});

/** As `UsageDay.day` names them, the earliest first. */
export function daysOf(report: UsageReport): string[] {
  const [first, last] = [Date.parse(report.since), Date.parse(report.until)];
  const many = Math.round((last - first) / DAY_MS) + 1;
  return Array.from({ length: many }, (_, index) =>
    new Date(first + index * DAY_MS).toISOString().slice(0, 10),
  );
}

/** "2026-11-03" as 3 Nov: days of usage are UTC. */
export const dayText = (day: string): string => OF_DAY.format(new Date(day));
