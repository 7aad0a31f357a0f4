// The bar over the slide: what is looked at, how far it is, what can be done with the view.
import type { JSX } from "preact";
import { brief, count, duration } from "../../format";
import { Button, LinkButton, Progress, State } from "../../parts/basics";
import { hasEnded } from "../../live";
import { link } from "../../router";
import type { Job } from "../../api/types";
import type { DeskProps } from "./desk";
import type { Action } from "./keys";

interface Props extends DeskProps {
  act: (action: Action) => void;
  isPanelShown: boolean;
}

export function Crown(props: Props): JSX.Element {
  const { slide, first, second, act, isPanelShown } = props;
  const job = first?.job ?? null;
  return (
    <header class="viewer-crown">
      <LinkButton href={link(["view"])} kind="quiet" icon="slides" label="Another job or slide" />
      <div class="viewer-title">
        <h1 class="truncate" title={slide.name}>
          {slide.name}
        </h1>
        <span class="muted small truncate">
          {job ? `${job.id}${second?.job ? ` and ${second.job.id}` : ""}` : "without cells"}
        </span>
      </div>
      {job && <Course job={job} />}
      {job && <Onward job={job} />}
      <div class="viewer-acts" role="group" aria-label="The view">
        <Button kind="quiet" icon="rotate" label="Turn by 90° (R)" onClick={() => act("turn")} />
        <Button kind="quiet" icon="expand" label="Full screen (F)" onClick={() => act("full")} />
        <Button
          kind="quiet"
          icon="camera"
          label="Save a picture (S)"
          onClick={() => act("snapshot")}
        />
        <Button kind="quiet" icon="link" label="Copy the link (L)" onClick={() => act("link")} />
        <Button kind="quiet" icon="keys" label="Keys (?)" onClick={() => act("help")} />
        <Button
          icon="panel"
          label={isPanelShown ? "Close the panel (P)" : "Open the panel (P)"}
          pressed={isPanelShown}
          onClick={() => act("panel")}
        />
      </div>
    </header>
  );
}

/** Where one goes from a look at the cells. */
function Onward({ job }: { job: Job }): JSX.Element | null {
  if (job.state !== "succeeded") {
    return (
      <div class="viewer-onward">
        <LinkButton href={link(["queue", job.id])} kind="quiet" icon="queue">
          In the queue
        </LinkButton>
      </div>
    );
  }
  return (
    <div class="viewer-onward">
      <LinkButton href={link(["results", job.id])} kind="quiet" icon="results">
        Results
      </LinkButton>
      {job.kind === "cell_segmentation" && (
        <LinkButton href={link(["review", job.id])} kind="quiet" icon="review">
          Quality check
        </LinkButton>
      )}
    </div>
  );
}

/** How far a job is: a strip while it runs, its end in a word. */
function Course({ job }: { job: Job }): JSX.Element {
  const share = job.tiles_total ? job.tiles_done / job.tiles_total : null;
  if (hasEnded(job)) {
    const isPartial = job.state !== "succeeded" && job.cells > 0;
    return (
      <div class="viewer-course">
        <State state={job.state} />
        <span class="small">
          {job.kind === "tissue_mask" ? "tissue mask" : `${count(job.cells)} cells`}
          {isPartial && " found before it ended"}
        </span>
        {job.failure && (
          <span class="small field-error truncate" title={job.failure.message}>
            {job.failure.message}
          </span>
        )}
      </div>
    );
  }
  return (
    <div class="viewer-course running" role="status">
      <State state={job.state} />
      <Progress value={share} label="Progress of the job" />
      <span class="small truncate">
        {job.tiles_total === null
          ? job.why.sentence
          : `${count(job.tiles_done)} / ${count(job.tiles_total)} tiles`}
        {" · "}
        <strong>{brief(job.cells)}</strong> cells
        {job.tiles_per_s !== null && ` · ${job.tiles_per_s.toFixed(1)} tiles/s`}
        {job.eta_s !== null && ` · ${duration(job.eta_s)} left`}
      </span>
    </div>
  );
}
