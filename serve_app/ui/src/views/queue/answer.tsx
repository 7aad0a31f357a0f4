// The question for a pixel size, answered where it is asked.
import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import type { Job } from "../../api/types";
import { Button } from "../../parts/basics";
import { answer } from "./acts";

const USUAL = [
  ["0.25", "40×"],
  ["0.5", "20×"],
] as const;

/** The question, which may name an option of the command line. */
const asked = (job: Job): string =>
  (job.question ?? "What is the pixel size of this slide?")
    .replaceAll("--mpp ", "")
    .replace(/\bum\b/g, "µm");

export function Answer({ job }: { job: Job }): JSX.Element {
  const [value, set] = useState("");
  const [busy, setBusy] = useState(false);
  const id = useId();
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    await answer(job, Number(value));
    setBusy(false);
  };
  return (
    <form class="q-answer" onSubmit={(event) => void submit(event)}>
      <p id={`${id}-about`}>{asked(job)}</p>
      <label for={id}>Pixel size, µm per pixel</label>
      <div class="q-answer-row">
        <input
          id={id}
          aria-describedby={`${id}-about`}
          type="number"
          inputMode="decimal"
          required
          min="0.08"
          max="2"
          step="any"
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
        />
        <Button type="submit" kind="primary" disabled={busy || value === ""}>
          Answer
        </Button>
      </div>
      <div class="row">
        {USUAL.map(([mpp, power]) => (
          <button key={mpp} type="button" class="q-usual" onClick={() => set(mpp)}>
            {mpp} <span class="muted">({power})</span>
          </button>
        ))}
      </div>
    </form>
  );
}
