// Choosing slides: the user's own, as pictures with a search, and files of the server.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ask } from "../../api/http";
import type { Slide } from "../../api/types";
import { bytes, count } from "../../format";
import { Button, Empty, Failure, Loading, LinkButton, State } from "../../parts/basics";
import { Dialog, tried } from "../../parts/dialog";
import { Icon } from "../../parts/icons";
import { useLoad } from "../../parts/load";
import { link } from "../../router";
import { loadSlides, moreSlides, slides, slidesError, takeSlide, thumbnail } from "./slides";

interface PickerProps {
  picked: readonly string[];
  onPick: (slides: readonly string[]) => void;
  /** Shown when there is no slide at all. */
  empty?: JSX.Element;
}

const isUsable = (slide: Slide): boolean => slide.state === "ready";

export function Picker({ picked, onPick, empty }: PickerProps): JSX.Element {
  const [text, setText] = useState("");
  const [isBrowsing, setBrowsing] = useState(false);
  const all = slides.value;
  if (slidesError.value && !all) {
    return <Failure error={slidesError.value} onRetry={() => void loadSlides()} />;
  }
  if (!all) return <Loading rows={4} />;
  const wanted = text.trim().toLowerCase();
  const shown = all.filter((slide) => slide.name.toLowerCase().includes(wanted));
  const usable = shown.filter(isUsable).map((slide) => slide.id);
  const hasAll = usable.length > 0 && usable.every((id) => picked.includes(id));
  const toggle = (id: string) =>
    onPick(picked.includes(id) ? picked.filter((each) => each !== id) : [...picked, id]);
  const toggleAll = () =>
    onPick(
      hasAll
        ? picked.filter((id) => !usable.includes(id))
        : [...picked, ...usable.filter((id) => !picked.includes(id))],
    );
  return (
    <div class="picker">
      {all.length > 0 && (
        <div class="row apart">
          <label class="search">
            <span class="unseen">Search your slides</span>
            <Icon name="search" size={18} />
            <input
              type="search"
              placeholder={`Search ${slidesInWords(all.length)}`}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </label>
          <div class="row">
            {usable.length > 1 && (
              <Button onClick={toggleAll}>
                {hasAll ? "Take none" : wanted ? `Take these ${usable.length}` : "Take all"}
              </Button>
            )}
            <Button icon="plus" onClick={() => setBrowsing(true)}>
              From the server
            </Button>
          </div>
        </div>
      )}
      {all.length === 0 ? (
        (empty ?? <NoSlides onBrowse={() => setBrowsing(true)} />)
      ) : shown.length === 0 ? (
        <p class="muted picker-none">No slide is called like “{text}”.</p>
      ) : (
        <ul class="picker-list" aria-label="Your slides">
          {shown.map((slide) => (
            <Tile
              key={slide.id}
              slide={slide}
              isPicked={picked.includes(slide.id)}
              onToggle={() => toggle(slide.id)}
            />
          ))}
        </ul>
      )}
      {moreSlides.value && (
        <Button onClick={() => void loadSlides(moreSlides.value)}>Show older slides</Button>
      )}
      {isBrowsing && (
        <Folders
          onClose={() => setBrowsing(false)}
          onTaken={(slide) => {
            if (!picked.includes(slide.id)) onPick([...picked, slide.id]);
          }}
        />
      )}
    </div>
  );
}

const slidesInWords = (many: number): string =>
  many === 1 ? "1 slide" : `${count(many)}${moreSlides.value ? " of your" : ""} slides`;

export function NoSlides({ onBrowse }: { onBrowse: () => void }): JSX.Element {
  return (
    <Empty
      icon="slides"
      title="You have no slides yet"
      action={
        <>
          <LinkButton href={link(["slides"])} icon="upload">
            Upload slides
          </LinkButton>
          <Button icon="plus" onClick={onBrowse}>
            From the server
          </Button>
        </>
      }
    >
      Upload some, take files that are on the server already, or try the example.
    </Empty>
  );
}

