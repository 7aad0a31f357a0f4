// The names of workflows: a job knows only the id of its own.
import { computed, effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask } from "../../api/http";
import type { Workflow, WorkflowInShort, Workflows } from "../../api/types";
import { me } from "../../session";

const NEWEST = 200;

/** Workflows that were asked for, by id. */
export const workflows = signal<ReadonlyMap<string, WorkflowInShort>>(new Map());
const asked = new Set<string>();

export const nameOf = (id: string): string => workflows.value.get(id)?.name ?? "workflow";

/** How many jobs a workflow has, also those that this page does not hold. */
export function jobsOf(id: string): number | null {
  const found = workflows.value.get(id);
  return found ? Object.values(found.states).reduce((sum, many) => sum + many, 0) : null;
}

const user = computed(() => me.value?.id);
effect(() => {
  user.value; // another user sees nothing of the one before
  workflows.value = new Map();
  asked.clear();
});

/** Asks for the names of those that are not known yet. */
export function useNames(ids: readonly string[]): void {
  const unknown = ids.filter((id) => !asked.has(id));
  useEffect(() => {
    if (unknown.length === 0) return;
    unknown.forEach((id) => asked.add(id));
    void learn(unknown);
  }, [unknown.join()]);
}

async function learn(ids: string[]): Promise<void> {
  try {
    if (ids.length > 3) {
      const page = await ask<Workflows>("/workflows", { query: { limit: NEWEST } });
      keep(page.workflows);
      ids = ids.filter((id) => !workflows.value.has(id));
    }
    for (const id of ids.slice(0, NEWEST)) {
      keep([await ask<Workflow>(`/workflows/${encodeURIComponent(id)}`, { query: { limit: 1 } })]);
    }
  } catch {
    ids.forEach((id) => asked.delete(id)); // a name is no reason to say that something is wrong
  }
}

function keep(found: readonly WorkflowInShort[]): void {
  workflows.value = new Map([...workflows.value, ...found.map((each) => [each.id, each] as const)]);
}
