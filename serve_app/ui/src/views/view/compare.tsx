// Two jobs of one slide: which, how they are shown, and what their cells have in common.
import type { JSX } from "preact";
import type { components } from "../../../build/openapi";
import { count, number, percent, time, unit, words } from "../../format";
import { Choice, Failure, Field, LinkButton, Loading } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { go, link } from "../../router";
import { url } from "../../api/http";
import type { Job, Jobs } from "../../api/types";
import type { Looking } from "./address";
import { FIRST_COLOUR, SECOND_COLOUR, type Mode } from "./look";
import { Section } from "./panel";
import { isSameGround } from "./sources";
import type { CellsFacts } from "./shapes";

type Diff = components["schemas"]["Diff"];

const MODES: readonly (readonly [Mode, string])[] = [
  ["both", "Both"],
  ["difference", "Difference"],
  ["swipe", "Swipe"],
  ["side", "Side by side"],
];

interface Props {
  job: Job;
  other: string | null;
  looking: Looking;
  first: CellsFacts | null;
  second: CellsFacts | null;
}

export function CompareSection(props: Props): JSX.Element {
  const { job, other, looking, first, second } = props;
  const { look, set } = looking;
  return (
    <Section title="Compare">
      <Chooser job={job} other={other} looking={looking} />
      {other && (
        <>
          <Choice
            label="How two jobs are shown"
            options={MODES}
            value={look.value.mode}
            onChange={(mode) => set({ mode })}
          />
          <Key first={first} second={second} mode={look.value.mode} />
          {first?.complete && second?.complete ? (
            <Numbers job={job.id} other={other} />
          ) : (
            <p class="muted small">The numbers come when both jobs have finished.</p>
          )}
        </>
      )}
    </Section>
  );
}

/** Whether the pixels of two jobs can be compared one by one. */
export const canDiffer = (first: CellsFacts | null, second: CellsFacts | null): boolean =>
  !!first?.overlay && !!second?.overlay && isSameGround(first.overlay, second.overlay);

function Chooser(props: { job: Job; other: string | null; looking: Looking }): JSX.Element {
  const { job, other, looking } = props;
  const query = { slide: job.slide, kind: "cell_segmentation", state: "succeeded", limit: 50 };
  const { data, error } = useLoad<Jobs>("/jobs", query);
  if (error) return <Failure error={error} />;
  if (!data) return <Loading rows={1} label="Looking for other jobs of this slide" />;
  const others = data.jobs.filter(
    (each) => each.id !== job.id && each.slide === job.slide && !each.results_deleted_at,
  );
  if (!others.length && !other) {
    return <p class="muted small">No other job of this slide has finished.</p>;
  }
  const choose = (id: string) => {
    const [, address = ""] = looking.address().split("?");
    const path = id ? ["view", job.id, id] : ["view", job.id];
    go(path, Object.fromEntries(new URLSearchParams(address)));
  };
  return (
    <Field label="With another job of this slide">
      {(ids) => (
        <select
          {...ids}
          value={other ?? ""}
          onChange={(event) => choose(event.currentTarget.value)}
        >
          <option value="">None</option>
          {other && !others.some(({ id }) => id === other) && (
            <option value={other}>{other}</option>
          )}
          {others.map((each) => (
            <option key={each.id} value={each.id}>
              {`${each.branch} · ${count(each.cells)} cells · ${time(each.ended_at)}`}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function Key(props: {
  first: CellsFacts | null;
  second: CellsFacts | null;
  mode: Mode;
}): JSX.Element {
  const { first, second, mode } = props;
  const only = mode === "difference" ? "only in " : "";
  const line = (view: CellsFacts | null, colour: string, text: string) => (
    <li>
      <span class="swatch" style={{ backgroundColor: `#${colour}` }} />
      <span>
        {only}
        {text}
      </span>
      {!only && <strong class="number">{view ? count(view.cells) : "–"}</strong>}
    </li>
  );
  return (
    <>
      <ul class="viewer-legend">
        {line(first, FIRST_COLOUR, "this job")}
        {line(second, SECOND_COLOUR, "the other")}
        {mode === "difference" && (
          <li>
            <span class="swatch both" />
            <span>in both</span>
          </li>
        )}
      </ul>
      {mode === "difference" && first && second && !canDiffer(first, second) && (
        <p class="field-error">
          The two were segmented at different pixel sizes: both outlines are shown instead.
        </p>
      )}
    </>
  );
}

function Numbers({ job, other }: { job: string; other: string }): JSX.Element {
  const { data, error, again } = useLoad<Diff>(`/jobs/${job}/diff/${other}`);
  if (error) return <Failure error={error} onRetry={again} />;
  if (!data) return <Loading rows={3} label="Comparing cells" />;
  const changed = Object.entries(data.changes);
  const best = Object.entries(data.f1)[0];
  return (
    <div class="viewer-diff">
      <dl class="viewer-figures">
        <Figure text="matched" about="Cells that both jobs have" value={count(data.matched)} />
        <Figure text="lost" about="Cells that only this job has" value={count(data.lost)} />
        <Figure
          text="gained"
          about="Cells that only the other job has"
          value={count(data.gained)}
        />
        <Figure
          text={best ? `F1 at IoU ${best[0]}` : "F1"}
          about="1: all cells matched; 0: none. Two match that overlap at least so much"
          value={number(best?.[1])}
        />
        <Figure
          text="Jaccard"
          about="Matched cells, of all cells of either job; 1 at best"
          value={number(data.jaccard)}
        />
        <Figure
          text="mean IoU"
          about="How far the areas of matched cells overlap; 1 at best"
          value={number(data.mean_iou)}
        />
      </dl>
      {changed.length > 0 && (
        <table class="table viewer-changes">
          <caption>Change of the matched cells</caption>
          <thead>
            <tr>
              <th>Measurement</th>
              <th class="number">Median</th>
              <th class="number">5 % to 95 %</th>
            </tr>
          </thead>
          <tbody>
            {changed.map(([name, change]) => (
              <tr key={name}>
                <td>
                  {words(name)} <span class="muted">{unit(change.unit)}</span>
                </td>
                <td class="number">{number(change.median, 2)}</td>
                <td class="number">
                  {number(change.p05, 2)} to {number(change.p95, 2)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {data.differing.length > 0 && (
        <ul class="viewer-settings small">
          {data.differing.map(({ setting, first, second }) => (
            <li key={setting}>
              <span class="muted">{setting}</span> {String(first)} → {String(second)}
            </li>
          ))}
        </ul>
      )}
      <div class="row">
        <LinkButton href={url(`/jobs/${job}/diff/${other}/page`)} icon="results" newTab>
          Whole report
        </LinkButton>
        <LinkButton href={link(["view", other, job])} icon="split">
          Swap
        </LinkButton>
      </div>
      <p class="muted small">
        {percent(data.matched / Math.max(data.first.cells, 1))} of this job’s cells are in the
        other.
      </p>
    </div>
  );
}

function Figure(props: { text: string; about: string; value: string }): JSX.Element {
  const { text, about, value } = props;
  return (
    <div title={about}>
      <dt>{text}</dt>
      <dd>{value}</dd>
    </div>
  );
}
