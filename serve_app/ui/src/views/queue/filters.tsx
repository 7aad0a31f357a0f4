// Which jobs are looked at; all of it is in the address.
import type { JSX } from "preact";
import type { Job } from "../../api/types";
import { time } from "../../format";
import { ENDED } from "../../jobs";
import { Button, Field } from "../../parts/basics";
import { note, place } from "../../router";
import { BUCKET_WORDS, bucketOf, type Bucket, type Group } from "./group";
import { nameOf } from "./names";
import { filters } from "./places";

export function change(name: string, value: string): void {
  const { path, query } = place.value;
  note(path, { ...filters(query), tab: query.get("tab"), [name]: value });
}

/** Groups with the jobs that fit, and no group without any. */
export function fitting(all: readonly Group[], query: URLSearchParams): Group[] {
  const [workflow, branch, state] = ["workflow", "branch", "state"].map((name) => query.get(name));
  const slide = query.get("slide")?.toLowerCase();
  if (!workflow && !branch && !state && !slide) return [...all];
  const fits = (job: Job) =>
    (!branch || job.branch === branch) &&
    (!state || bucketOf(job) === state || job.state === state) &&
    (!slide || job.slide.toLowerCase().includes(slide));
  return all
    .filter((group) => !workflow || group.id === workflow)
    .map((group) => ({
      ...group,
      jobs: group.jobs.filter(fits),
      branches: group.branches
        .map((each) => ({ ...each, jobs: each.jobs.filter(fits) }))
        .filter((each) => each.jobs.length > 0),
    }))
    .filter((group) => group.jobs.length > 0);
}

export const isFiltered = (query: URLSearchParams): boolean =>
  ["workflow", "branch", "state", "slide"].some((name) => query.get(name));

interface Props {
  query: URLSearchParams;
  groups: readonly Group[];
  history?: boolean;
}

export function Filters({ query, groups, history }: Props): JSX.Element {
  const branches = [...new Set(groups.flatMap((group) => group.branches.map((b) => b.name)))];
  const states = history
    ? ENDED.map((state) => [state, state] as const)
    : (Object.keys(BUCKET_WORDS) as Bucket[]).map((name) => [name, BUCKET_WORDS[name]] as const);
  const flows = groups.map(
    (group) => [group.id, `${nameOf(group.id)}, ${time(group.submittedAt)}`] as const,
  );
  return (
    <search class="q-filters">
      <Field label="Slide">
        {(ids) => (
          <input
            {...ids}
            type="search"
            placeholder="Slide name"
            value={query.get("slide") ?? ""}
            onInput={(event) => change("slide", event.currentTarget.value)}
          />
        )}
      </Field>
      <Pick label="Workflow" name="workflow" all="All workflows" query={query} options={flows} />
      <Pick
        label="Branch"
        name="branch"
        all="All branches"
        query={query}
        options={branches.sort().map((name) => [name, name] as const)}
      />
      <Pick label="State" name="state" all="Any state" query={query} options={states} />
      {isFiltered(query) && (
        <Button kind="quiet" icon="close" onClick={reset}>
          Show all
        </Button>
      )}
    </search>
  );
}

function reset(): void {
  const { path, query } = place.value;
  note(path, { show: query.get("show") });
}

interface PickProps {
  label: string;
  name: string;
  all: string;
  query: URLSearchParams;
  options: readonly (readonly [string, string])[];
}

function Pick({ label, name, all, query, options }: PickProps): JSX.Element {
  const value = query.get(name) ?? "";
  const isKnown = !value || options.some(([each]) => each === value);
  return (
    <Field label={label}>
      {(ids) => (
        <select {...ids} value={value} onChange={(e) => change(name, e.currentTarget.value)}>
          <option value="">{all}</option>
          {!isKnown && <option value={value}>{name === "workflow" ? nameOf(value) : value}</option>}
          {options.map(([each, text]) => (
            <option key={each} value={each}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
