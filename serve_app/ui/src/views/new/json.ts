// A draft as the JSON that `raysched submit --file` takes, and back, without loss.
import { cycle, type Draft, type Job, type Spec } from "./graph";

/** What the text has wrong: a sentence, and the path to it (`jobs.1.branch`) or an offset. */
export interface Fault {
  what: string;
  where?: string;
  at?: number;
}

export function submission(draft: Draft): Record<string, unknown> {
  const byId = new Map(draft.jobs.map((job, at) => [job.id, job.name ?? String(at + 1)]));
  const jobs = draft.jobs.map((job) => {
    const { kind, slide, ...more } = job.spec;
    const needs = job.needs.map((id) => byId.get(id)).filter((name) => name !== undefined);
    return {
      ...(job.name === null ? {} : { name: job.name }),
      branch: job.branch,
      kind,
      slide,
      ...more,
      ...(needs.length ? { depends_on: needs } : {}),
    };
  });
  return { ...(draft.name ? { name: draft.name } : {}), jobs };
}

export const asText = (draft: Draft): string => JSON.stringify(submission(draft), null, 2);

type Read = { draft: Draft } | { fault: Fault };

/** The draft that a text describes. Fields of jobs that are not known here are kept. */
export function fromText(text: string, newId: () => string): Read {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    return { fault: unreadable(text, error) };
  }
  if (!isObject(given)) return wrong("The whole of it is no object: begin with {.", "");
  const { name = "", jobs, ...more } = given;
  if (typeof name !== "string") return wrong("The name is no text.", "name");
  const extra = Object.keys(more)[0];
  if (extra !== undefined) return wrong(`A workflow has a name and jobs, no ${extra}.`, extra);
  if (!Array.isArray(jobs)) return wrong("There is no list of jobs.", "jobs");
  const read: Job[] = [];
  const needs: unknown[] = [];
  for (const [at, each] of jobs.entries()) {
    const job = oneJob(each, `jobs.${at}`, newId());
    if ("fault" in job) return job;
    read.push(job.job);
    needs.push(job.needs);
  }
  return linked({ name, jobs: read }, needs);
}

type ReadJob = { job: Job; needs: unknown } | { fault: Fault };

function oneJob(given: unknown, path: string, id: string): ReadJob {
  if (!isObject(given)) return wrong("A job is an object.", path);
  const { name = null, branch = "main", depends_on = [], kind, slide, ...more } = given;
  const spec = { kind: kind ?? "cell_segmentation", slide, ...more } as Spec;
  if (name !== null && typeof name !== "string")
    return wrong("Its name is no text.", `${path}.name`);
  if (typeof branch !== "string") return wrong("Its branch is no text.", `${path}.branch`);
  if (typeof slide !== "string") return wrong("It names no slide.", `${path}.slide`);
  if (typeof spec.kind !== "string") return wrong("Its kind is no text.", `${path}.kind`);
  for (const field of ["params", "sweep", "tissue", "measure"]) {
    const value = spec[field];
    if (value != null && !isObject(value)) return wrong("This is no object.", `${path}.${field}`);
  }
  for (const [key, values] of Object.entries((spec["sweep"] ?? {}) as object)) {
    if (!Array.isArray(values)) return wrong("Values to try are a list.", `${path}.sweep.${key}`);
  }
  return { job: { id, name, branch, spec, needs: [] }, needs: depends_on };
}

/** Names become ids; a job without a name goes by its number. */
function linked(draft: Draft, needs: readonly unknown[]): Read {
  const ids = new Map<string, string>();
  for (const [at, job] of draft.jobs.entries()) {
    const name = job.name ?? String(at + 1);
    if (ids.has(name)) return wrong(`Two jobs are called ${name}.`, `jobs.${at}.name`);
    ids.set(name, job.id);
  }
  const jobs: Job[] = [];
  for (const [at, job] of draft.jobs.entries()) {
    const names = needs[at];
    if (!Array.isArray(names)) return wrong("It is a list of names.", `jobs.${at}.depends_on`);
    const found: string[] = [];
    for (const [place, name] of names.entries()) {
      const id = ids.get(String(name));
      if (id === undefined) {
        return wrong(`There is no job called ${String(name)}.`, `jobs.${at}.depends_on.${place}`);
      }
      found.push(id);
    }
    jobs.push({ ...job, needs: found });
  }
  const made = { ...draft, jobs };
  const circle = cycle(made);
  return circle ? wrong(`The jobs go in a circle: ${circle}.`, "jobs") : { draft: made };
}

const wrong = (what: string, where: string): { fault: Fault } => ({ fault: { what, where } });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function unreadable(text: string, error: unknown): Fault {
  const message = error instanceof Error ? error.message : String(error);
  const place = /position (\d+)/.exec(message);
  const at = place ? Number(place[1]) : text.length;
  return { what: `This is no JSON: ${message.split(/ in JSON| at position/)[0] ?? ""}.`, at };
}

/** Line and column, from 1. */
export function lineOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: (before[before.length - 1]?.length ?? 0) + 1 };
}

/** Where in a JSON text the value at a path lies, or the nearest above it: [from, to]. */
export function located(text: string, path: string): [number, number] {
  const wanted = path.split(".").filter((part) => part !== "");
  let best: [number, number] = [0, 0];
  let depth = -1;
  walk(text, (at, from, to) => {
    const fits = at.length <= wanted.length && at.every((part, i) => part === wanted[i]);
    if (fits && at.length > depth) [depth, best] = [at.length, [from, to]];
  });
  return best;
}

/** Visit every value of a JSON text that is known to be one: its path, and where it lies. */
function walk(text: string, visit: (path: string[], from: number, to: number) => void): void {
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
  const tokens = [...text.matchAll(token)].map((each) => ({ text: each[0], at: each.index }));
  let next = 0;
  const value = (path: string[]): void => {
    const first = tokens[next++];
    if (!first) return;
    const isList = first.text === "[";
    if (isList || first.text === "{") {
      for (let place = 0; next < tokens.length && !/^[\]}]$/.test(tokens[next]!.text); place++) {
        let key = String(place);
        if (!isList) {
          key = JSON.parse(tokens[next]!.text) as string;
          next += 2;
        }
        value([...path, key]);
        if (tokens[next]?.text === ",") next++;
      }
      next++;
    }
    const last = tokens[next - 1] ?? first;
    visit(path, first.at, last.at + last.text.length);
  };
  value([]);
}
