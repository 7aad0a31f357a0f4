// The viewer: a job's cells on its slide, two jobs of one slide, or a slide alone.
import type { JSX } from "preact";
import type { ApiError } from "../api/http";
import { Empty, Failure, LinkButton, Loading } from "../parts/basics";
import { useLoad } from "../parts/load";
import { link } from "../router";
import type { ViewProps } from ".";
import { Chooser } from "./view/chooser";
import { Desk } from "./view/desk";
import { useLiveJob } from "./view/live-view";
import type { SlideFacts } from "./view/shapes";
import "./view/view.css";

export function ViewView({ path, query }: ViewProps): JSX.Element {
  const [job, other] = path;
  const slide = query.get("slide");
  if (job) return <JobViewer key={`${job} ${other}`} {...{ job, query }} other={other ?? null} />;
  if (slide) return <SlideViewer key={slide} slide={slide} query={query} />;
  return <Chooser />;
}

interface JobProps {
  job: string;
  other: string | null;
  query: URLSearchParams;
}

function JobViewer({ job, other, query }: JobProps): JSX.Element {
  const first = useLiveJob(job);
  const second = useLiveJob(other);
  const slide = first.view?.slide;
  if (first.job?.results_deleted_at) return <Deleted slide={first.job.slide_id} />;
  const error = slide ? null : (first.error ?? null);
  if (error) return <Broken error={error} onRetry={first.again} />;
  if (other && second.error && !second.view) {
    return <Broken error={second.error} onRetry={second.again} />;
  }
  if (!slide) return <Opening />;
  const path = other ? ["view", job, other] : ["view", job];
  return <Desk {...{ slide, first, path, query }} slideId={null} second={other ? second : null} />;
}

function SlideViewer({ slide, query }: { slide: string; query: URLSearchParams }): JSX.Element {
  const { data, error, again } = useLoad<SlideFacts>(`/slides/${slide}/view`);
  if (error && !data) return <Broken error={error} onRetry={again} />;
  if (!data) return <Opening />;
  return (
    <Desk slide={data} slideId={slide} first={null} second={null} path={["view"]} query={query} />
  );
}

function Opening(): JSX.Element {
  return (
    <div class="viewer-opening">
      <Loading rows={1} label="Opening the slide" />
      <p class="muted">Opening the slide …</p>
    </div>
  );
}

function Broken({ error, onRetry }: { error: ApiError; onRetry: () => void }): JSX.Element {
  return (
    <div class="viewer-broken">
      <Failure error={error} onRetry={onRetry} />
      <LinkButton href={link(["view"])} icon="view">
        Choose another job
      </LinkButton>
    </div>
  );
}

function Deleted({ slide }: { slide: string | null }): JSX.Element {
  return (
    <div class="viewer-broken">
      <Empty
        icon="trash"
        title="The results of this job were deleted"
        action={
          <>
            {slide && (
              <LinkButton href={link(["view"], { slide })} kind="primary" icon="slides">
                Open the slide alone
              </LinkButton>
            )}
            <LinkButton href={link(["view"])}>Choose another job</LinkButton>
          </>
        }
      >
        Its cells are gone. The job itself stays in your list.
      </Empty>
    </div>
  );
}
