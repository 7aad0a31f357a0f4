// Jobs as they are laid out: workflows, in them branches, in them jobs in order of submission.
import { computed } from "@preact/signals";
import type { Job, JobState } from "../../api/types";
import { hasEnded, RUNNING } from "../../jobs";
import { jobs } from "../../live";

export interface Branch {
  name: string;
  jobs: Job[];
}

export interface Group {
  id: string;
  jobs: Job[];
  branches: Branch[];
  /** How many of its jobs have not ended, also where only some are shown. */
  left: number;
  open: boolean;
  submittedAt: string;
}

/** States as people ask for them. */
export const BUCKETS = {
  waiting: ["waiting", "retry_waiting"],
  running: RUNNING,
  asks: ["needs_mpp"],
  failed: ["failed"],
  succeeded: ["succeeded"],
  stopped: ["cancelled", "skipped"],
} as const satisfies Record<string, readonly JobState[]>;
export type Bucket = keyof typeof BUCKETS;

export const BUCKET_WORDS: Record<Bucket, string> = {
  running: "running",
  asks: "to answer",
  waiting: "waiting",
  failed: "failed",
  succeeded: "done",
  stopped: "cancelled or skipped",
};

const BUCKET_OF = new Map<string, Bucket>(
  Object.entries(BUCKETS).flatMap(([bucket, states]) =>
    states.map((state) => [state, bucket as Bucket] as const),
  ),
);
export const bucketOf = (job: Job): Bucket => BUCKET_OF.get(job.state) ?? "waiting";

export function tally(those: readonly Job[]): Map<Bucket, number> {
  const found = new Map<Bucket, number>();
  for (const job of those) found.set(bucketOf(job), (found.get(bucketOf(job)) ?? 0) + 1);
  return found;
}

/** "2 running, 3 waiting" */
export function inWords(counted: ReadonlyMap<Bucket, number>): string {
  const order = Object.keys(BUCKET_WORDS) as Bucket[];
  return order
    .filter((bucket) => counted.get(bucket))
    .map((bucket) => `${counted.get(bucket)} ${BUCKET_WORDS[bucket]}`)
    .join(", ");
}

/** The number of a job in its workflow: its id ends in it. */
export const numberOf = (id: string): number => Number(/-(\d+)$/.exec(id)?.[1] ?? 0);

/** Those with work left first, then the newest. */
export function grouped(those: Iterable<Job>): Group[] {
  const found = new Map<string, Job[]>();
  for (const job of those) {
    const known = found.get(job.workflow);
    if (known) known.push(job);
    else found.set(job.workflow, [job]);
  }
  return [...found].map(([id, members]) => groupOf(id, members)).sort(byNews);
}

function groupOf(id: string, members: Job[]): Group {
  members.sort((a, b) => numberOf(a.id) - numberOf(b.id));
  const branches = new Map<string, Job[]>();
  for (const job of members) {
    const known = branches.get(job.branch);
    if (known) known.push(job);
    else branches.set(job.branch, [job]);
  }
  const left = members.filter((job) => !hasEnded(job)).length;
  return {
    id,
    jobs: members,
    branches: [...branches].map(([name, line]) => ({ name, jobs: line })),
    left,
    open: left > 0,
    submittedAt: members[0]?.submitted_at ?? "",
  };
}

const byNews = (a: Group, b: Group): number =>
  Number(b.open) - Number(a.open) || b.submittedAt.localeCompare(a.submittedAt);

export const groups = computed(() => grouped(jobs.value?.values() ?? []));

/** How a long branch is shown at first: what has ended well before is folded, and what is far. */
export interface Window {
  before: number;
  shown: Job[];
  after: number;
}

const AT_FIRST = 6;

export function windowOf(line: Job[]): Window {
  if (line.length <= AT_FIRST + 1) return { before: 0, shown: line, after: 0 };
  const folds = (job: Job) => ["succeeded", "stopped"].includes(bucketOf(job));
  const first = line.findIndex((job) => !folds(job));
  const start = Math.min(Math.max(first - 1, 0), line.length - AT_FIRST);
  const shown = line.slice(start, start + AT_FIRST);
  return { before: start, shown, after: line.length - start - shown.length };
}
