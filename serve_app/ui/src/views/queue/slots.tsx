// On top: who holds the slots, who waits for one, and what the lanes do.
import type { JSX } from "preact";
import type { QueuePicture, SlotHolder, SlotWaiter } from "../../api/types";
import { count, duration, many, time } from "../../format";
import { hasEnded } from "../../jobs";
import { jobList } from "../../live";
import { Button, Notice } from "../../parts/basics";
import { Icon } from "../../parts/icons";
import { isAdmin } from "../../session";
import { hold } from "./acts";
import { useNow } from "./clock";
import { picture } from "./picture";

const FREE_SHOWN = 3;
const WAITERS_SHOWN = 8;
const LAMPS_SHOWN = 48;

export function Slots(): JSX.Element | null {
  const seen = picture.value;
  if (seen === null) return null;
  return (
    <>
      <Gates seen={seen} />
      <section class="card q-cluster" aria-label="The cluster now">
        <Seats seen={seen} />
        <Queue seen={seen} />
        <Lanes seen={seen} />
        {isAdmin.value && <GateButtons seen={seen} />}
      </section>
    </>
  );
}

function Gates({ seen }: { seen: QueuePicture }): JSX.Element | null {
  if (!seen.paused_at && !seen.draining_at) return null;
  return (
    <div class="stack tight q-gates" role="status">
      {seen.paused_at && (
        <Notice tone="warn">
          <strong>Paused by the operator since {time(seen.paused_at)}.</strong> What runs ends;
          nothing new starts. Your jobs keep their places.
        </Notice>
      )}
      {seen.draining_at && (
        <Notice tone="warn">
          <strong>Draining since {time(seen.draining_at)}.</strong> No new work is taken in; what
          was taken in is done.
        </Notice>
      )}
    </div>
  );
}

function GateButtons({ seen }: { seen: QueuePicture }): JSX.Element {
  const isHeld = seen.paused_at !== null || seen.draining_at !== null;
  return (
    <div class="q-admin" role="group" aria-label="Administration">
      {isHeld && (
        <Button kind="primary" onClick={() => void hold("resume")}>
          Resume
        </Button>
      )}
      {!seen.paused_at && <Button onClick={() => void hold("pause")}>Pause</Button>}
      {!seen.draining_at && <Button onClick={() => void hold("drain")}>Drain</Button>}
    </div>
  );
}

function Seats({ seen }: { seen: QueuePicture }): JSX.Element {
  const now = useNow();
  const free = Math.max(seen.slots - seen.slots_held, 0);
  const boxes = free <= FREE_SHOWN ? free : 1;
  const mineFirst = [...seen.held].sort((a, b) => Number(b.mine) - Number(a.mine));
  return (
    <div class="q-part q-seats">
      <h2>
        Slots <span class="muted">{`${seen.slots_held} of ${seen.slots} held`}</span>
      </h2>
      <ul>
        {mineFirst.map((each, at) => (
          <Seat key={each.user ?? `${each.since}-${at}`} each={each} now={now} />
        ))}
        {Array.from({ length: boxes }, (_, at) => (
          <li key={`free-${at}`} class="q-seat free">
            {free <= FREE_SHOWN ? "Free" : `${free} free`}
          </li>
        ))}
      </ul>
      <p class="muted small">The jobs of a user run while the user holds a slot.</p>
    </div>
  );
}

/** How long ago, coarsely: it is looked at, not measured. */
function since(iso: string, now: number): string {
  const passed = Math.max(0, (now - Date.parse(iso)) / 1000);
  return passed < 60 ? "now" : duration(Math.floor(passed / 60) * 60);
}

const whose = (each: SlotHolder | SlotWaiter) => (each.mine ? "You" : (each.user ?? "Somebody"));

