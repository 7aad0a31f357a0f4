// A job as a card on the board.
import type { JSX, RefObject } from "preact";
import { duration } from "../../format";
import { Icon } from "../../parts/icons";
import { begin, drag } from "./drag";
import { estimateOf } from "./estimate";
import { copies, lanes, stepped, title, type Step } from "./graph";
import { CARD, type Layout, type Placed } from "./layout";
import { duplicate, openMenu, remove, waiting } from "./menu";
import { slideName, thumbnail } from "./slides";
import { attempt, chosen, draft, invalid, selected } from "./state";

interface CardProps {
  placed: Placed;
  board: RefObject<HTMLDivElement | null>;
  layout: () => Layout;
}

const ARROWS: Record<string, Step> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};

export function Card({ placed, board, layout }: CardProps): JSX.Element {
  const { job, x } = placed;
  const now = drag.value;
  const isCarried = now?.kind === "card" && now.id === job.id;
  const isAimedAt = now?.kind === "link" && now.over === job.id;
  const classes = [
    "jobcard",
    job.spec.kind === "tissue_mask" ? "of-tissue" : "of-cells",
    chosen.value?.id === job.id && "is-selected",
    isCarried && "is-carried",
    isAimedAt && (now.refused ? "is-refused" : "is-aimed"),
  ];
  const start = (event: PointerEvent, kind: "card" | "link") => {
    if (event.button !== 0 || !board.current) return;
    if (kind === "card" && event.pointerType === "touch" && !isGrip(event.target)) return;
    event.stopPropagation();
    begin({ event, id: job.id, kind, board: board.current, layout });
  };
  const moved = isCarried ? `translate(${now.dx}px, ${now.dy}px)` : "";
  return (
    <li
      class={classes.filter(Boolean).join(" ")}
      style={{
        left: `${x}px`,
        width: `${CARD.width}px`,
        height: `${CARD.height}px`,
        transform: moved,
      }}
      onPointerDown={(event) => start(event, "card")}
    >
      <Face placed={placed} />
      <button
        type="button"
        class="jobcard-menu"
        aria-label={`Actions for ${title(draft.value, job)}`}
        aria-haspopup="menu"
        onPointerDown={(event) => event.stopPropagation()}
        onClick={(event) => openMenu(job.id, event.currentTarget)}
      >
        <Icon name="more" size={16} />
      </button>
      <span
        class="jobcard-handle"
        aria-hidden="true"
        title="Drag to a card that should wait for this one"
        onPointerDown={(event) => start(event, "link")}
      />
    </li>
  );
}

const isGrip = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest(".jobcard-picture") !== null;

function Face({ placed: { job } }: { placed: Placed }): JSX.Element {
  const small = thumbnail(job.spec.slide);
  const isSelected = chosen.value?.id === job.id;
  return (
    <button
      type="button"
      class="jobcard-face"
      data-job={job.id}
      aria-pressed={isSelected}
      aria-keyshortcuts="Alt+ArrowLeft Alt+ArrowRight Alt+ArrowUp Alt+ArrowDown Delete D"
      onClick={() => (selected.value = job.id)}
      onKeyDown={(event) => onKey(event, job.id)}
    >
      <span class="jobcard-picture">
        {small ? <img src={small} alt="" draggable={false} /> : <Icon name="slides" />}
        <span class="jobcard-grip">
          <Icon name="drag" size={16} />
        </span>
      </span>
      <span class="jobcard-text">
        <strong class="truncate">{title(draft.value, job)}</strong>
        <span class="truncate small muted">{slideName(job.spec.slide)}</span>
        <Facts job={job} />
        <span class="unseen">{inWords(job.id)}</span>
      </span>
    </button>
  );
}

function Facts({ job }: { job: Placed["job"] }): JSX.Element {
  const many = copies(job);
  const cost = estimateOf(draft.value, job);
  const isWrong = [...invalid.value.keys()].some((at) => at.startsWith(`${job.id}/`));
  return (
    <span class="jobcard-facts">
      <span class="jobcard-kind">{job.spec.kind === "tissue_mask" ? "Tissue" : "Cells"}</span>
      {many > 1 && <span class="jobcard-many">× {many}</span>}
      {isWrong ? (
        <span class="jobcard-wrong">not valid</span>
      ) : cost?.question ? (
        <span class="jobcard-wrong">pixel size?</span>
      ) : cost?.isReused ? (
        <span>result is there</span>
      ) : (
        cost && <span>≈ {duration(cost.laneSeconds)}</span>
      )}
    </span>
  );
}

/** What the place of a card tells the eye: ", branch usual, 1 of 2, waits for tissue". */
function inWords(id: string): string {
  const now = draft.value;
  const lane = lanes(now).find((each) => each.jobs.some((job) => job.id === id));
  const job = lane?.jobs.find((each) => each.id === id);
  if (!lane || !job) return "";
  const at = `${lane.jobs.indexOf(job) + 1} of ${lane.jobs.length}`;
  const needs = waiting(now, job);
  const waits = needs.length ? `, waits for ${needs.join(", ")}` : "";
  return `, branch ${lane.branch}, ${at}${waits}`;
}

function onKey(event: KeyboardEvent, id: string): void {
  const step = ARROWS[event.key];
  if (step) {
    event.preventDefault();
    if (event.altKey) carry(id, step);
    else look(id, step);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    event.preventDefault();
    remove(id);
  } else if (event.key.toLowerCase() === "d" && !event.ctrlKey && !event.metaKey) {
    duplicate(id);
  } else if (event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) {
    event.preventDefault();
    openMenu(id, event.currentTarget as HTMLElement);
  }
}

/** Move a card by a step, and say where it is now. */
export function carry(id: string, step: Step): void {
  const next = stepped(draft.value, id, step);
  const done = "draft" in next && lanes(next.draft).find((l) => l.jobs.some((j) => j.id === id));
  const at = done ? done.jobs.findIndex((job) => job.id === id) + 1 : 0;
  attempt(next, done ? `Branch ${done.branch}, place ${at} of ${done.jobs.length}` : "");
  focus(id);
}

/** Go to the card beside, or the nearest of the branch above or below. */
function look(id: string, step: Step): void {
  const all = lanes(draft.value);
  const lane = all.findIndex((each) => each.jobs.some((job) => job.id === id));
  const at = all[lane]?.jobs.findIndex((job) => job.id === id) ?? 0;
  const along = step === "left" ? -1 : step === "right" ? 1 : 0;
  const across = step === "up" ? -1 : step === "down" ? 1 : 0;
  const jobs = all[lane + across]?.jobs;
  const next = across ? jobs?.[Math.min(at, jobs.length - 1)] : jobs?.[at + along];
  if (next) focus(next.id);
}

export function focus(id: string): void {
  requestAnimationFrame(() =>
    document.querySelector<HTMLElement>(`[data-job="${CSS.escape(id)}"]`)?.focus(),
  );
}
