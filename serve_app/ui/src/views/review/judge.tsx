// One item at a time: a large picture, Yes or No, and how it stands.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, percent } from "../../format";
import { Button, Progress } from "../../parts/basics";
import { mayChange } from "../../session";
import { AccuracyBar } from "./accuracy";
import type { Answers } from "./answers";
import { MEANING } from "./begin";
import { wilson } from "./interval";
import { Picture } from "./picture";
import { PictureShelf } from "./pictures";
import { Strip } from "./strip";
import type { Item, Verdict } from "./types";

const AHEAD = 4;
const FLASH_MS = 160;

interface Props {
  answers: Answers;
  /** Which item; null: the first that has no answer. */
  number: number | null;
  onItem: (number: number) => void;
  onDone: () => void;
}

export function Judge({ answers, number, onItem, onDone }: Props): JSX.Element {
  const items = answers.items.value;
  const at = indexOf(items, number);
  const item = items[at] as Item;
  const shelf = useMemo(() => new PictureShelf(answers.job), [answers.job]);
  const [isOutlined, setOutlined] = useState(true);
  useEffect(() => () => shelf.close(), [shelf]);
  useEffect(() => {
    for (const next of items.slice(at, at + AHEAD)) shelf.get(next).catch(() => undefined);
  }, [at, shelf]);
  const { move, onward, answer, undo, hasGiven } = useAnswering(answers, at, onItem, onDone);
  const pressed = useKeys({
    y: () => answer("yes"),
    n: () => answer("no"),
    u: undo,
    Backspace: undo,
    s: onward,
    o: () => setOutlined((old) => !old),
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
  });
  return (
    <div class="judge">
      <Picture key={item.number} item={item} shelf={shelf} isOutlined={isOutlined} />
      <div class="judge-side stack">
        <Question answers={answers} item={item} at={at} of={items.length} />
        <div class="judge-answers">
          {(["yes", "no"] as const).map((verdict) => (
            <Answer
              key={verdict}
              verdict={verdict}
              item={item}
              isFlashed={pressed === verdict.charAt(0)}
              onClick={() => answer(verdict)}
            />
          ))}
        </div>
        <Moves
          isFirst={at === 0}
          hasGiven={hasGiven}
          isOutlined={isOutlined}
          onBack={() => move(-1)}
          onUndo={undo}
          onSkip={onward}
          onOutlines={() => setOutlined(!isOutlined)}
        />
        <SoFar answers={answers} />
      </div>
      <Strip items={items} current={item.number} onItem={onItem} />
    </div>
  );
}

/** What can be done with the item at a place; answers that were given here can be taken back. */
function useAnswering(
  answers: Answers,
  at: number,
  onItem: (number: number) => void,
  onDone: () => void,
) {
  const items = answers.items.value;
  const item = items[at] as Item;
  const given = useRef<[number, Verdict | null][]>([]);
  const move = (by: number) => {
    const to = items[Math.min(Math.max(at + by, 0), items.length - 1)];
    if (to) onItem(to.number);
  };
  const onward = () => {
    const open = [...items.slice(at + 1), ...items.slice(0, at)].find((each) => !each.verdict);
    if (open) onItem(open.number);
    else if (answers.answered.value === items.length) onDone();
  };
  const answer = (verdict: Verdict) => {
    if (!mayChange.value) return;
    given.current.push([item.number, item.verdict]);
    answers.answer(item.number, verdict);
    onward();
  };
  const undo = () => {
    const last = given.current.pop();
    if (!last) return;
    answers.answer(...last);
    onItem(last[0]);
  };
  return { move, onward, answer, undo, hasGiven: given.current.length > 0 };
}

interface MovesProps {
  isFirst: boolean;
  hasGiven: boolean;
  isOutlined: boolean;
  onBack: () => void;
  onUndo: () => void;
  onSkip: () => void;
  onOutlines: () => void;
}

