// Addresses of this view; the filters stay while one looks at a job.
import { link, place } from "../../router";

export const FILTERS = ["show", "workflow", "branch", "state", "slide"] as const;

/** What is filtered for now, as it stands in the address. */
export function filters(query: URLSearchParams): Record<string, string | null> {
  return Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
}

export const jobLink = (job: string, tab?: "log"): string => {
  const here = place.value.path[0] === "queue" ? filters(place.value.query) : {};
  return link(["queue", job], { ...here, tab });
};
