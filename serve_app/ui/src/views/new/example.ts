// The ready examples: for oneself, and for an administrator as two users at once.
import { ask } from "../../api/http";
import { addSample } from "../../slides";
import type { Slide, Users, Workflow } from "../../api/types";
import { example } from "./make";
import { submission } from "./json";
import { newId } from "./state";
import { lookedAt } from "./slides";

type Headers = Record<string, string>;

/** The sample slide as one of the caller's, once it has been looked at. */
export async function sampleSlide(headers: Headers = {}): Promise<Slide> {
  return lookedAt(await addSample(headers), headers);
}

const USERS = [
  ["example-ann", "Example Ann"],
  ["example-bob", "Example Bob"],
] as const;

interface NewKey {
  id: string;
  key: string;
}

/** It is revoked before; this is for a page that is closed meanwhile. */
const KEY_DAYS = 0.02;

/**
 * Submit a workflow of two branches as each of two users, who are created if need be. A session acts
 * for nobody else, so each user gets a key for it, which is revoked at once: it never leaves this
 * function.
 */
export async function twoUsers(said: (text: string) => void): Promise<Workflow[]> {
  const made: Workflow[] = [];
  for (const [user, name] of USERS) {
    said(`Preparing ${name}`);
    await ensured(user, name);
    const path = `/users/${user}/keys`;
    const wish = { name: "example", role: "user", days: KEY_DAYS };
    const key = await ask<NewKey>(path, { method: "POST", json: wish });
    try {
      const headers = { Authorization: `Bearer ${key.key}` };
      const slide = await sampleSlide(headers);
      const json = submission(example(slide));
      const under = { ...headers, "Idempotency-Key": newId() };
      made.push(await ask<Workflow>("/workflows", { method: "POST", json, headers: under }));
    } finally {
      await ask(`${path}/${key.id}`, { method: "DELETE" });
    }
  }
  return made;
}

async function ensured(id: string, name: string): Promise<void> {
  const { users } = await ask<Users>("/users");
  if (users.some((user) => user.id === id)) return;
  await ask("/users", { method: "POST", json: { id, name, role: "user" } });
}
