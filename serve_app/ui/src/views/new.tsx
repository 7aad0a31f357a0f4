// New workflow: pick slides, segment them as usual, or lay jobs out on branches and see what it costs.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../api/http";
import type { Engine, Engines } from "../api/types";
import { Button, Choice, Failure, Head, Notice } from "../parts/basics";
import { say, tried } from "../parts/dialog";
import { useLoad } from "../parts/load";
import { go } from "../router";
import { isAdmin, mayChange } from "../session";
import { put } from "../slides";
import { AddJobs } from "./new/add";
import { Board } from "./new/board";
import { EstimatePanel, useEstimate } from "./new/estimate";
import { sampleSlide, twoUsers } from "./new/example";
import { EMPTY } from "./new/graph";
import { Inspector } from "./new/inspector";
import { example, usualSpread, withJobs } from "./new/make";
import { Picker } from "./new/picker";
import { usable, useSlides } from "./new/slides";
import * as state from "./new/state";
import { busy, submitAtOnce } from "./new/submit";
import { TextTab } from "./new/text";
import type { ViewProps } from ".";
import "./new/board.css";
import "./new/card.css";
import "./new/new.css";
import "./new/settings.css";

type Tab = "board" | "json";

export function NewView({ query }: ViewProps): JSX.Element {
  state.open();
  const wanted = query.get("slide");
  const [tab, setTab] = useState<Tab>("board");
  const [adding, setAdding] = useState(wanted !== null && state.draft.value.jobs.length > 0);
  const engines = useLoad<Engines>("/engines");
  useSlides(wanted);
  useEstimate(state.draft.value);
  useKeys();
  const isEmpty = state.draft.value.jobs.length === 0;
  return (
    <div class="new">
      {!mayChange.value && (
        <Notice tone="warn">
          Your key may look, but submit nothing. Log in with another to run jobs.
        </Notice>
      )}
      {isEmpty && tab === "board" ? (
        <Start wanted={wanted} onJson={() => setTab("json")} />
      ) : (
        <LaidOut
          tab={tab}
          onTab={setTab}
          engines={engines.data?.engines ?? []}
          error={engines.error}
          onRetry={engines.again}
          onAdd={() => setAdding(true)}
        />
      )}
      {adding && <AddJobs wanted={wanted} onClose={() => setAdding(false)} />}
      <p class="unseen" role="status" aria-live="polite">
        {state.spoken.value}
      </p>
    </div>
  );
}

