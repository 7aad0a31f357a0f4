// Workflows, in each its branches as lanes, in each lane its jobs in order.
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useId } from "preact/hooks";
import type { Job } from "../../api/types";
import { count, time } from "../../format";
import { hasEnded } from "../../jobs";
import { Button } from "../../parts/basics";
import { Icon } from "../../parts/icons";
import { link } from "../../router";
import { mayChange } from "../../session";
import { cancelWorkflow, deleteWorkflow } from "./acts";
import { Card } from "./card";
import { inWords, tally, windowOf, type Branch, type Bucket, type Group } from "./group";
import { jobsOf, nameOf } from "./names";
import "./lanes.css";

const PAGE = 12;
const opened = signal<ReadonlyMap<string, boolean>>(new Map());
const widened = signal<ReadonlySet<string>>(new Set());
const many = signal(PAGE);

const toggle = (id: string, open: boolean) => (opened.value = new Map(opened.value).set(id, open));

function widen(key: string): void {
  const next = new Set(widened.value);
  if (!next.delete(key)) next.add(key);
  widened.value = next;
}

export function Lanes({ groups, isWhole }: { groups: Group[]; isWhole: boolean }): JSX.Element {
  const shown = groups.slice(0, many.value);
  const left = groups.length - shown.length;
  return (
    <div class="q-flows">
      {shown.map((group, at) => (
        <Flow
          key={group.id}
          group={group}
          isWhole={isWhole}
          isOpen={opened.value.get(group.id) ?? opens(group, at)}
        />
      ))}
      {left > 0 && (
        <Button onClick={() => (many.value += PAGE)}>
          {`Show ${Math.min(left, PAGE)} of ${count(left)} more workflows`}
        </Button>
      )}
    </div>
  );
}

interface FlowProps {
  group: Group;
  isOpen: boolean;
  /** Nothing of it was filtered out. */
  isWhole: boolean;
}

/** What goes on is open, also what needs a look; of the rest the first. */
const opens = (group: Group, at: number): boolean =>
  group.open || at === 0 || group.jobs.some((job) => job.state === "failed");

function Flow({ group, isOpen, isWhole }: FlowProps): JSX.Element {
  const body = useId();
  const name = nameOf(group.id);
  const counted = tally(group.jobs);
  const missing = missingOf(group, isWhole);
  return (
    <section class={`q-flow${group.open ? " open" : ""}`} aria-label={`${name}, ${group.id}`}>
      <header>
        <button
          type="button"
          class="q-fold"
          aria-expanded={isOpen}
          aria-controls={body}
          onClick={() => toggle(group.id, !isOpen)}
        >
          <Icon name="chevron" size={18} />
          <span class="truncate">{name}</span>
        </button>
        <span class="muted small q-when">{time(group.submittedAt)}</span>
        <Share counted={counted} all={group.jobs.length} />
        <span class="small q-tally">
          {inWords(counted)}
          {missing > 0 && <span class="muted">{` · ${count(missing)} older`}</span>}
        </span>
        {mayChange.value && <FlowActs group={group} name={name} />}
      </header>
      <div id={body} hidden={!isOpen}>
        {isOpen && <Body group={group} isWhole={isWhole} />}
      </div>
    </section>
  );
}

/** Jobs that ended long ago are not among those that this page holds. */
const missingOf = (group: Group, isWhole: boolean): number =>
  isWhole ? (jobsOf(group.id) ?? 0) - group.jobs.length : 0;

function Body({ group, isWhole }: { group: Group; isWhole: boolean }): JSX.Element {
  const missing = missingOf(group, isWhole);
  return (
    <>
      {group.branches.map((branch) => (
        <Lane key={branch.name} branch={branch} of={group.id} />
      ))}
      {missing > 0 && (
        <p class="q-missing muted small">
          {`${count(missing)} more of its jobs are not shown here: `}
          <a href={link(["queue"], { show: "history", workflow: group.id })}>see the history</a>
        </p>
      )}
    </>
  );
}

function FlowActs({ group, name }: { group: Group; name: string }): JSX.Element {
  if (group.open) {
    return (
      <Button
        kind="quiet"
        icon="stop"
        onClick={() => void cancelWorkflow(group.id, name, group.left)}
      >
        Cancel
      </Button>
    );
  }
  return (
    <Button
      kind="quiet"
      icon="trash"
      label="Delete workflow and its results"
      onClick={() => void deleteWorkflow(group.id, name)}
    />
  );
}

const ORDER: readonly Bucket[] = ["succeeded", "stopped", "failed", "asks", "running", "waiting"];

/** How far a workflow is, at a glance; the words beside it say the same. */
function Share({ counted, all }: { counted: Map<Bucket, number>; all: number }): JSX.Element {
  return (
    <span class="q-share" aria-hidden="true">
      {ORDER.map((bucket) => {
        const share = (counted.get(bucket) ?? 0) / all;
        return share > 0 ? (
          <span key={bucket} class={bucket} style={{ inlineSize: `${share * 100}%` }} />
        ) : null;
      })}
    </span>
  );
}

function Lane({ branch, of }: { branch: Branch; of: string }): JSX.Element {
  const key = `${of}/${branch.name}`;
  const isWide = widened.value.has(key);
  const { before, shown, after } = isWide
    ? { before: 0, shown: branch.jobs, after: 0 }
    : windowOf(branch.jobs);
  return (
    <div class="q-lane" role="group" aria-label={`Branch ${branch.name}`}>
      <LaneHead branch={branch} />
      <ol class={`q-cards${isWide ? " wide" : ""}`}>
        {before > 0 && (
          <More onClick={() => widen(key)} text={`${count(before)} ended`} label="before these" />
        )}
        {shown.map((job) => (
          <Card key={job.id} job={job} />
        ))}
        {after > 0 && (
          <More onClick={() => widen(key)} text={`and ${count(after)} more`} label="after these" />
        )}
        {isWide && <More onClick={() => widen(key)} text="Show fewer" label="of this branch" />}
      </ol>
    </div>
  );
}

function LaneHead({ branch }: { branch: Branch }): JSX.Element {
  const ended = branch.jobs.filter(hasEnded).length;
  const cells = branch.jobs.reduce((sum: number, job: Job) => sum + job.cells, 0);
  return (
    <div class="q-lane-head">
      <strong title={branch.name}>{branch.name}</strong>
      <span class="muted small">{`${count(ended)} of ${count(branch.jobs.length)} ended`}</span>
      {cells > 0 && <span class="muted small">{`${count(cells)} cells`}</span>}
    </div>
  );
}

function More(props: { text: string; label: string; onClick: () => void }): JSX.Element {
  return (
    <li class="q-more-card">
      <button type="button" onClick={props.onClick}>
        {props.text}
        <span class="unseen"> {props.label}</span>
      </button>
    </li>
  );
}
