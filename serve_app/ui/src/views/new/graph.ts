// A workflow that is being put together, as a value: every edit gives a new one or says why not.
// Knows nothing of the page; `graph.test.ts` holds it to what it promises.

/** What a job is besides its place: the fields of a job as `raysched submit --file` takes them. */
export interface Spec {
  kind: string;
  slide: string;
  [field: string]: unknown;
}

/** `id` never leaves the page. `needs`: ids of the jobs it depends on, of any branch. */
export interface Job {
  id: string;
  name: string | null;
  branch: string;
  spec: Spec;
  needs: readonly string[];
}

/** Jobs in order of submission; in a branch they run in this order, one at a time. */
export interface Draft {
  name: string;
  jobs: readonly Job[];
}

/** An edit: the new draft, or a sentence that says why it cannot be. */
export type Edit = { draft: Draft } | { refused: string };

export interface Lane {
  branch: string;
  jobs: readonly Job[];
}

export const EMPTY: Draft = { name: "", jobs: [] };
const LONGEST = 64;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const BRANCH = /^[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}$/;

/** The branches with their jobs, in the order in which they are first mentioned. */
export function lanes(draft: Draft): Lane[] {
  const found = new Map<string, Job[]>();
  for (const job of draft.jobs) {
    const lane = found.get(job.branch);
    if (lane) lane.push(job);
    else found.set(job.branch, [job]);
  }
  return [...found].map(([branch, jobs]) => ({ branch, jobs }));
}

export const jobOf = (draft: Draft, id: string): Job | undefined =>
  draft.jobs.find((job) => job.id === id);

/** What a job is called on the page: its name, or its number as the service counts. */
export function title(draft: Draft, job: Job): string {
  return job.name ?? `job ${draft.jobs.indexOf(job) + 1}`;
}

/** How many jobs the service makes of one: a sweep is a job for each combination. */
export function copies(job: Job): number {
  const sweep = job.spec["sweep"];
  if (!sweep || typeof sweep !== "object") return 1;
  return Object.values(sweep as Record<string, unknown[]>).reduce(
    (many, values) => many * (Array.isArray(values) ? Math.max(1, values.length) : 1),
    1,
  );
}

/** A name that no job has: `cells`, `cells-2`, `cells-3`. */
export function freeName(draft: Draft, wish: string): string {
  const plain = wish.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return free(
    draft.jobs.map((job) => job.name),
    plain || "job",
  );
}