function Seat({ each, now }: { each: SlotHolder; now: number }): JSX.Element {
  const held = since(each.since, now);
  const lanes = many(each.lanes, "lane");
  return (
    <li class={`q-seat${each.mine ? " mine" : ""}`}>
      <span class="q-face">
        <Icon name="user" size={18} />
      </span>
      <span class="q-who">
        <strong class="truncate">{whose(each)}</strong>
        <span class="muted truncate">
          {each.parked && (
            <span
              class="q-parked"
              title="The time is used up and others wait: the slot is given on"
            >
              parked
            </span>
          )}
          {each.parked && each.lanes === 0 ? "" : `${lanes} · `}
          {held}
        </span>
      </span>
    </li>
  );
}

function Queue({ seen }: { seen: QueuePicture }): JSX.Element {
  const first = seen.waiting.slice(0, WAITERS_SHOWN);
  const mine = seen.waiting.find((each) => each.mine);
  const shown = mine && !first.includes(mine) ? [...first.slice(0, -1), mine] : first;
  const more = seen.users_waiting - shown.length;
  return (
    <div class="q-part q-line">
      <h2>
        Waiting for a slot{" "}
        <span class="muted">{seen.users_waiting === 0 ? "nobody" : count(seen.users_waiting)}</span>
      </h2>
      {shown.length > 0 && (
        <ol>
          {shown.map((each) => (
            <li key={each.rank} class={each.mine ? "mine" : ""}>
              <span class="q-rank">{each.rank}</span> {whose(each)}
            </li>
          ))}
          {more > 0 && <li class="q-more">{`and ${count(more)} more`}</li>}
        </ol>
      )}
      <p class="muted small">{standing(seen)}</p>
    </div>
  );
}

function standing(seen: QueuePicture): string {
  if (seen.me.rank !== null) {
    const waits = jobList.value.filter(
      (job) => job.why.reason === "waiting_for_slot" && job.why.eta_s !== null,
    );
    const soonest = Math.min(...waits.map((job) => job.why.eta_s ?? Infinity));
    const when = Number.isFinite(soonest) ? `, expected within ${roughly(soonest)}` : "";
    return `You are number ${seen.me.rank}${when}.`;
  }
  if (seen.held.some((each) => each.mine)) return "You hold a slot: your jobs take turns.";
  const hasOpen = jobList.value.some((job) => !hasEnded(job));
  return hasOpen
    ? "None of your jobs can go on now: each says why."
    : "You need none: no job of yours waits or runs.";
}

/** Rounded up to whole minutes: it is a bound, and it moves. */
const roughly = (s: number) => (s < 60 ? duration(Math.ceil(s)) : duration(Math.ceil(s / 60) * 60));

const jobsOf = (many: number) => `${count(many)} ${many === 1 ? "job" : "jobs"}`;

function Lanes({ seen }: { seen: QueuePicture }): JSX.Element {
  const mine = seen.held.find((each) => each.mine)?.lanes ?? 0;
  const lamp = (at: number) => (at < mine ? "mine" : at < seen.lanes_busy ? "busy" : "");
  const yours = mine > 0 ? `, ${mine} for you` : "";
  return (
    <div class="q-part q-lamps">
      <h2 title="A lane computes one part of a slide at a time">
        Lanes <span class="muted">{`${seen.lanes_busy} of ${seen.lanes_open} busy${yours}`}</span>
      </h2>
      <div class="q-row" aria-hidden="true" hidden={seen.lanes_open === 0}>
        {Array.from({ length: Math.min(seen.lanes_open, LAMPS_SHOWN) }, (_, at) => (
          <span key={at} class={`q-lamp ${lamp(at)}`} />
        ))}
        {seen.lanes_open > LAMPS_SHOWN && <span class="muted small">…</span>}
      </div>
      <p class="muted small">
        {seen.lanes_open === 0
          ? "No lane is open: the cluster is starting."
          : `In all ${jobsOf(seen.jobs_running)} running, ${count(seen.jobs_open)} unfinished`}
      </p>
    </div>
  );
}
