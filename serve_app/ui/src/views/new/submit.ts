// Sending workflows off. A workflow goes under one key however often it is sent: a double click, a
// retry or a lost answer never makes two of it.
import { signal } from "@preact/signals";
import { ApiError, ask, asApiError } from "../../api/http";
import type { Workflow } from "../../api/types";
import { say } from "../../parts/dialog";
import { go } from "../../router";
import type { Draft } from "./graph";
import { submission } from "./json";
import { draft, forget, key, newId } from "./state";

export const busy = signal(false);
/** Whether the draft is being sent for another time. */
export const again = signal(false);

async function send(of: Draft, under: string): Promise<Workflow> {
  const headers = { "Idempotency-Key": under };
  return ask<Workflow>("/workflows", { method: "POST", json: submission(of), headers });
}

/** Submit and go to the queue; else what went wrong. Does nothing while it is being submitted. */
async function sent(of: Draft, under: string, done: () => void): Promise<ApiError | null> {
  if (busy.value) return null;
  busy.value = true;
  try {
    const made = await send(of, under);
    done();
    say(`${made.name} is submitted.`);
    go(["queue"], { workflow: made.id });
    return null;
  } catch (error) {
    return asApiError(error);
  } finally {
    busy.value = false;
  }
}

let tried = "";

export async function submitDraft(): Promise<ApiError | null> {
  again.value = tried === key.value;
  tried = key.value;
  return sent(draft.value, key.value, () => {
    again.value = false;
    forget();
  });
}

let quick = { text: "", key: "" };

/** Submit jobs that were not laid out: the same ones go under the same key until they are taken. */
export async function submitAtOnce(of: Draft): Promise<ApiError | null> {
  const text = JSON.stringify(submission(of));
  if (text !== quick.text) quick = { text, key: newId() };
  return sent(of, quick.key, () => (quick = { text: "", key: "" }));
}