/** Control Z and Control Shift Z, outside of fields, which have their own. */
function useKeys(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const isField =
        event.target instanceof Element && event.target.matches("input, textarea, select");
      if (!(event.ctrlKey || event.metaKey) || isField) return;
      const key = event.key.toLowerCase();
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      if (key === "y" || event.shiftKey) state.redo();
      else state.undo();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** Nothing is laid out yet: pick slides, and one button for the usual case. */
function Start({ wanted, onJson }: { wanted: string | null; onJson: () => void }): JSX.Element {
  const [picked, setPicked] = useState<readonly string[]>(wanted ? [wanted] : []);
  const [problem, setProblem] = useState<ApiError | null>(null);
  const chosen = usable(picked);
  const isReady = chosen.length > 0 && chosen.every((slide) => slide.state === "ready");
  const many = chosen.length > 1 ? ` of ${chosen.length} slides` : "";
  const usual = () => withJobs(EMPTY, chosen, "cell_segmentation", usualSpread(chosen.length));
  return (
    <>
      <Head
        title="New workflow"
        about="Pick slides. Segment them as usual, or lay out jobs on branches before anything runs."
      >
        {state.canUndo.value && (
          <Button icon="undo" onClick={state.undo}>
            Undo
          </Button>
        )}
        <Button
          icon="workflow"
          disabled={!isReady}
          onClick={() => state.replace(usual(), "Laid out")}
        >
          Lay out jobs
        </Button>
        <Button
          kind="primary"
          disabled={!isReady || busy.value || !mayChange.value}
          onClick={() => void submitAtOnce(usual()).then(setProblem)}
        >
          {busy.value ? "Submitting" : `Segment cells${many}`}
        </Button>
      </Head>
      {problem && <Failure error={problem} />}
      <div class="start">
        <section class="card" aria-label="Pick slides">
          <Picker picked={picked} onPick={setPicked} />
        </section>
        <aside class="stack">
          <Examples />
          <section class="card stack tight">
            <h2>From a file</h2>
            <p class="muted small">A workflow as JSON, as the command line takes it.</p>
            <div>
              <Button icon="log" onClick={onJson}>
                Paste JSON
              </Button>
            </div>
          </section>
        </aside>
      </div>
    </>
  );
}

function Examples(): JSX.Element {
  const [doing, setDoing] = useState<string | null>(null);
  const mine = async () => {
    setDoing("Getting the sample slide");
    await tried(async () => {
      const slide = await sampleSlide();
      put(slide);
      state.replace(example(slide), "The example is laid out on two branches");
    });
    setDoing(null);
  };
  const both = async () => {
    await tried(async () => {
      const made = await twoUsers(setDoing);
      say(`Two users run ${made.length} workflows.`);
      go(["queue"]);
    });
    setDoing(null);
  };
  return (
    <section class="card stack tight example">
      <TwoBranches />
      <h2>See it work</h2>
      <p class="muted small">
        Two branches on a sample slide: cells as usual; beside them the tissue, then two thresholds.
      </p>
      <div class="row">
        <Button disabled={doing !== null || !mayChange.value} onClick={() => void mine()}>
          Try the example
        </Button>
        {isAdmin.value && (
          <Button icon="users" disabled={doing !== null} onClick={() => void both()}>
            Two users, two branches
          </Button>
        )}
      </div>
      <p class="small muted" role="status">
        {doing ?? ""}
      </p>
    </section>
  );
}

/** The example in small, for the eye. */
function TwoBranches(): JSX.Element {
  return (
    <svg class="example-picture" viewBox="0 0 240 84" aria-hidden="true">
      <path class="lane-line" d="M0 22h240M0 62h240" />
      <rect class="cells" x="16" y="8" width="60" height="28" rx="6" />
      <rect class="tissue" x="16" y="48" width="60" height="28" rx="6" />
      <rect class="cells" x="148" y="48" width="60" height="28" rx="6" />
      <path class="link" d="M76 22C112 22 112 60 146 61" />
    </svg>
  );
}

interface LaidOutProps {
  tab: Tab;
  onTab: (tab: Tab) => void;
  engines: readonly Engine[];
  error: ApiError | null;
  onRetry: () => void;
  onAdd: () => void;
}

function LaidOut(props: LaidOutProps): JSX.Element {
  const { tab, onTab, engines } = props;
  const job = state.chosen.value;
  return (
    <>
      <Head title="New workflow">
        <Choice
          label="How the draft is shown"
          options={[
            ["board", "Board"],
            ["json", "JSON"],
          ]}
          value={tab}
          onChange={onTab}
        />
        <Button icon="undo" label="Undo" disabled={!state.canUndo.value} onClick={state.undo} />
        <Button icon="redo" label="Redo" disabled={!state.canRedo.value} onClick={state.redo} />
        <Button
          icon="trash"
          onClick={() => {
            state.replace(EMPTY, "The draft is empty");
            onTab("board");
          }}
        >
          Start over
        </Button>
      </Head>
      {props.error && <Failure error={props.error} onRetry={props.onRetry} />}
      <div class="laid-out">
        {tab === "json" ? <TextTab /> : <BoardCard onAdd={props.onAdd} />}
        <EstimatePanel />
        {tab === "board" && job && engines.length > 0 && (
          <Inspector key={job.id} job={job} engines={engines} />
        )}
      </div>
    </>
  );
}

function BoardCard({ onAdd }: { onAdd: () => void }): JSX.Element {
  return (
    <section class="card board-card" aria-labelledby="branches-title">
      <div class="board-head">
        <h2 id="branches-title" class="unseen">
          Branches
        </h2>
        <WorkflowName />
        <Button icon="plus" onClick={onAdd}>
          Add jobs
        </Button>
      </div>
      <Board />
      <p class="small muted board-about">
        A branch runs its jobs in order; branches run side by side. Drag a card to move it, or its
        dot to a card that should wait for it. By keyboard: Alt with the arrow keys, or the menu.
      </p>
    </section>
  );
}

function WorkflowName(): JSX.Element {
  return (
    <label class="workflow-name">
      <span class="small muted">Name</span>
      <input
        value={state.draft.value.name}
        maxLength={200}
        placeholder="workflow"
        autocomplete="off"
        onInput={(event) =>
          state.edit({ ...state.draft.value, name: event.currentTarget.value }, null, "name")
        }
      />
    </label>
  );
}
