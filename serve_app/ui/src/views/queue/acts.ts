// What can be done to jobs, workflows and the cluster from here.
import { batch } from "@preact/signals";
import { ask } from "../../api/http";
import type { Gates, Job, Workflow } from "../../api/types";
import { forgetWorkflow, take } from "../../live";
import { confirmed, say, tried } from "../../parts/dialog";
import { picture } from "./picture";

const at = (kind: string, id: string, act = "") =>
  `/${kind}/${encodeURIComponent(id)}${act && `/${act}`}`;
const post = <T>(path: string, json?: unknown) =>
  ask<T>(path, json === undefined ? { method: "POST" } : { method: "POST", json });

export const canRetry = (job: Job): boolean => job.state === "failed";

export async function retry(job: Job): Promise<void> {
  await tried(async () => take(await post<Job>(at("jobs", job.id, "retry"))));
}

export async function cancel(job: Job): Promise<void> {
  const isBegun = job.started_at !== null;
  const text = `What is finished of it stays readable.`;
  if (isBegun && !(await confirmed("Cancel this job?", text, "Cancel the job"))) return;
  await tried(async () => take(await post<Job>(at("jobs", job.id, "cancel"))));
}

export async function answer(job: Job, mpp: number): Promise<boolean> {
  return tried(async () => take(await post<Job>(at("jobs", job.id, "answer"), { mpp })));
}

export async function cancelWorkflow(id: string, name: string, open: number): Promise<void> {
  const text = `${jobs(open)} of “${name}” will stop. What is finished stays.`;
  if (!(await confirmed("Cancel this workflow?", text, `Cancel ${jobs(open)}`))) return;
  await tried(async () => {
    const told = await post<Workflow>(at("workflows", id, "cancel"));
    batch(() => told.jobs.forEach(take));
  });
}

export async function cancelMine(open: number): Promise<void> {
  const text = `All of your ${jobs(open)} that have not ended will stop. What is finished stays.`;
  if (!(await confirmed("Cancel everything of yours?", text, `Cancel ${jobs(open)}`))) return;
  await tried(async () => {
    const { jobs: stopping } = await post<{ jobs: number }>("/me/cancel");
    say(`${jobs(stopping)} stopping`, "info");
  });
}

export async function deleteWorkflow(id: string, name: string): Promise<void> {
  const text =
    `“${name}” is removed for good, with its ` +
    "cells, tables, pictures and logs. Your slides stay.";
  if (!(await confirmed("Delete the workflow and its results?", text, "Delete for good"))) return;
  const gone = await tried(async () => {
    await ask(at("workflows", id), { method: "DELETE" });
    forgetWorkflow(id);
  });
  if (gone) say(`“${name}” and its results are deleted`);
}

export type Gate = "pause" | "drain" | "resume";
const GATES: Record<Gate, readonly [string, string, string]> = {
  pause: ["Pause the cluster?", "Nothing new starts for anybody; what runs ends.", "Pause"],
  drain: ["Drain the cluster?", "No new work is taken in; what was taken in is done.", "Drain"],
  resume: ["Resume the cluster?", "Work is taken in and starts again.", "Resume"],
};

export async function hold(gate: Gate): Promise<void> {
  const [title, text, yes] = GATES[gate];
  if (!(await confirmed(title, text, yes, gate !== "resume"))) return;
  await tried(async () => {
    const now = await post<Gates>(`/cluster/${gate}`);
    const seen = picture.value;
    if (seen) picture.value = { ...seen, ...now };
  });
}

export const jobs = (many: number): string => `${many} ${many === 1 ? "job" : "jobs"}`;
