import type { JSX } from "preact";
import type { ViewProps } from ".";
import { JobResults } from "./results/job";
import { ResultsList } from "./results/list";
import "./results/results.css";

export function ResultsView({ path, query }: ViewProps): JSX.Element {
  const job = path[0];
  return job ? <JobResults key={job} id={job} query={query} /> : <ResultsList query={query} />;
}
