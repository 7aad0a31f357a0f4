// A job's own log: what its engine said and what the system did, following while it goes on.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError, ask, type ApiError } from "../../api/http";
import type { Job, JobLog, LogLine } from "../../api/types";
import { clock, count } from "../../format";
import { hasEnded } from "../../jobs";
import { Button, Choice, Failure } from "../../parts/basics";
import { copyText } from "../../parts/copy";
import { tried } from "../../parts/dialog";
import { keepAsFile, wholeLog } from "./log-text";

const PAGE = 200;
const PAGES_AT_ONCE = 5;
const LEVELS = ["debug", "info", "warning", "error"] as const;
type Level = (typeof LEVELS)[number];
type Source = "all" | "engine" | "system";
const SOURCES = [
  ["all", "All"],
  ["engine", "Engine"],
  ["system", "System"],
] as const;

interface Read {
  lines: LogLine[];
  complete: boolean;
  error: ApiError | null;
  more: () => void;
}

export function Log({ job }: { job: Job }): JSX.Element {
  const [level, setLevel] = useState<Level>("info");
  const [source, setSource] = useState<Source>("all");
  const read = useLog(job, level);
  const shown = read.lines.filter((line) => source === "all" || line.source === source);
  return (
    <div class="q-log">
      <div class="row">
        <Choice label="Said by" options={SOURCES} value={source} onChange={setSource} />
        <label class="q-level">
          <span class="small muted">From</span>
          <select value={level} onChange={(e) => setLevel(e.currentTarget.value as Level)}>
            {LEVELS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <span class="q-space" />
        <LogActs job={job} level={level} />
      </div>
      {read.error && <Failure error={read.error} onRetry={read.more} />}
      <Lines lines={shown} job={job} isRead={read.complete} />
      {!read.complete && !read.error && read.lines.length > 0 && (
        <Button onClick={read.more}>Load more lines</Button>
      )}
    </div>
  );
}

/** The lines from a level on; reads on whenever the job itself has changed. */
function useLog(job: Job, level: Level): Read {
  const [turn, setTurn] = useState(0);
  const [state, set] = useState<Omit<Read, "more">>({ lines: [], complete: false, error: null });
  const at = useRef({ level, cursor: null as string | null, busy: false, again: false });
  useEffect(() => {
    if (at.current.level !== level) {
      at.current = { level, cursor: null, busy: false, again: false };
      set({ lines: [], complete: false, error: null });
    }
    const reading = at.current;
    if (reading.busy) {
      reading.again = true;
      return;
    }
    reading.busy = true;
    void readOn(job.id, reading, (page) => {
      if (at.current !== reading) return false;
      set((old) => ({
        lines: page.lines.length ? [...old.lines, ...page.lines] : old.lines,
        complete: page.complete,
        error: null,
      }));
      return true;
    })
      .catch((thrown: unknown) => set((old) => ({ ...old, error: asApiError(thrown) })))
      .finally(() => (reading.busy = false));
  }, [job, level, turn]);
  return { ...state, more: () => setTurn((old) => old + 1) };
}

interface Reading {
  level: Level;
  cursor: string | null;
  again: boolean;
}

async function readOn(job: string, at: Reading, took: (page: JobLog) => boolean): Promise<void> {
  for (let page = 0; page < PAGES_AT_ONCE; page++) {
    at.again = false;
    const found = await ask<JobLog>(`/jobs/${encodeURIComponent(job)}/log`, {
      query: { limit: PAGE, level: at.level, cursor: at.cursor },
    });
    if (!took(found)) return;
    at.cursor = found.next;
    if (found.complete && !at.again) return;
  }
}

function LogActs({ job, level }: { job: Job; level: Level }): JSX.Element {
  const copy = () =>
    tried(async () => {
      const text = await wholeLog(job.id, level);
      await copyText(text, "The log");
    });
  const keep = () =>
    tried(async () => keepAsFile(`${job.id}.log.txt`, await wholeLog(job.id, level)));
  return (
    <>
      {"clipboard" in navigator && (
        <Button icon="copy" kind="quiet" label="Copy the log" onClick={() => void copy()} />
      )}
      <Button icon="download" kind="quiet" label="Download as text" onClick={() => void keep()} />
    </>
  );
}

const NEAR_END_PX = 40;

function Lines(props: { lines: LogLine[]; job: Job; isRead: boolean }): JSX.Element {
  const { lines, job, isRead } = props;
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(!hasEnded(job));
  const onScroll = () => {
    const it = box.current;
    if (it) follows.current = it.scrollHeight - it.scrollTop - it.clientHeight < NEAR_END_PX;
  };
  useEffect(() => {
    if (follows.current) box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [lines.length]);
  return (
    <div
      ref={box}
      class="q-lines"
      tabIndex={0}
      role="region"
      aria-label={`Log, ${count(lines.length)} lines`}
      onScroll={onScroll}
    >
      {lines.length === 0 && <p class="muted">{isRead ? nothing(job) : "Reading the log"}</p>}
      {lines.map((line, at) => (
        <Line key={at} line={line} />
      ))}
      {!hasEnded(job) && isRead && <p class="q-follows muted">Goes on as the job does</p>}
    </div>
  );
}

const nothing = (job: Job): string =>
  job.started_at ? "Nothing was said at this level." : "It has not begun: nothing is said yet.";

function Line({ line }: { line: LogLine }): JSX.Element {
  const at = new Date(line.at);
  const unit = [
    line.attempt && line.attempt > 1 ? `attempt ${line.attempt}` : "",
    line.stage ?? "",
    line.chunk === null ? "" : `chunk ${line.chunk}`,
  ].filter(Boolean);
  return (
    <p class={`q-line-of ${line.level.toLowerCase()}`}>
      <time dateTime={line.at} title={at.toLocaleString("en-GB")}>
        {clock(line.at)}
      </time>
      <span class="q-from" title={line.logger}>
        {line.level.toLowerCase() === "info" ? line.source : line.level.toLowerCase()}
      </span>
      <span class="q-said">
        {line.message}
        {unit.length > 0 && <span class="q-unit">{unit.join(", ")}</span>}
      </span>
    </p>
  );
}