/** A branch that no job is on: like the wish, else a, b, c. */
export function freeBranch(draft: Draft, wish?: string): string {
  const taken = draft.jobs.map((job) => job.branch);
  if (wish !== undefined) {
    const plain = wish.replace(/[^A-Za-z0-9 ._/-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
    return free(taken, plain.trimEnd() || "branch");
  }
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  return letters.find((each) => !taken.includes(each)) ?? free(taken, "branch");
}

function free(taken: readonly (string | null)[], wish: string): string {
  for (let number = 1; ; number++) {
    const end = number > 1 ? `-${number}` : "";
    const found = wish.slice(0, LONGEST - end.length).trimEnd() + end;
    if (!taken.includes(found)) return found;
  }
}

/** Add jobs at the ends of their branches. */
export function added(draft: Draft, jobs: readonly Job[]): Draft {
  return grouped({ ...draft, jobs: [...draft.jobs, ...jobs] });
}

/** Put a job at a place of a branch, counted without the job itself. */
export function moved(draft: Draft, id: string, branch: string, at: number): Edit {
  const job = jobOf(draft, id);
  if (!job) return { refused: "This job is gone." };
  const order = lanes(draft).map((lane) => lane.branch);
  const others = draft.jobs.filter((each) => each.id !== id);
  const lane = others.filter((each) => each.branch === branch);
  const place = Math.max(0, Math.min(at, lane.length));
  lane.splice(place, 0, { ...job, branch });
  const jobs = [...others.filter((each) => each.branch !== branch), ...lane];
  return checked(grouped({ ...draft, jobs }, order));
}

export type Step = "left" | "right" | "up" | "down";

/** Move a job one place along its branch, or to the branch above or below: below the last, anew. */
export function stepped(draft: Draft, id: string, step: Step): Edit {
  const all = lanes(draft);
  const lane = all.findIndex((each) => each.jobs.some((job) => job.id === id));
  const here = all[lane];
  if (!here) return { refused: "This job is gone." };
  const at = here.jobs.findIndex((job) => job.id === id);
  if (step === "left" || step === "right") {
    const to = at + (step === "left" ? -1 : 1);
    if (to < 0) return { refused: "It is the first of its branch." };
    if (to >= here.jobs.length) return { refused: "It is the last of its branch." };
    return moved(draft, id, here.branch, to);
  }
  const other = all[lane + (step === "up" ? -1 : 1)];
  if (other) return moved(draft, id, other.branch, at);
  if (step === "up") return { refused: "It is on the first branch." };
  if (here.jobs.length === 1) return { refused: "It is alone on the last branch." };
  return moved(draft, id, freeBranch(draft), 0);
}

/** Let a job wait for another. */
export function connected(draft: Draft, from: string, to: string): Edit {
  const [first, second] = [jobOf(draft, from), jobOf(draft, to)];
  if (!first || !second) return { refused: "This job is gone." };
  if (from === to) return { refused: "A job cannot wait for itself." };
  if (second.needs.includes(from)) return { draft };
  return checked(changed(draft, to, (job) => ({ ...job, needs: [...job.needs, from] })));
}

export function disconnected(draft: Draft, from: string, to: string): Draft {
  const left = (job: Job) => job.needs.filter((each) => each !== from);
  return changed(draft, to, (job) => ({ ...job, needs: left(job) }));
}

/** A copy of a job behind it, with a name of its own; nothing waits for the copy. */
export function duplicated(draft: Draft, id: string, fresh: string): Draft {
  const at = draft.jobs.findIndex((job) => job.id === id);
  const job = draft.jobs[at];
  if (!job) return draft;
  const name = freeName(draft, (job.name ?? "job").replace(/-\d+$/, ""));
  const copy: Job = { ...job, id: fresh, name, spec: structuredClone(job.spec) };
  return { ...draft, jobs: [...draft.jobs.slice(0, at + 1), copy, ...draft.jobs.slice(at + 1)] };
}

/** Without a job; what waited for it waits for it no more. */
export function removed(draft: Draft, id: string): Draft {
  const jobs = draft.jobs
    .filter((job) => job.id !== id)
    .map((job) => ({ ...job, needs: job.needs.filter((each) => each !== id) }));
  return { ...draft, jobs };
}

export function renamedBranch(draft: Draft, from: string, to: string): Edit {
  const wish = to.trim();
  if (wish === from) return { draft };
  if (!BRANCH.test(wish)) {
    return {
      refused: "A branch is letters, digits, spaces and . _ / -, up to 64, no space first.",
    };
  }
  if (draft.jobs.some((job) => job.branch === wish)) {
    return { refused: `There is a branch ${wish} already: drag the cards there.` };
  }
  const jobs = draft.jobs.map((job) => (job.branch === from ? { ...job, branch: wish } : job));
  return { draft: { ...draft, jobs } };
}

export function renamed(draft: Draft, id: string, to: string): Edit {
  const wish = to.trim();
  if (!NAME.test(wish)) {
    return { refused: "A name is letters, digits and . _ -, up to 64; a letter or digit first." };
  }
  if (draft.jobs.some((job) => job.id !== id && job.name === wish)) {
    return { refused: `Another job is called ${wish}.` };
  }
  return { draft: changed(draft, id, (job) => ({ ...job, name: wish })) };
}

/** With other fields of a job; `undefined` leaves a field out. */
export function specified(draft: Draft, id: string, fields: Record<string, unknown>): Draft {
  return changed(draft, id, (job) => {
    const spec: Spec = { ...job.spec };
    for (const [field, value] of Object.entries(fields)) {
      if (value === undefined) delete spec[field];
      else spec[field] = value;
    }
    return { ...job, spec };
  });
}

function changed(draft: Draft, id: string, how: (job: Job) => Job): Draft {
  return { ...draft, jobs: draft.jobs.map((job) => (job.id === id ? how(job) : job)) };
}

/** Branch by branch: so the order of branches stays what it was while cards move. */
function grouped(draft: Draft, order: readonly string[] = []): Draft {
  const place = (lane: Lane) => {
    const at = order.indexOf(lane.branch);
    return at < 0 ? order.length : at;
  };
  const sorted = lanes(draft).sort((a, b) => place(a) - place(b));
  return { ...draft, jobs: sorted.flatMap((lane) => lane.jobs) };
}

// --- cycles ---------------------------------------------------------------------------------------

interface Link {
  to: Job;
  how: string;
}

/** What each job must follow: the one before it in its branch, and those it depends on. */
function follows(draft: Draft): Map<string, Link[]> {
  const byId = new Map(draft.jobs.map((job) => [job.id, job]));
  const last = new Map<string, Job>();
  const found = new Map<string, Link[]>();
  for (const job of draft.jobs) {
    const links: Link[] = job.needs
      .map((id) => byId.get(id))
      .filter((each) => each !== undefined)
      .map((to) => ({ to, how: "depends on" }));
    const before = last.get(job.branch);
    if (before) links.push({ to: before, how: `comes in branch ${job.branch} after` });
    last.set(job.branch, job);
    found.set(job.id, links);
  }
  return found;
}

/** A cycle in words, if there is one: `a depends on b, b comes in branch main after a`. */
export function cycle(draft: Draft): string | null {
  const edges = follows(draft);
  const done = new Set<string>();
  for (const root of draft.jobs) {
    const path: { job: Job; how: string; next: number }[] = [{ job: root, how: "", next: 0 }];
    while (path.length) {
      const top = path[path.length - 1]!;
      const link = done.has(top.job.id) ? undefined : edges.get(top.job.id)?.[top.next++];
      if (!link) {
        done.add(top.job.id);
        path.pop();
        continue;
      }
      const at = path.findIndex((each) => each.job.id === link.to.id);
      if (at < 0) path.push({ job: link.to, how: link.how, next: 0 });
      else return told(draft, path.slice(at), link);
    }
  }
  return null;
}

function told(draft: Draft, path: { job: Job; how: string }[], closing: Link): string {
  const steps = path.map(({ job }, at) => {
    const next = path[at + 1];
    const [how, to] = next ? [next.how, next.job] : [closing.how, closing.to];
    return `${title(draft, job)} ${how} ${title(draft, to)}`;
  });
  return steps.join(", ");
}

/** An edited draft, unless jobs would wait for each other for ever. */
function checked(draft: Draft): Edit {
  const found = cycle(draft);
  return found ? { refused: `That would go in a circle: ${found}.` } : { draft };
}

/** The column of each job on the board: right of all that it follows. */
export function columns(draft: Draft): Map<string, number> {
  const edges = follows(draft);
  const found = new Map<string, number>();
  if (cycle(draft)) return new Map(draft.jobs.map((job, at) => [job.id, at]));
  const waiting = [...draft.jobs];
  while (waiting.length) {
    const job = waiting[waiting.length - 1]!;
    const open = edges.get(job.id)!.filter((link) => !found.has(link.to.id));
    if (open.length) {
      waiting.push(...open.map((link) => link.to));
      continue;
    }
    const before = edges.get(job.id)!.map((link) => found.get(link.to.id)!);
    found.set(job.id, Math.max(-1, ...before) + 1);
    waiting.pop();
  }
  return found;
}
