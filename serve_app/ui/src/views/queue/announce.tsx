// Says aloud what matters: a job has ended, failed or asks. Never each tile.
import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import type { Job } from "../../api/types";
import { count } from "../../format";
import { hasEnded, jobs } from "../../live";

const TOGETHER_MS = 1200;

export function Announcer(): JSX.Element {
  const [text, set] = useState("");
  const known = useRef<Map<string, string> | null>(null);
  const news = useRef<Job[]>([]);
  const timer = useRef<number | undefined>(undefined);
  useSignalEffect(() => {
    const all = jobs.value;
    if (!all) return;
    const before = known.current;
    known.current = new Map([...all].map(([id, job]) => [id, job.state]));
    if (!before) return;
    const changed = [...all.values()].filter(
      (job) => before.has(job.id) && before.get(job.id) !== job.state && matters(job),
    );
    if (changed.length === 0) return;
    news.current.push(...changed);
    timer.current ??= setTimeout(() => {
      set(told(news.current));
      news.current = [];
      timer.current = undefined;
    }, TOGETHER_MS);
  });
  return (
    <p class="unseen" aria-live="polite">
      {text}
    </p>
  );
}

const matters = (job: Job) => hasEnded(job) || job.state === "needs_mpp";

function told(those: Job[]): string {
  const [only] = those;
  if (those.length === 1 && only) {
    if (only.state === "needs_mpp") return `${only.slide} needs its pixel size.`;
    if (only.state === "failed") return `${only.slide} has failed: ${only.failure?.message ?? ""}`;
    if (only.state === "succeeded") return `${only.slide} is done: ${count(only.cells)} cells.`;
    return `${only.slide} was ${only.state}.`;
  }
  const failed = those.filter((job) => job.state === "failed").length;
  const asks = those.filter((job) => job.state === "needs_mpp").length;
  const ended = those.length - asks;
  const fault = failed ? `, ${failed} failed` : "";
  return [
    ended ? `${ended} ${ended === 1 ? "job has" : "jobs have"} ended${fault}.` : "",
    asks ? `${asks} ${asks === 1 ? "needs" : "need"} an answer.` : "",
  ].join(" ");
}
