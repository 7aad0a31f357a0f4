// The views by the first part of the address.
import type { JSX } from "preact";
import { AccountView } from "./account";
import { MetricsView } from "./metrics";
import { NewView } from "./new";
import { QueueView } from "./queue";
import { ResultsView } from "./results";
import { ReviewView } from "./review";
import { SlidesView } from "./slides";
import { UsersView } from "./users";
import { ViewView } from "./view";

/** What a view is given: the rest of the path, and the query of the address. */
export interface ViewProps {
  path: string[];
  query: URLSearchParams;
}

export const VIEWS = {
  slides: SlidesView,
  new: NewView,
  queue: QueueView,
  view: ViewView,
  results: ResultsView,
  review: ReviewView,
  metrics: MetricsView,
  users: UsersView,
  account: AccountView,
} satisfies Record<string, (props: ViewProps) => JSX.Element>;

export type ViewName = keyof typeof VIEWS;
