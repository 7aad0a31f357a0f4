import type { JSX } from "preact";
import type { Job } from "../../api/types";
import { count, duration, many, number, percent } from "../../format";
import { Notice } from "../../parts/basics";
import { isSegmentation } from "../../jobs";
import { FailedTilesAgain } from "../../parts/failed-tiles";
import { Figure, Figures } from "../../parts/figures";
import { JobPicture } from "../../parts/job-picture";
import { link } from "../../router";
import type { Manifest, Measures } from "./types";

interface Props {
  job: Job;
  manifest: Manifest | null;
  measures: Measures | null;
}

/** The numbers that are asked for first, beside the picture. */
export function Headline({ job, manifest, measures }: Props): JSX.Element {
  const tissue = tissueOf(manifest);
  const failed = manifest?.counts?.tiles_failed ?? [];
  const cells = measures?.cells ?? job.cells;
  const tiles = manifest?.counts?.tissue_tiles ?? job.tiles_total;
  return (
    <section class="headline" aria-label="Headline">
      <a class="headline-picture card" href={link(["view", job.id])} title="Open the viewer">
        <JobPicture
          job={job.id}
          alt={`${job.slide}, in the viewer`}
          hasPreview={job.state === "succeeded"}
        />
      </a>
      <Figures label="In short">
        {isSegmentation(job) && (
          <>
            <Figure name="Cells" value={count(cells)}>
              {measures && !measures.complete && "so far"}
            </Figure>
            <Figure name="Density" value={number(measures?.density_per_mm2, 4)} unit="/ mm²">
              of tissue
            </Figure>
          </>
        )}
        <Figure name="Tissue" value={number(tissue?.mm2)} unit="mm²">
          {tissue && `${percent(tissue.fraction)} of the slide`}
        </Figure>
        {isSegmentation(job) && (
          <Figure name="Tiles" value={tiles == null ? "–" : count(tiles)}>
            {manifest ? (
              <span class={failed.length ? "bad-text" : ""}>
                {failed.length ? `${count(failed.length)} failed` : "none failed"}
              </span>
            ) : (
              `${count(job.tiles_done)} done`
            )}
          </Figure>
        )}
        {manifest && (
          <Figure name="Work" value={duration(sum(Object.values(manifest.timings)))}>
            {job.reused ? "by an equal job" : "of computing"}
          </Figure>
        )}
      </Figures>
      {failed.length > 0 && <Holes job={job} failed={failed} />}
    </section>
  );
}

const sum = (values: number[]) => values.reduce((all, each) => all + each, 0);

interface Failed {
  tile: number;
  reason: string;
}

/** Tiles that could not be read: the result has no cells there. */
function Holes({ job, failed }: { job: Job; failed: Failed[] }): JSX.Element {
  const byReason = new Map<string, number[]>();
  for (const { tile, reason } of failed) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), tile]);
  }
  return (
    <div class="headline-holes">
      <Notice tone="warn">
        <strong>
          The job has succeeded with {many(failed.length, "failed tile")}: no cells are known there.
        </strong>
        <ul>
          {[...byReason].map(([reason, tiles]) => (
            <li key={reason}>
              {reason} <span class="muted">({tilesText(tiles)})</span>
            </li>
          ))}
        </ul>
        <FailedTilesAgain job={job} />
      </Notice>
    </div>
  );
}

function tilesText(tiles: number[]): string {
  const some = tiles.slice(0, 8).join(", ");
  const more = tiles.length - 8;
  return `${tiles.length === 1 ? "tile" : "tiles"} ${some}${more > 0 ? ` and ${more} more` : ""}`;
}

function tissueOf(manifest: Manifest | null): { mm2: number; fraction: number } | null {
  const fraction = manifest?.counts?.tissue_fraction ?? manifest?.tissue_fraction;
  if (!manifest || fraction == null) return null;
  const { width, height, mpp } = manifest.slide;
  return { fraction, mm2: (fraction * width * height * mpp ** 2) / 1e6 };
}
