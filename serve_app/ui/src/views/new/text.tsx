// The draft as JSON, to read, change and paste: what `raysched submit --file` takes.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button } from "../../parts/basics";
import { copyText } from "../../parts/copy";
import { Icon } from "../../parts/icons";
import { asked } from "./estimate";
import { asText, fromText, lineOf, located, type Fault } from "./json";
import { draft, edit, invalid, JSON_TEXT, mark, newId, selected } from "./state";

export function TextTab(): JSX.Element {
  const [text, setText] = useState(() => asText(draft.value));
  const [fault, setFault] = useState<Fault | null>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const mine = useRef(draft.value);
  useEffect(() => {
    if (mine.current === draft.value) return; // what was typed here stays as it was typed
    mine.current = draft.value;
    setText(asText(draft.value));
    setFault(null);
    mark(JSON_TEXT, null);
  }, [draft.value]);
  const take = (typed: string) => {
    setText(typed);
    const read = fromText(typed, newId);
    const wrong = "fault" in read ? read.fault : null;
    setFault(wrong);
    if ("draft" in read) {
      mine.current = read.draft;
      edit(read.draft, null, "json");
      selected.value = read.draft.jobs[0]?.id ?? null;
    }
    mark(JSON_TEXT, wrong ? `the JSON: ${wrong.what}` : null);
  };
  const faults = fault ? [fault] : ofService();
  return (
    <section class="card textcard" aria-labelledby="json-title">
      <div class="row apart">
        <h2 id="json-title">The draft as JSON</h2>
        <Button icon="copy" onClick={() => void copyText(text, "The JSON")}>
          Copy
        </Button>
      </div>
      <p class="muted small" id="json-about">
        What you change here changes the board. The same file works with{" "}
        <code>raysched submit --file workflow.json</code>.
      </p>
      <textarea
        ref={area}
        class="text"
        aria-labelledby="json-title"
        aria-describedby="json-about"
        aria-invalid={faults.length > 0}
        spellcheck={false}
        wrap="off"
        value={text}
        onInput={(event) => take(event.currentTarget.value)}
      />
      <Faults text={text} faults={faults} area={area} />
      {faults.length === 0 && !invalid.value.size && asked.value.data && (
        <p class="small good-note">
          <Icon name="review" size={16} /> The service would take this as it is.
        </p>
      )}
    </section>
  );
}

interface FaultsProps {
  text: string;
  faults: readonly Fault[];
  area: { current: HTMLTextAreaElement | null };
}

/** What is wrong, each with the way to it. */
function Faults({ text, faults, area }: FaultsProps): JSX.Element {
  const show = (each: Fault) => {
    const [from, to] =
      each.at === undefined ? located(text, each.where ?? "") : [each.at, each.at + 1];
    area.current?.focus();
    area.current?.setSelectionRange(from, to);
    const line = lineOf(text, from).line;
    const height = parseFloat(getComputedStyle(area.current!).lineHeight) || 18;
    area.current!.scrollTop = Math.max(0, (line - 4) * height);
  };
  return (
    <ul class="faults" aria-live="polite" aria-label="What is wrong with it">
      {faults.map((each) => (
        <li key={`${each.where ?? ""}${each.what}`}>
          <button type="button" class="fault" onClick={() => show(each)}>
            <Icon name="warning" size={16} />
            <span>
              <strong>{place(text, each)}</strong> {each.what}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function place(text: string, fault: Fault): string {
  const from = fault.at ?? located(text, fault.where ?? "")[0];
  const { line, column } = lineOf(text, from);
  return `Line ${line}, column ${column}${fault.where ? `, ${fault.where}` : ""}:`;
}

interface Told {
  where: string;
  what: string;
}

/** What the service says of the draft, by its paths in the text. */
function ofService(): Fault[] {
  const { error } = asked.value;
  if (!error || error.status !== 422 || !draft.value.jobs.length) return [];
  const told = error.facts["faults"] as Told[] | undefined;
  if (!Array.isArray(told))
    return [{ what: `${error.message} ${error.remedy}`, where: guess(error.message) }];
  const faults = told.map(({ where, what }) => ({
    what: `${what}.`,
    where: where.replace(/^body\.?/, ""),
  }));
  // A list whose members are wrong is said to be empty besides.
  return faults.filter((each) => !faults.some((other) => other.where.startsWith(`${each.where}.`)));
}

/** An error that names a value of the text is shown at it. */
function guess(message: string): string {
  const named = /parameters: ([a-z0-9_]+)|job ([A-Za-z0-9._-]+)/.exec(message);
  const [field, name] = [named?.[1], named?.[2]];
  for (const [at, job] of draft.value.jobs.entries()) {
    if (name !== undefined && job.name === name) return `jobs.${at}`;
    const group = ["params", "sweep"].find((each) => field! in ((job.spec[each] ?? {}) as object));
    if (field !== undefined && group) return `jobs.${at}.${group}.${field}`;
  }
  return "";
}
