// What cards, rows and the detail of a slide say in the same way, and what can be done with it.
import type { JSX } from "preact";
import { asApiError, url, type ApiError } from "../../api/http";
import type { Slide } from "../../api/types";
import { Button, LinkButton } from "../../parts/basics";
import { confirmed, say, sayError } from "../../parts/dialog";
import { count, mppSource, number } from "../../format";
import { Icon } from "../../parts/icons";
import { go, link } from "../../router";
import { mayChange } from "../../session";
import { deleteSlide } from "./list";

/** The picture, or why there is none. */
export function Picture({ slide, big }: { slide: Slide; big?: boolean }): JSX.Element {
  const kind = `picture${big ? " big" : ""}`;
  if (slide.thumbnail) {
    const where = url(`/slides/${slide.id}/thumbnail`);
    return <img class={kind} src={where} alt="" loading="lazy" decoding="async" />;
  }
  if (slide.state === "checking") return <span class={`${kind} bone`} />;
  return (
    <span class={`${kind} none`}>
      <Icon name={slide.state === "refused" ? "warning" : "slides"} size={big ? 48 : 30} />
    </span>
  );
}

/** um per px; that it is missing is said clearly: it will be asked for. */
export function Mpp({ slide }: { slide: Slide }): JSX.Element | null {
  if (slide.state !== "ready") return null;
  if (slide.mpp == null) {
    return (
      <span
        class="state ask"
        title="The file does not say it: you are asked once, before a job runs"
      >
        no pixel size
      </span>
    );
  }
  return <span title={mppSource(slide.mpp_source)}>{number(slide.mpp)} µm/px</span>;
}

export const dimensions = (slide: Slide): string =>
  slide.width && slide.height ? `${count(slide.width)} × ${count(slide.height)} px` : "–";

export const levelsOf = (slide: Slide): string =>
  `${slide.levels.length} ${slide.levels.length === 1 ? "level" : "levels"}`;

interface ActionProps {
  slide: Slide;
  onRename: () => void;
  /** With words rather than icons alone. */
  words?: boolean;
  /** What leads to its cells stands elsewhere. */
  isApart?: boolean;
}

export function Actions({ slide, onRename, words, isApart }: ActionProps): JSX.Element {
  const isReady = slide.state === "ready";
  const label = (text: string) => `${text} ${slide.name}`;
  return (
    <div class="row actions">
      {isReady && (
        <>
          <LinkButton
            href={link(["view"], { slide: slide.id })}
            icon="view"
            kind={words ? "plain" : "quiet"}
            label={label("Open")}
          >
            {words && "Open slide"}
          </LinkButton>
          {mayChange.value && !isApart && (
            <LinkButton
              href={link(["new"], { slide: slide.id })}
              icon="workflow"
              kind={words ? "primary" : "quiet"}
              label={label("Segment the cells of")}
            >
              {words && "Segment cells"}
            </LinkButton>
          )}
        </>
      )}
      <span class="actions-rest">
        {mayChange.value && (
          <Button icon="edit" kind="quiet" label={label("Rename")} onClick={onRename} />
        )}
        {isReady && (
          <LinkButton
            href={url(`/slides/${slide.id}/file`)}
            icon="download"
            kind="quiet"
            download
            label={label("Download")}
          />
        )}
        {mayChange.value && (
          <Button
            icon="trash"
            kind="quiet"
            label={label("Delete")}
            onClick={() => void remove(slide)}
          />
        )}
      </span>
    </div>
  );
}

async function remove(slide: Slide): Promise<void> {
  const isOurs = slide.source === "upload";
  const text = isOurs
    ? "Its file is deleted from the server and its room is free again. Results of earlier jobs stay."
    : "Only your entry goes: the file stays in the server's folder. Results of earlier jobs stay.";
  const title = `${isOurs ? "Delete" : "Remove"} ${slide.name}?`;
  if (!(await confirmed(title, text, isOurs ? "Delete the slide" : "Remove the entry"))) return;
  try {
    await deleteSlide(slide.id);
    say(`${slide.name} is deleted.`);
    if (location.hash.startsWith(link(["slides", slide.id]))) go(["slides"]);
  } catch (thrown) {
    const error = asApiError(thrown);
    if (error.status === 409) await explainUse(slide, error);
    else sayError(error);
  }
}

async function explainUse(slide: Slide, error: ApiError): Promise<void> {
  const jobs = Array.isArray(error.facts.jobs) ? error.facts.jobs.length : 0;
  const text = (
    <>
      <p>
        {jobs === 1 ? "One unfinished job uses" : `${count(jobs)} unfinished jobs use`} it, so
        nothing was deleted.
      </p>
      <p>{error.remedy}</p>
    </>
  );
  if (await confirmed(`${slide.name} is in use`, text, "Show the queue", false)) go(["queue"]);
}
