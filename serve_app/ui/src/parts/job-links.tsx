// Where one goes from a job: its cells, its results, its quality check, as far as they are there.
import type { JSX } from "preact";
import type { Job } from "../api/types";
import { canBeChecked, hasResults, isRunning } from "../jobs";
import { link } from "../router";
import { LinkButton } from "./basics";
import type { IconName } from "./icons";

interface Props {
  job: Job;
  /** Icons alone, their words as tooltips: where room is short. */
  bare?: boolean;
  /** Whether looking at the cells is what most want here. */
  primary?: boolean;
}

export function JobLinks({ job, bare = false, primary = false }: Props): JSX.Element {
  const to = (view: string, icon: IconName, text: string, isFirst = false) => (
    <LinkButton
      href={link([view, job.id])}
      icon={icon}
      kind={bare ? "quiet" : isFirst ? "primary" : "plain"}
      {...(bare ? { label: text } : {})}
    >
      {!bare && text}
    </LinkButton>
  );
  return (
    <>
      {(hasResults(job) || isRunning(job)) && to("view", "view", "Open the viewer", primary)}
      {hasResults(job) && to("results", "results", "Results")}
      {canBeChecked(job) && to("review", "review", "Quality check")}
    </>
  );
}