function Tile(props: { slide: Slide; isPicked: boolean; onToggle: () => void }): JSX.Element {
  const { slide, isPicked, onToggle } = props;
  const small = thumbnail(slide.id);
  return (
    <li>
      <label class={isPicked ? "tile is-picked" : "tile"}>
        <input
          type="checkbox"
          checked={isPicked}
          disabled={!isUsable(slide) && !isPicked}
          onChange={onToggle}
        />
        <span class="tile-picture">
          {small ? <img src={small} alt="" loading="lazy" /> : <Icon name="slides" size={28} />}
        </span>
        <span class="tile-text">
          <strong class="truncate" title={slide.name}>
            {slide.name}
          </strong>
          {isUsable(slide) ? (
            <span class="small muted truncate">
              {bytes(slide.size_bytes)} ·{" "}
              {slide.mpp === null ? "pixel size?" : `${+slide.mpp.toFixed(3)} µm/px`}
            </span>
          ) : (
            <State state={slide.state} />
          )}
          {slide.why && (
            <span class="small muted truncate" title={`${slide.why.message} ${slide.why.remedy}`}>
              {slide.why.message}
            </span>
          )}
        </span>
      </label>
    </li>
  );
}

interface Entry {
  name: string;
  path: string;
  is_folder: boolean;
  size_bytes: number | null;
}

interface Listing {
  folders: { folder: number; name: string }[];
  entries: Entry[];
  next: string | null;
}

/** Files of the server, folder by folder: what is taken becomes one of the user's slides. */
function Folders(props: { onClose: () => void; onTaken: (slide: Slide) => void }): JSX.Element {
  const [place, setPlace] = useState<{ folder: number; path: string } | null>(null);
  const [taken, setTaken] = useState<readonly string[]>([]);
  const query = place ? { ...place, limit: 200 } : {};
  const { data, error, again } = useLoad<Listing>("/slide-folders", query);
  const take = (entry: Entry) =>
    tried(async () => {
      const slide =
        known(entry) ??
        (await ask<Slide>("/slides", {
          method: "POST",
          json: { folder: place?.folder, path: entry.path },
        }));
      takeSlide(slide);
      props.onTaken(slide);
      setTaken((old) => [...old, entry.path]);
    });
  const up = () => {
    if (!place?.path) return setPlace(null);
    setPlace({ ...place, path: place.path.split("/").slice(0, -1).join("/") });
  };
  const top = data?.folders.find((each) => each.folder === place?.folder)?.name;
  return (
    <Dialog
      title="Slides on the server"
      onClose={props.onClose}
      actions={
        <Button kind="primary" onClick={props.onClose}>
          {taken.length ? `Done: ${taken.length} taken` : "Done"}
        </Button>
      }
    >
      {place && (
        <div class="row">
          <Button icon="home" label="To the folder above" onClick={up} />
          <span class="mono truncate">{[top, place.path].filter(Boolean).join("/")}</span>
        </div>
      )}
      {error && <Failure error={error} onRetry={again} />}
      {!data && !error && <Loading rows={3} />}
      {data && !place && data.folders.length === 0 && (
        <p class="muted">The operator has opened no folder of slides.</p>
      )}
      {data && (
        <ul class="folders" aria-label="Folders and slides">
          {!place &&
            data.folders.map((each) => (
              <FolderRow
                key={each.folder}
                name={each.name}
                onOpen={() => setPlace({ folder: each.folder, path: "" })}
              />
            ))}
          {place &&
            data.entries.map((entry) =>
              entry.is_folder ? (
                <FolderRow
                  key={entry.path}
                  name={entry.name}
                  onOpen={() => setPlace({ ...place, path: entry.path })}
                />
              ) : (
                <li key={entry.path}>
                  <span class="truncate">{entry.name}</span>
                  <span class="small muted">{bytes(entry.size_bytes)}</span>
                  <Button
                    icon={taken.includes(entry.path) ? "review" : "plus"}
                    disabled={taken.includes(entry.path)}
                    onClick={() => void take(entry)}
                  >
                    {taken.includes(entry.path) ? "Taken" : "Take"}
                  </Button>
                </li>
              ),
            )}
          {place && data.entries.length === 0 && <li class="muted">There are no slides here.</li>}
        </ul>
      )}
    </Dialog>
  );
}

/** The same file of the server, where the user has it already. */
const known = (entry: Entry): Slide | undefined =>
  (slides.value ?? []).find(
    (slide) =>
      slide.source === "server" &&
      slide.state !== "refused" &&
      slide.name === entry.name &&
      slide.size_bytes === entry.size_bytes,
  );

function FolderRow({ name, onOpen }: { name: string; onOpen: () => void }): JSX.Element {
  return (
    <li>
      <button type="button" class="folder" onClick={onOpen}>
        <Icon name="slides" size={18} />
        <span class="truncate">{name}</span>
        <Icon name="chevron" size={16} />
      </button>
    </li>
  );
}
