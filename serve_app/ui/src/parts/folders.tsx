// The server's own slide folders: look through them and take a file as a slide, without a copy.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../api/http";
import type { FolderEntry, Slide, SlideFolders } from "../api/types";
import { bytes } from "../format";
import { Button, Empty, Failure, Loading } from "./basics";
import { Dialog, sayError } from "./dialog";
import { Icon } from "./icons";
import { put, slides } from "../slides";
import "./folders.css";

const PAGE = 100;

interface Where {
  folder: number | null;
  path: string;
}

interface Found {
  folders: SlideFolders["folders"];
  entries: FolderEntry[];
  next: string | null;
}

interface Props {
  onClose: () => void;
  /** Told of each file that has become a slide. */
  onTaken?: (slide: Slide) => void;
}

export function FoldersDialog({ onClose, onTaken = () => {} }: Props): JSX.Element {
  const [where, setWhere] = useState<Where>({ folder: null, path: "" });
  const { found, error, more, again } = useFolder(where);
  useEffect(() => {
    const only = found?.folders.length === 1 ? found.folders[0] : undefined;
    if (where.folder === null && only) setWhere({ folder: only.folder, path: "" });
  }, [found]);
  return (
    <Dialog title="Slides on the server" wide onClose={onClose}>
      <p class="muted">
        Files that are there already become slides of yours without being copied, and do not count
        against your storage.
      </p>
      {found && <Path where={where} folders={found.folders} onGo={setWhere} />}
      {error && <Failure error={error} onRetry={again} />}
      {!found && !error && <Loading rows={4} label="Looking into the folder" />}
      {found && (
        <Entries
          where={where}
          found={found}
          onGo={setWhere}
          onMore={() => void more()}
          onTaken={onTaken}
        />
      )}
    </Dialog>
  );
}

function useFolder(where: Where) {
  const [found, setFound] = useState<Found | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [turn, setTurn] = useState(0);
  const asked = (cursor: string | null, stop?: AbortSignal) =>
    ask<SlideFolders>("/slide-folders", {
      query: { folder: where.folder, path: where.path || null, limit: PAGE, cursor },
      ...(stop ? { signal: stop } : {}),
    });
  useEffect(() => {
    const stop = new AbortController();
    setFound(null);
    setError(null);
    asked(null, stop.signal).then(setFound as (answer: SlideFolders) => void, (thrown: unknown) => {
      if (!stop.signal.aborted) setError(asApiError(thrown));
    });
    return () => stop.abort();
  }, [where.folder, where.path, turn]);
  const more = async () => {
    if (!found) return;
    try {
      const page = await asked(found.next);
      setFound({ ...found, entries: [...found.entries, ...page.entries], next: page.next });
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  };
  return { found, error, more, again: () => setTurn(turn + 1) };
}

interface PathProps {
  where: Where;
  folders: Found["folders"];
  onGo: (where: Where) => void;
}

function Path({ where, folders, onGo }: PathProps): JSX.Element {
  const name = folders.find((each) => each.folder === where.folder)?.name;
  const parts = where.path.split("/").filter(Boolean);
  const steps: [string, Where][] = [
    ["Folders", { folder: null, path: "" }],
    ...(name === undefined ? [] : [[name, { ...where, path: "" }] as [string, Where]]),
    ...parts.map((part, index): [string, Where] => [
      part,
      { ...where, path: parts.slice(0, index + 1).join("/") },
    ]),
  ];
  const shown = folders.length === 1 ? steps.slice(1) : steps;
  return (
    <nav class="crumbs" aria-label="Where in the folders">
      {shown.map(([text, to], index) => (
        <span key={text + index}>
          {index > 0 && <Icon name="chevron" size={14} />}
          {index === shown.length - 1 ? (
            <strong aria-current="location">{text}</strong>
          ) : (
            <button type="button" class="crumb" onClick={() => onGo(to)}>
              {text}
            </button>
          )}
        </span>
      ))}
    </nav>
  );
}

interface EntriesProps {
  where: Where;
  found: Found;
  onGo: (where: Where) => void;
  onMore: () => void;
  onTaken: (slide: Slide) => void;
}

function Entries({ where, found, onGo, onMore, onTaken }: EntriesProps): JSX.Element {
  if (where.folder === null) {
    if (found.folders.length === 0) {
      return (
        <Empty icon="folder" title="This server shares no folders">
          Whoever runs it can name some in its configuration, as slide folders.
        </Empty>
      );
    }
    return (
      <ul class="entries">
        {found.folders.map((each) => (
          <li key={each.folder}>
            <FolderButton name={each.name} onGo={() => onGo({ folder: each.folder, path: "" })} />
          </li>
        ))}
      </ul>
    );
  }
  const folder = where.folder;
  if (found.entries.length === 0) {
    return <Empty icon="folder" title="No slides and no folders in here" />;
  }
  return (
    <ul class="entries">
      {found.entries.map((each) => (
        <li key={each.path}>
          {each.is_folder ? (
            <FolderButton name={each.name} onGo={() => onGo({ folder, path: each.path })} />
          ) : (
            <Entry folder={folder} entry={each} onTaken={onTaken} />
          )}
        </li>
      ))}
      {found.next && (
        <li class="row centred">
          <Button onClick={onMore}>Show more</Button>
        </li>
      )}
    </ul>
  );
}

function FolderButton({ name, onGo }: { name: string; onGo: () => void }): JSX.Element {
  return (
    <button type="button" class="entry" onClick={onGo}>
      <Icon name="folder" />
      <span class="truncate">{name}</span>
      <Icon name="chevron" size={16} />
    </button>
  );
}

/** The same file of the server, where the user has it already. */
const known = (entry: FolderEntry): Slide | undefined =>
  slides.value?.find(
    (slide) =>
      slide.source === "server" &&
      slide.state !== "refused" &&
      slide.name === entry.name &&
      slide.size_bytes === entry.size_bytes,
  );

interface EntryProps {
  folder: number;
  entry: FolderEntry;
  onTaken: (slide: Slide) => void;
}

function Entry({ folder, entry, onTaken }: EntryProps): JSX.Element {
  const [state, setState] = useState<"" | "busy" | "taken">("");
  const take = async () => {
    setState("busy");
    try {
      const json = { folder, path: entry.path };
      const slide = known(entry) ?? (await ask<Slide>("/slides", { method: "POST", json }));
      put(slide);
      onTaken(slide);
      setState("taken");
    } catch (error) {
      setState("");
      sayError(asApiError(error));
    }
  };
  return (
    <div class="entry">
      <Icon name="slides" />
      <span class="truncate" title={entry.name}>
        {entry.name}
      </span>
      <span class="muted small">{bytes(entry.size_bytes)}</span>
      <Button
        label={`Take ${entry.name} as a slide`}
        disabled={state !== ""}
        onClick={() => void take()}
      >
        {state === "taken" ? "Taken" : "Take as a slide"}
      </Button>
    </div>
  );
}
