// A job that succeeded with failed tiles: how that is said, and how these are run again.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ask } from "../api/http";
import type { Job, Workflow } from "../api/types";
import { many } from "../format";
import { take } from "../live";
import { go } from "../router";
import { mayChange } from "../session";
import { Button } from "./basics";
import { say, tried } from "./dialog";
import { newId } from "./ids";

export const hasFailedTiles = (job: Job): boolean =>
  job.state === "succeeded" && job.tiles_failed > 0;

/** "succeeded with 2 failed tiles"; of a job that has not, "2 failed tiles" */
export function failedTiles(job: Job): string {
  const tiles = many(job.tiles_failed, "failed tile");
  return job.state === "succeeded" ? `succeeded with ${tiles}` : tiles;
}

/** One for each job: who asks twice gets the same new job. */
const keys = new Map<string, string>();

function keyOf(job: Job): string {
  const key = keys.get(job.id) ?? newId();
  keys.set(job.id, key);
  return key;
}

/** Submits a new job of the same request, and leads there. */
async function submit(job: Job): Promise<void> {
  await tried(async () => {
    const path = `/jobs/${encodeURIComponent(job.id)}/failed-tiles`;
    const headers = { "Idempotency-Key": keyOf(job) };
    const made = await ask<Workflow>(path, { method: "POST", headers });
    made.jobs.forEach(take);
    say("A new job reads the failed tiles again; the rest is taken from this one.");
    go(["queue"], { workflow: made.id });
  });
}

export function FailedTilesAgain({ job }: { job: Job }): JSX.Element | null {
  const [busy, setBusy] = useState(false);
  if (!hasFailedTiles(job) || !mayChange.value) return null;
  const onClick = () => {
    setBusy(true);
    void submit(job).finally(() => setBusy(false));
  };
  return (
    <Button icon="retry" disabled={busy} onClick={onClick}>
      Run failed {job.tiles_failed === 1 ? "tile" : "tiles"} again
    </Button>
  );
}
