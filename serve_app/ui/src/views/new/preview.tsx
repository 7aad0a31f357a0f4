// The slide of the chosen job before anything is computed: its tissue as the job would find it, its
// pixel size, or the question for it.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, ask, asApiError } from "../../api/http";
import { mppSource } from "../../parts/mpp";
import { Icon } from "../../parts/icons";
import { link } from "../../router";
import { number, percent } from "../../format";
import { SettingField } from "./field";
import { specified, type Job } from "./graph";
import { MPP } from "./schema";
import { slideById, slideName, thumbnail } from "./slides";
import { draft, edit, invalid } from "./state";

/** What `GET /slides/{slide}/tissue` answers. */
interface Tissue {
  mpp: number | null;
  mpp_source: string | null;
  question: string | null;
  tissue_mm2: number | null;
  fraction: number | null;
  warnings: string[];
  png: string | null;
}

const LATER_MS = 350;
const GIVEN = "The file does not say: the job goes by this.";

interface Seen {
  of: string;
  data: Tissue | null;
  error: ApiError | null;
}

/** The tissue of a slide under a job's settings, asked for once they rest. */
function useTissue(job: Job): { data: Tissue | null; error: ApiError | null; isOld: boolean } {
  const known = slideById.value.get(job.spec.slide);
  const query = { ...(job.spec["tissue"] as object | undefined), mpp: job.spec["mpp"] as number };
  const wanted = known?.state === "ready" ? JSON.stringify([known.id, query]) : "";
  const isValid = ![...invalid.value.keys()].some((at) => at.startsWith(`${job.id}/tissue.`));
  const [seen, setSeen] = useState<Seen>({ of: "", data: null, error: null });
  const first = useRef(true);
  useEffect(() => {
    if (!wanted || !isValid || !known) return;
    const stop = new AbortController();
    const load = () =>
      ask<Tissue>(`/slides/${known.id}/tissue`, { query, signal: stop.signal }).then(
        (data) => setSeen({ of: wanted, data, error: null }),
        (error: unknown) =>
          stop.signal.aborted || setSeen({ of: wanted, data: null, error: asApiError(error) }),
      );
    const timer = setTimeout(load, first.current ? 0 : LATER_MS);
    first.current = false;
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [wanted, isValid]);
  return { data: seen.data, error: seen.error, isOld: seen.of !== wanted };
}

export function Preview({ job }: { job: Job }): JSX.Element {
  const slide = slideById.value.get(job.spec.slide);
  const { data, error, isOld } = useTissue(job);
  const mpp = (job.spec["mpp"] as number | undefined) ?? data?.mpp ?? slide?.mpp ?? null;
  const source = job.spec["mpp"] != null ? "user" : (data?.mpp_source ?? slide?.mpp_source);
  // Also once it is answered: who types 0.25 has typed 0.2 before.
  const isAsked = slide?.state === "ready" && slide.mpp === null;
  // Not there on an older service: the thumbnail and the estimate say enough.
  const failed = error && error.status !== 404 && error.code !== "mpp_missing" ? error : null;
  return (
    <aside class="preview" aria-label={`The slide ${slideName(job.spec.slide)}`}>
      <Shown slide={job.spec.slide} mask={data?.png ?? null} isOld={isOld} />
      <p class="preview-name truncate" title={slideName(job.spec.slide)}>
        {slide ? (
          <a href={link(["slides"], { q: slide.name })}>{slide.name}</a>
        ) : (
          slideName(job.spec.slide)
        )}
      </p>
      <dl class="facts">
        {slide?.width && (
          <>
            <dt>Size</dt>
            <dd>
              {slide.width.toLocaleString("en")} × {slide.height?.toLocaleString("en")} px
            </dd>
          </>
        )}
        <dt>Pixel size</dt>
        <dd>{mpp === null ? "not known" : `${number(mpp, 4)} µm, ${mppSource(source)}`}</dd>
        {data?.tissue_mm2 != null && mpp !== null && (
          <>
            <dt>Tissue</dt>
            <dd>
              {number(data.tissue_mm2)} mm²
              {data.fraction != null && `, ${percent(data.fraction)} of the slide`}
            </dd>
          </>
        )}
      </dl>
      {isAsked && <Question job={job} text={data?.question ?? null} />}
      {data?.warnings.map((text) => (
        <p key={text} class="preview-warning small">
          <Icon name="warning" size={16} /> {text}
        </p>
      ))}
      {failed && (
        <p class="preview-warning small" role="alert">
          <Icon name="warning" size={16} /> {failed.message} {failed.remedy}
        </p>
      )}
    </aside>
  );
}

/** The slide as a whole, with its tissue in colour once that is known. */
function Shown(props: { slide: string; mask: string | null; isOld: boolean }): JSX.Element {
  const { slide, mask, isOld } = props;
  const small = thumbnail(slide);
  return (
    <div class={isOld && small ? "preview-picture is-old" : "preview-picture"}>
      {small ? (
        <>
          <img src={small} alt={`The slide ${slideName(slide)} as a whole`} />
          {mask && <img class="preview-mask" src={mask} alt="Its tissue, coloured" />}
        </>
      ) : (
        <span class="preview-none">
          <Icon name="slides" size={28} />
        </span>
      )}
    </div>
  );
}

/** The pixel size is missing: without it areas mean nothing, so the job would wait for it. */
function Question({ job, text }: { job: Job; text: string | null }): JSX.Element {
  const at = `${job.id}/mpp`;
  const isGiven = job.spec["mpp"] != null;
  return (
    <div class="question">
      <strong>How large is a pixel of this slide?</strong>
      <p class="small">
        {text ?? (isGiven ? GIVEN : "The file does not say. The job would stop and ask for it.")}
      </p>
      <SettingField
        at={at}
        setting={MPP}
        value={job.spec["mpp"] ?? undefined}
        onValue={(value) =>
          edit(specified(draft.value, job.id, { mpp: value ?? undefined }), null, at)
        }
      />
    </div>
  );
}
