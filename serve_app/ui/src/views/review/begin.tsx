// Beginning a quality check: of what, how many, and what that will tell.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { asApiError, ask, type ApiError } from "../../api/http";
import type { Job } from "../../api/types";
import { count, many } from "../../format";
import { Button, Choice, Failure, Field, Head } from "../../parts/basics";
import { JobPicture } from "../../parts/job-picture";
import { link } from "../../router";
import { AccuracyBar } from "./accuracy";
import { wilson } from "./interval";
import type { Review } from "./types";

type What = "cells" | "tiles";
const SIZES = ["50", "100", "200", "400"] as const;
const MOST = 2000;
const SUPPOSED = 0.9;

export const MEANING: Record<What, string> = {
  cells: "“Yes” means: the outline follows one whole cell nucleus, and nothing else.",
  tiles:
    "“Yes” means: nearly all nuclei in the picture have an outline, and nearly no outline is wrong.",
};

export function Begin({
  job,
  onBegun,
}: {
  job: Job;
  onBegun: (review: Review) => void;
}): JSX.Element {
  const [what, setWhat] = useState<What>("cells");
  const [size, setSize] = useState("100");
  const [seed, setSeed] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [isBusy, setBusy] = useState(false);
  const all = what === "cells" ? job.cells : (job.tiles_total ?? MOST);
  const wanted = Number(size);
  const isSize = Number.isInteger(wanted) && wanted >= 1 && wanted <= MOST;
  const wrong = isSize ? null : `A whole number, 1 to ${MOST}.`;
  const isSeed = /^\d{0,9}$/.test(seed);
  const wrongSeed = isSeed ? null : "A whole number of at most 9 digits, or nothing.";
  const begin = async (event: Event) => {
    event.preventDefault();
    if (wrong || wrongSeed) return;
    setBusy(true);
    setError(null);
    try {
      const json = { what, size: wanted, ...(seed ? { seed: Number(seed) } : {}) };
      onBegun(await ask<Review>(`/jobs/${job.id}/review`, { method: "POST", json }));
    } catch (thrown) {
      setError(asApiError(thrown));
      setBusy(false);
    }
  };
  return (
    <>
      <Title job={job} />
      <div class="review-begin">
        <form class="card stack" onSubmit={(event) => void begin(event)}>
          <WhatField value={what} onChange={setWhat} />
          <SizeField value={size} all={all} error={wrong} onChange={setSize} />
          {!wrong && <Outlook size={Math.min(wanted, all)} isAll={wanted >= all} />}
          <SeedField value={seed} error={wrongSeed} onChange={setSeed} />
          {error && <Failure error={error} />}
          <div class="row">
            <Button
              kind="primary"
              icon="review"
              type="submit"
              disabled={isBusy || !!wrong || !!wrongSeed}
            >
              Begin
            </Button>
            <span class="muted small">Each answer is saved at once; go on whenever you like.</span>
          </div>
        </form>
        <div class="card review-begin-picture">
          <JobPicture job={job.id} alt={`${job.slide} with its cells`} most={900} />
        </div>
      </div>
    </>
  );
}

function Title({ job }: { job: Job }): JSX.Element {
  return (
    <Head
      title="Quality check"
      about={
        <>
          <a href={link(["results", job.id])}>{job.slide}</a> · {job.engine} · branch {job.branch} ·{" "}
          {count(job.cells)} cells
        </>
      }
    />
  );
}

interface Typed {
  value: string;
  error: string | null;
  onChange: (value: string) => void;
}

function WhatField(props: { value: What; onChange: (what: What) => void }): JSX.Element {
  const { value, onChange } = props;
  return (
    <div class="field">
      <span class="field-label">Judge a random sample of</span>
      <div>
        <Choice
          label="Judge a random sample of"
          options={[
            ["cells", "Single cells"],
            ["tiles", "Whole tiles"],
          ]}
          value={value}
          onChange={onChange}
        />
      </div>
      <p class="field-hint">{MEANING[value]}</p>
    </div>
  );
}

function SizeField({ value, all, error, onChange }: Typed & { all: number }): JSX.Element {
  return (
    <Field
      label="How many"
      error={error}
      hint={Number(value) > all ? `There are ${count(all)}: all of them are taken.` : undefined}
    >
      {(ids) => (
        <div class="row">
          <input
            {...ids}
            class="review-size"
            type="number"
            min={1}
            max={MOST}
            value={value}
            onInput={(event) => onChange(event.currentTarget.value)}
          />
          {SIZES.map((each) => (
            <Button key={each} pressed={value === each} onClick={() => onChange(each)}>
              {each}
            </Button>
          ))}
        </div>
      )}
    </Field>
  );
}

function SeedField({ value, error, onChange }: Typed): JSX.Element {
  return (
    <details class="review-seed">
      <summary>Draw the same sample as another time</summary>
      <Field
        label="Seed"
        error={error}
        hint="The same seed draws the same ones; without one, chance decides."
      >
        {(ids) => (
          <input
            {...ids}
            inputMode="numeric"
            value={value}
            onInput={(event) => onChange(event.currentTarget.value.trim())}
          />
        )}
      </Field>
    </details>
  );
}

/** What so many answers will tell, if nine of ten are right. */
function Outlook({ size, isAll }: { size: number; isAll: boolean }): JSX.Element {
  const interval = wilson(SUPPOSED * size, size);
  if (!interval || isAll) {
    return <p class="muted small">All there is will be judged: the accuracy is exact then.</p>;
  }
  const half = ((interval.high - interval.low) / 2) * 100;
  const minutes = Math.max(1, Math.round((size * 3) / 60));
  return (
    <div class="review-promise">
      <AccuracyBar interval={interval} label="What the sample will tell if 90 % are right" />
      <p class="muted small">
        If 90 % are right, you will know it to about ± {half.toFixed(1)} percentage points (95 %),
        after some {many(minutes, "minute")}.
      </p>
    </div>
  );
}
