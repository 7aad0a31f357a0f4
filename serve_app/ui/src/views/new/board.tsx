// The branches as lanes, the jobs as cards, the dependencies as arrows.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Icon } from "../../parts/icons";
import { Card } from "./card";
import { drag } from "./drag";
import { disconnected, jobOf, renamedBranch, title, type Lane } from "./graph";
import { arrows, curve, HEAD, LANE, layoutOf, NEW_LANE, type Arrow, type Layout } from "./layout";
import { Menus } from "./menu";
import { attempt, draft, edit, refusal } from "./state";

export function Board(): JSX.Element {
  const now = draft.value;
  const board = useRef<HTMLDivElement>(null);
  const layout = useMemo(() => layoutOf(now), [now]);
  const latest = useRef(layout);
  latest.current = layout;
  return (
    <>
      <div
        ref={board}
        class={drag.value ? `board is-dragging of-${drag.value.kind}` : "board"}
        role="group"
        aria-label="Branches and jobs"
      >
        <div
          class="board-inside"
          style={{ minWidth: `${layout.width}px`, height: `${layout.height}px` }}
        >
          <ol class="lanes">
            {layout.lanes.map((lane) => (
              <LaneRow key={lane.branch} lane={lane} layout={layout}>
                {lane.jobs.map((job) => {
                  const placed = layout.placed.get(job.id);
                  return (
                    placed && (
                      <Card
                        key={job.id}
                        placed={placed}
                        board={board}
                        layout={() => latest.current}
                      />
                    )
                  );
                })}
              </LaneRow>
            ))}
          </ol>
          <div
            class={isNew() ? "new-lane is-aimed" : "new-lane"}
            style={{ height: `${NEW_LANE}px`, top: `${layout.lanes.length * LANE}px` }}
          >
            <span>Drag a card here for a new branch</span>
          </div>
          <Arrows layout={layout} />
          <Mark />
        </div>
      </div>
      {refusal.value && (
        <p class="refusal" role="alert">
          <Icon name="warning" size={16} /> {refusal.value}
        </p>
      )}
      <Menus />
    </>
  );
}

const isNew = (): boolean => drag.value?.kind === "card" && drag.value.drop.branch === null;

function LaneRow(props: {
  lane: Lane;
  layout: Layout;
  children: JSX.Element[] | (JSX.Element | undefined)[];
}): JSX.Element {
  const { lane } = props;
  const now = drag.value;
  const isAimed = now?.kind === "card" && now.drop.branch === lane.branch;
  const first = props.layout.placed.get(lane.jobs[0]?.id ?? "");
  const last = props.layout.placed.get(lane.jobs[lane.jobs.length - 1]?.id ?? "");
  return (
    <li class={isAimed ? "lane is-aimed" : "lane"} style={{ height: `${LANE}px` }}>
      <BranchName lane={lane} />
      {first && last && first !== last && (
        <span class="rail" style={{ left: `${first.x}px`, width: `${last.x - first.x}px` }} />
      )}
      <ol class="lane-cards" aria-label={`Jobs on branch ${lane.branch}, in order`}>
        {props.children}
      </ol>
    </li>
  );
}

function BranchName({ lane }: { lane: Lane }): JSX.Element {
  const [text, setText] = useState(lane.branch);
  useEffect(() => setText(lane.branch), [lane.branch]);
  const take = () => {
    const done = attempt(renamedBranch(draft.value, lane.branch, text), `Branch ${text.trim()}`);
    if (!done) setText(lane.branch);
  };
  return (
    <div class="lane-head" style={{ width: `${HEAD}px` }}>
      <input
        aria-label={`Name of branch ${lane.branch}`}
        value={text}
        maxLength={64}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
        onBlur={() => text !== lane.branch && take()}
        onKeyDown={(event) => {
          if (event.key === "Enter") event.currentTarget.blur();
          if (event.key === "Escape") setText(lane.branch);
        }}
      />
      <span class="small muted">
        {lane.jobs.length === 1 ? "1 job" : `${lane.jobs.length} in order`}
      </span>
    </div>
  );
}

function Arrows({ layout }: { layout: Layout }): JSX.Element {
  const now = drag.value;
  const carried = now?.kind === "card" ? now.id : null; // its arrows would point at nothing
  const found = arrows(layout).filter(({ from, to }) => from !== carried && to !== carried);
  const from = now?.kind === "link" ? layout.placed.get(now.id) : null;
  const over = now?.kind === "link" && now.over ? layout.placed.get(now.over) : null;
  return (
    <>
      <svg class="arrows" width="100%" height={layout.height} aria-hidden="true">
        <defs>
          <marker
            id="arrow-end"
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="5"
            markerHeight="5"
            orient="auto"
          >
            <path d="M0 0L8 4L0 8z" />
          </marker>
        </defs>
        {found.map((arrow) => (
          <path
            key={`${arrow.from}>${arrow.to}`}
            class="arrow"
            d={arrow.path}
            marker-end="url(#arrow-end)"
          />
        ))}
        {from && now?.kind === "link" && (
          <path
            class={now.refused ? "arrow is-new is-refused" : "arrow is-new"}
            d={curve(from, over ? over.x : now.x, over ? over.y + 42 : now.y)}
            marker-end="url(#arrow-end)"
          />
        )}
      </svg>
      {!now && found.map((arrow) => <Cut key={`${arrow.from}>${arrow.to}`} arrow={arrow} />)}
    </>
  );
}

/** Takes a dependency away. */
function Cut({ arrow }: { arrow: Arrow }): JSX.Element | null {
  const now = draft.value;
  const [from, to] = [jobOf(now, arrow.from), jobOf(now, arrow.to)];
  if (!from || !to) return null;
  const names = [title(now, to), title(now, from)] as const;
  return (
    <button
      type="button"
      class="cut"
      style={{ left: `${arrow.midX}px`, top: `${arrow.midY}px` }}
      aria-label={`${names[0]} waits for ${names[1]}: take this away`}
      title={`${names[0]} waits for ${names[1]}. Click to take this away`}
      onClick={() =>
        edit(disconnected(now, arrow.from, arrow.to), `${names[0]} no longer waits for ${names[1]}`)
      }
    >
      <Icon name="close" size={12} />
    </button>
  );
}

/** Where the card would go. */
function Mark(): JSX.Element | null {
  const now = drag.value;
  if (now?.kind !== "card" || now.drop.branch === null) return null;
  const { markX, lane } = now.drop;
  return (
    <span
      class={now.refused ? "drop-mark is-refused" : "drop-mark"}
      style={{ left: `${markX}px`, top: `${lane * LANE + 8}px`, height: `${LANE - 16}px` }}
    />
  );
}
