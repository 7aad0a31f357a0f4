// Why a job is where it is, in the service's words; jobs that it names can be gone to.
import type { JSX } from "preact";
import type { Job } from "../../api/types";
import { duration } from "../../format";
import { hasEnded } from "../../jobs";
import { jobs } from "../../live";
import { numberOf } from "./group";
import { nameOf } from "./names";
import { jobLink } from "./places";

const JOB = /(job-[0-9a-z]+-\d+)/;

const FIRST = /(; first is job )(job-[0-9a-z]+-\d+): .*$/s;

/** A line waits for its first job, which is known as it is now, not as it was at the last event. */
function current(text: string): string {
  return text.replace(FIRST, (whole: string, is: string, id: string) => {
    const first = jobs.value?.get(id);
    return first && !hasEnded(first) ? `${is}${id}: ${first.why.sentence}` : whole;
  });
}

export function Sentence({ text, of }: { text: string; of: Job }): JSX.Element {
  const parts = current(text)
    .replace(/\bjob (job-)/g, "$1")
    .split(JOB);
  return (
    <>
      {parts.map((part, at) =>
        at % 2 ? <Named key={at} id={part} of={of} /> : at === 0 ? cap(part) : part,
      )}
    </>
  );
}

const cap = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** A branch may hold jobs of several workflows: those of another are named with it. */
function Named({ id, of }: { id: string; of: Job }): JSX.Element {
  const found = jobs.value?.get(id);
  const other = found && found.workflow !== of.workflow ? ` of “${nameOf(found.workflow)}”` : "";
  const slide = found?.slide;
  return (
    <a href={jobLink(id)} title={slide ? `${slide} (${id})` : id}>
      {`job ${numberOf(id)}${other}`}
    </a>
  );
}

/** The sentence, and when it is expected to be over. */
export function Why({ job, brief }: { job: Job; brief?: boolean }): JSX.Element {
  const { sentence, eta_s: eta } = job.why;
  return (
    <p class={brief ? "q-why q-clamp four" : "q-why"} title={brief ? sentence : undefined}>
      <Sentence text={sentence} of={job} />
      {eta != null && !/about/.test(sentence) && (
        <span class="muted">{` · about ${duration(Math.max(1, Math.round(eta)))}`}</span>
      )}
    </p>
  );
}
