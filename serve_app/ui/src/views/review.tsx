import type { JSX } from "preact";
import type { ViewProps } from ".";
import { ReviewJob } from "./review/job";
import { ReviewList } from "./review/list";
import "./review/review.css";

export function ReviewView({ path, query }: ViewProps): JSX.Element {
  const job = path[0];
  return job ? <ReviewJob key={job} id={job} query={query} /> : <ReviewList />;
}
