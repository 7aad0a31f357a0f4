// What the panel holds, by what is looked at.
import type { JSX } from "preact";
import type { ApiError } from "../../api/http";
import { LinkButton, Notice } from "../../parts/basics";
import { count, mppSource, number } from "../../format";
import { hasEnded } from "../../live";
import { link } from "../../router";
import type { Looking } from "./address";
import { CompareSection } from "./compare";
import type { DeskProps } from "./desk";
import { CellsSection, LayersSection, Section } from "./panel";
import type { Chunks } from "./shapes";
import type { Stage } from "./stage";

interface Props extends DeskProps {
  looking: Looking;
  stage: Stage;
  chunks: Chunks | null;
  hasTissue: boolean;
  /** Why there is no chunk map. */
  error: ApiError | null;
}

export function Sections(props: Props): JSX.Element {
  const { looking, stage, chunks, hasTissue, first, second, path, slideId } = props;
  const view = first?.view ?? null;
  const job = first?.job ?? null;
  return (
    <>
      {view?.overlay && <CellsSection {...{ looking, stage, view }} isCompared={second !== null} />}
      {job && !view?.overlay && <NoCellsYet {...props} />}
      <LayersSection
        {...{ looking, stage, chunks, hasTissue }}
        error={props.error}
        isOver={job !== null && hasEnded(job)}
        hasChunks={view?.overlay != null}
      />
      {job && job.kind === "cell_segmentation" && (
        <CompareSection
          job={job}
          other={path[2] ?? null}
          looking={looking}
          first={view}
          second={second?.view ?? null}
        />
      )}
      <SlideSection {...props} />
      {slideId && (
        <div class="viewer-section">
          <LinkButton href={link(["new"], { slide: slideId })} kind="primary" icon="workflow">
            Segment cells
          </LinkButton>
        </div>
      )}
    </>
  );
}

function NoCellsYet({ first }: Props): JSX.Element | null {
  const job = first?.job;
  if (!job) return null;
  const isMask = job.kind === "tissue_mask";
  const title = hasEnded(job) ? "It ended without cells." : "No cells yet.";
  const why = `${job.why.sentence.charAt(0).toUpperCase()}${job.why.sentence.slice(1)}`;
  return (
    <Section title="Cells">
      <Notice tone={job.state === "failed" ? "bad" : job.question ? "warn" : "info"}>
        <strong>{isMask ? "This job finds tissue, not cells." : title}</strong>
        <p>{isMask ? "The tissue mask is what it has found." : why}</p>
        {job.failure && <p class="muted">{job.failure.remedy}</p>}
        {job.question && <a href={link(["queue"])}>Answer its question in the queue</a>}
      </Notice>
    </Section>
  );
}

function SlideSection({ slide }: Props): JSX.Element {
  return (
    <Section title="Slide">
      <dl class="facts">
        <dt>Size</dt>
        <dd>
          {count(slide.width)} × {count(slide.height)} px
        </dd>
        <dt>Pixel size</dt>
        <dd>
          {slide.mpp ? `${number(slide.mpp, 4)} µm` : "not known: lengths are in px"}
          {slide.mpp_source && <span class="muted"> {mppSource(slide.mpp_source)}</span>}
        </dd>
        {slide.mpp && (
          <>
            <dt>Field</dt>
            <dd>
              {number((slide.width * slide.mpp) / 1000)} ×{" "}
              {number((slide.height * slide.mpp) / 1000)} mm
            </dd>
          </>
        )}
      </dl>
    </Section>
  );
}