function Moves(props: MovesProps): JSX.Element {
  return (
    <div class="judge-moves">
      <Button
        kind="quiet"
        onClick={props.onBack}
        disabled={props.isFirst}
        label="The one before (left arrow)"
      >
        ← Back
      </Button>
      <Button
        kind="quiet"
        onClick={props.onUndo}
        disabled={!props.hasGiven}
        label="Take the last answer back (U or Backspace)"
      >
        Undo <Key name="U" />
      </Button>
      <Button kind="quiet" onClick={props.onSkip} label="To the next without an answer (S)">
        Skip <Key name="S" />
      </Button>
      <Button
        kind="quiet"
        pressed={props.isOutlined}
        onClick={props.onOutlines}
        label="Show or hide the outlines (O)"
      >
        Outlines <Key name="O" />
      </Button>
    </div>
  );
}

function indexOf(items: readonly Item[], number: number | null): number {
  const given = items.findIndex((each) => each.number === number);
  if (given >= 0) return given;
  return Math.max(
    items.findIndex((each) => !each.verdict),
    0,
  );
}

function Question(props: { answers: Answers; item: Item; at: number; of: number }): JSX.Element {
  const { what } = props.answers.review.value;
  return (
    <div>
      <p class="muted small">
        {what === "cells" ? "Cell" : "Tile"} {props.at + 1} of {props.of}
      </p>
      <h2 class="judge-question">
        {what === "cells" ? "Is this outline right?" : "Are the outlines right here?"}
      </h2>
      <p class="muted small">{MEANING[what]}</p>
    </div>
  );
}

export const Key = ({ name }: { name: string }): JSX.Element => (
  <kbd aria-hidden="true">{name}</kbd>
);

interface AnswerProps {
  verdict: Verdict;
  item: Item;
  isFlashed: boolean;
  onClick: () => void;
}

function Answer({ verdict, item, isFlashed, onClick }: AnswerProps): JSX.Element {
  const isYes = verdict === "yes";
  return (
    <button
      type="button"
      class={`judge-answer ${verdict}${isFlashed ? " flashed" : ""}`}
      aria-pressed={item.verdict === verdict}
      aria-keyshortcuts={isYes ? "Y" : "N"}
      disabled={!mayChange.value}
      onClick={onClick}
    >
      {isYes ? "Yes" : "No"} <Key name={isYes ? "Y" : "N"} />
    </button>
  );
}

/** The share of yes so far, and how sure that is. */
export function SoFar({ answers }: { answers: Answers }): JSX.Element {
  const [answered, yes] = [answers.answered.value, answers.yes.value];
  const interval = wilson(yes, answered);
  const all = answers.items.value.length;
  return (
    <div class="judge-sofar" role="status">
      <div class="row apart small">
        <span>
          <strong>{count(answered)}</strong> of {count(all)} answered
        </span>
        <span class="muted">{answers.pending.value.length ? "saving …" : "all saved"}</span>
      </div>
      <Progress value={answered / Math.max(all, 1)} label="Answered" />
      <p class="judge-accuracy">
        <strong>{interval ? percent(interval.share, 1) : "–"}</strong>{" "}
        <span class="muted">
          {interval
            ? `right; 95 % sure: ${percent(interval.low, 1)} to ${percent(interval.high, 1)}`
            : "right so far: answer the first one"}
        </span>
      </p>
      <AccuracyBar interval={interval} label="Accuracy so far" />
    </div>
  );
}

/** Single keys for the whole page, from the first moment, unless something is being typed; which was
 *  pressed last. */
function useKeys(actions: Record<string, () => void>): string | null {
  const latest = useRef(actions);
  latest.current = actions;
  const [pressed, setPressed] = useState<string | null>(null);
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const target = event.target as HTMLElement;
      if (target.closest("input, textarea, select, dialog, [role=slider]")) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const action = latest.current[key];
      if (!action) return;
      event.preventDefault();
      setPressed(key);
      action();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  useEffect(() => {
    if (!pressed) return;
    const later = setTimeout(() => setPressed(null), FLASH_MS);
    return () => clearTimeout(later);
  }, [pressed]);
  return pressed;
}
