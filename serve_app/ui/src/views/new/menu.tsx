// What can be done with a card, as a menu and as a dialog for what it waits for: all of it without a
// pointer.
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Button } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { Icon, type IconName } from "../../parts/icons";
import { carry, focus } from "./card";
import {
  connected,
  disconnected,
  duplicated,
  freeBranch,
  jobOf,
  moved,
  removed,
  title,
} from "./graph";
import type { Draft, Job } from "./graph";
import { attempt, draft, edit, newId, refusal, selected } from "./state";

const open = signal<{ id: string; x: number; y: number } | null>(null);
const choosing = signal<string | null>(null);

export function openMenu(id: string, from: HTMLElement): void {
  const at = from.getBoundingClientRect();
  selected.value = id;
  open.value = { id, x: Math.min(at.left, innerWidth - 240), y: at.bottom + 4 };
}

/** The names of the jobs that a job waits for. */
export const waiting = (now: Draft, job: Job): string[] =>
  job.needs.map((id) => jobOf(now, id)).flatMap((each) => (each ? [title(now, each)] : []));

export function duplicate(id: string): void {
  const fresh = newId();
  const next = duplicated(draft.value, id, fresh);
  const copy = jobOf(next, fresh);
  if (!copy) return;
  edit(next, `${title(next, copy)} is a copy`);
  selected.value = fresh;
  focus(fresh);
}

export function remove(id: string): void {
  const now = draft.value;
  const job = jobOf(now, id);
  if (!job) return;
  const at = now.jobs.indexOf(job);
  const next = now.jobs[at + 1] ?? now.jobs[at - 1] ?? null;
  edit(removed(now, id), `${title(now, job)} is removed. Control Z brings it back`);
  selected.value = next?.id ?? null;
  if (next) focus(next.id);
}

function toNewBranch(id: string): void {
  const branch = freeBranch(draft.value);
  attempt(moved(draft.value, id, branch, 0), `On the new branch ${branch}`);
  focus(id);
}

type Item = readonly [string, IconName, (id: string) => void, string?];
const ITEMS: readonly Item[] = [
  ["Move left", "chevron", (id) => carry(id, "left"), "Alt ←"],
  ["Move right", "chevron", (id) => carry(id, "right"), "Alt →"],
  ["Up a branch", "chevron", (id) => carry(id, "up"), "Alt ↑"],
  ["Down a branch", "chevron", (id) => carry(id, "down"), "Alt ↓"],
  ["To a new branch", "plus", toNewBranch],
  ["Depends on…", "link", (id) => (choosing.value = id)],
  ["Duplicate", "copy", duplicate, "D"],
  ["Remove", "trash", remove, "Del"],
];

/** The menu and the dialog, wherever they are open; there once. */
export function Menus(): JSX.Element {
  return (
    <>
      {open.value && <Menu key={open.value.id} {...open.value} />}
      {choosing.value && <Needs id={choosing.value} />}
    </>
  );
}

/** In view, with the focus on its first item, and gone when something else is touched. */
function useOpened(list: { current: HTMLDivElement | null }, y: number, leave: () => void): void {
  useEffect(() => {
    const menu = list.current;
    if (menu && y + menu.offsetHeight > innerHeight) {
      menu.style.top = `${Math.max(8, innerHeight - menu.offsetHeight - 8)}px`;
    }
    menu?.querySelector<HTMLElement>("button")?.focus();
    const outside = (event: Event) => {
      if (!menu?.contains(event.target as Node)) leave();
    };
    addEventListener("pointerdown", outside);
    addEventListener("scroll", leave, true);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("scroll", leave, true);
    };
  }, []);
}

function Menu({ id, x, y }: { id: string; x: number; y: number }): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  const close = (back: boolean) => {
    open.value = null;
    if (back) focus(id);
  };
  useOpened(list, y, () => close(false));
  const onKey = (event: KeyboardEvent) => {
    const all = [...(list.current?.querySelectorAll<HTMLElement>("button") ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all.at(to % all.length)?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      close(true);
    }
  };
  return (
    <div
      ref={list}
      class="cardmenu"
      role="menu"
      aria-label="What to do with the job"
      style={{ left: `${x}px`, top: `${y}px` }}
      onKeyDown={onKey}
    >
      {ITEMS.map(([text, icon, act, keys], at) => (
        <button
          key={text}
          type="button"
          role="menuitem"
          tabIndex={-1}
          class={text === "Remove" ? "is-danger" : ""}
          onClick={() => {
            close(false);
            act(id);
          }}
        >
          <span class={`cardmenu-icon turn-${at}`}>
            <Icon name={icon} size={16} />
          </span>
          {text}
          {keys && <kbd>{keys}</kbd>}
        </button>
      ))}
    </div>
  );
}

/** Which jobs a job waits for: a list to tick. One that would close a circle says so. */
function Needs({ id }: { id: string }): JSX.Element | null {
  const now = draft.value;
  const job = jobOf(now, id);
  const close = () => {
    choosing.value = null;
    refusal.value = null;
    focus(id);
  };
  if (!job) return null;
  const name = title(now, job);
  const others = now.jobs.filter((each) => each.id !== id);
  return (
    <Dialog
      title={`${name} depends on`}
      onClose={close}
      actions={
        <Button kind="primary" onClick={close}>
          Done
        </Button>
      }
    >
      <p class="muted">It begins once all of these have succeeded.</p>
      {others.length === 0 && <p>There is no other job yet.</p>}
      <ul class="needs">
        {others.map((other) => {
          const isNeeded = job.needs.includes(other.id);
          const next = isNeeded ? null : connected(now, other.id, id);
          const why = next && "refused" in next ? next.refused : null;
          return (
            <li key={other.id}>
              <label class={why ? "muted" : ""}>
                <input
                  type="checkbox"
                  checked={isNeeded}
                  disabled={why !== null}
                  onChange={() =>
                    isNeeded
                      ? edit(
                          disconnected(now, other.id, id),
                          `No longer waits for ${title(now, other)}`,
                        )
                      : attempt(connected(now, other.id, id), `Waits for ${title(now, other)}`)
                  }
                />
                <span>
                  <strong>{title(now, other)}</strong>{" "}
                  <span class="muted">on branch {other.branch}</span>
                  {why && <span class="small why">{why}</span>}
                </span>
              </label>
            </li>
          );
        })}
      </ul>
    </Dialog>
  );
}
