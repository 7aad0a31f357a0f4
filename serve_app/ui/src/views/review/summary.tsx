// What the answers say, and those that were "no", which may be looked at again.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { url } from "../../api/http";
import { count, percent, time } from "../../format";
import { Button, Choice, Empty } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { mayChange } from "../../session";
import { AccuracyBar } from "./accuracy";
import type { Answers } from "./answers";
import { wilson } from "./interval";
import { Shape } from "./picture";
import type { CellShape, Item } from "./types";
import "./summary.css";

const FRAME_PX = 320;
const FRAMES = 48;

export function Summary(props: { answers: Answers; onItem: (item: number) => void }): JSX.Element {
  const { answers, onItem } = props;
  const { what, population, seed, begun_at, method, note } = answers.review.value;
  const [answered, yes] = [answers.answered.value, answers.yes.value];
  const interval = wilson(yes, answered);
  const open = answers.items.value.length - answered;
  return (
    <div class="stack">
      <section class="card review-sum" aria-label="Accuracy">
        <div>
          <p class="muted">Accuracy</p>
          <p class="review-figure">{interval ? percent(interval.share, 1) : "–"}</p>
          <p class="muted small">
            {count(yes)} of {count(answered)} {what} are right
            {open > 0 && `; ${count(open)} are not answered yet`}
          </p>
        </div>
        <div class="review-sum-bar">
          <p>
            {interval ? (
              <>
                With 95 % confidence, <strong>{percent(interval.low, 1)}</strong> to{" "}
                <strong>{percent(interval.high, 1)}</strong> of all {count(population)} {what} are
                right.
              </>
            ) : (
              "Nothing is answered yet."
            )}
          </p>
          <AccuracyBar interval={interval} label="Accuracy" />
          <p class="muted small">
            {method} · seed {seed} · begun {time(begun_at)}
            {note && ` · ${note}`}
          </p>
        </div>
      </section>
      <Film answers={answers} onItem={onItem} />
    </div>
  );
}

type Which = "no" | "yes" | "open";

function Film(props: { answers: Answers; onItem: (item: number) => void }): JSX.Element {
  const { answers, onItem } = props;
  const [which, setWhich] = useState<Which>("no");
  const [most, setMost] = useState(FRAMES);
  const all = answers.items.value;
  const of = (each: Which) => all.filter((item) => (item.verdict ?? "open") === each);
  const shown = of(which);
  return (
    <section class="card stack" aria-labelledby="film-head">
      <header class="row apart">
        <h2 id="film-head">Look at them again</h2>
        <Choice
          label="Which"
          options={[
            ["no", `No (${of("no").length})`],
            ["yes", `Yes (${of("yes").length})`],
            ["open", `Not answered (${of("open").length})`],
          ]}
          value={which}
          onChange={setWhich}
        />
      </header>
      {shown.length === 0 ? (
        <Empty icon="review" title={NONE[which]} />
      ) : (
        <ul class="film">
          {shown.slice(0, most).map((item) => (
            <Frame key={item.number} answers={answers} item={item} onItem={onItem} />
          ))}
        </ul>
      )}
      {shown.length > most && (
        <div class="row centred">
          <Button onClick={() => setMost(most + FRAMES)}>Show more</Button>
        </div>
      )}
    </section>
  );
}

const NONE: Record<Which, string> = {
  no: "No “no” so far",
  yes: "No “yes” so far",
  open: "Every one is answered",
};

interface FrameProps {
  answers: Answers;
  item: Item;
  onItem: (item: number) => void;
}

function Frame({ answers, item, onItem }: FrameProps): JSX.Element {
  const { x, y, width, height } = item;
  const source = url(`/jobs/${answers.job}/picture`, { x, y, width, height, most_px: FRAME_PX });
  const name = item.cell === null ? `tile ${item.tile}` : `cell ${item.cell}`;
  const cell = useLoad<CellShape>(
    item.cell === null ? null : `/jobs/${answers.job}/cells/${item.cell}`,
  );
  const other = item.verdict === "yes" ? "no" : "yes";
  return (
    <li>
      <button type="button" class="film-picture" onClick={() => onItem(item.number)}>
        <img src={source} alt={`Number ${item.number}, ${name}: look at it again`} loading="lazy" />
        {cell.data && <Shape item={item} cell={cell.data} isOutlined />}
      </button>
      <div class="row apart">
        <span class="small muted">
          {item.number} · {name}
        </span>
        {item.verdict && mayChange.value && (
          <Button kind="quiet" onClick={() => answers.answer(item.number, other)}>
            Change to {other}
            <span class="unseen">: number {item.number}</span>
          </Button>
        )}
      </div>
    </li>
  );
}
