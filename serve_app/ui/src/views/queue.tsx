// The live picture of the scheduler: slots and lanes, my branches, each job; and what has ended.
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { hasEnded } from "../jobs";
import { jobList, jobs, list, trouble } from "../live";
import { Button, Choice, Empty, Failure, Head, LinkButton, Loading } from "../parts/basics";
import { go, link } from "../router";
import { mayChange } from "../session";
import type { ViewProps } from ".";
import { cancelMine } from "./queue/acts";
import { Announcer } from "./queue/announce";
import { bringBack, clear, cleared, isCleared, recall } from "./queue/cleared";
import { Filters, fitting, isFiltered } from "./queue/filters";
import { groups, inWords, tally, type Group } from "./queue/group";
import { History } from "./queue/history";
import { Lanes } from "./queue/lanes";
import { useNames } from "./queue/names";
import { Panel } from "./queue/panel";
import { usePicture } from "./queue/picture";
import { Slots } from "./queue/slots";
import "./queue/queue.css";

const SHOWS = [
  ["now", "Now"],
  ["history", "History"],
] as const;
type Shows = (typeof SHOWS)[number][0];

export function QueueView({ path, query }: ViewProps): JSX.Element {
  usePicture();
  useEffect(recall, []);
  useNames(groups.value.map((group) => group.id));
  const shows: Shows = query.get("show") === "history" ? "history" : "now";
  const turn = (to: Shows) => go(["queue"], { show: to === "history" ? to : null });
  const open = jobList.value.filter((job) => !hasEnded(job));
  return (
    <div class="queue">
      <Head title="Queue" about={about(open.length)}>
        {mayChange.value && open.length > 0 && shows === "now" && (
          <Button kind="quiet" icon="stop" onClick={() => void cancelMine(open.length)}>
            Cancel all mine
          </Button>
        )}
        <Choice label="Show" options={SHOWS} value={shows} onChange={turn} />
      </Head>
      <Announcer />
      {shows === "history" ? <History query={query} /> : <Now query={query} />}
      {path[0] && <Panel id={path[0]} query={query} />}
    </div>
  );
}

function about(open: number): string {
  if (jobs.value === null) return "Who computes what, and who is next";
  if (open === 0) return "Nothing of yours is waiting or running";
  return `Yours: ${inWords(tally(jobList.value.filter((job) => !hasEnded(job))))}`;
}

function Now({ query }: { query: URLSearchParams }): JSX.Element {
  return (
    <>
      <Slots />
      {trouble.value && <Failure error={trouble.value} onRetry={() => void list()} />}
      {jobs.value === null ? !trouble.value && <Loading rows={4} /> : <Mine query={query} />}
    </>
  );
}

function Mine({ query }: { query: URLSearchParams }): JSX.Element {
  const all = groups.value;
  if (all.length === 0) return <Nothing />;
  const shown = fitting(all, query).filter(
    (group) => !isCleared(group) || group.id === query.get("workflow"),
  );
  const ended = shown.filter((group) => !group.open);
  return (
    <>
      <div class="q-tools">
        <Filters query={query} groups={all} />
        <Clearing ended={isFiltered(query) ? [] : ended} all={all} />
      </div>
      {shown.length > 0 ? (
        <Lanes groups={shown} isWhole={showsWholes(query)} />
      ) : (
        <NoneShown isFiltered={isFiltered(query)} />
      )}
    </>
  );
}

/** Whether workflows are shown with all of their jobs. */
const showsWholes = (query: URLSearchParams): boolean =>
  ["branch", "state", "slide"].every((name) => !query.get(name));

/** Out of the picture, not out of the world. */
function Clearing({ ended, all }: { ended: Group[]; all: readonly Group[] }): JSX.Element {
  const hidden = all.filter(isCleared).length;
  return (
    <div class="row">
      {hidden > 0 && cleared.value.size > 0 && (
        <Button kind="quiet" onClick={bringBack}>
          {`Bring back ${hidden} cleared`}
        </Button>
      )}
      {ended.length > 0 && (
        <Button
          onClick={() => clear(ended)}
          label="Ended workflows leave this picture; nothing is deleted"
        >
          Clear finished
        </Button>
      )}
    </div>
  );
}

function Nothing(): JSX.Element {
  return (
    <Empty
      icon="queue"
      title="Nothing of yours is queued"
      action={
        mayChange.value && (
          <LinkButton href={link(["new"])} icon="plus" kind="primary">
            New workflow
          </LinkButton>
        )
      }
    >
      Jobs appear here the moment they are submitted, each with what it does, or why it waits and
      for how long.
    </Empty>
  );
}

function NoneShown({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  return isFiltered ? (
    <Empty icon="search" title="No job fits these filters">
      Change them above, or look into the history for what has ended.
    </Empty>
  ) : (
    <Empty icon="queue" title="All clear">
      Everything has ended and was cleared from here. The history keeps it.
    </Empty>
  );
}
