// Choosing slides: the user's own, as pictures with a search, and files of the server.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Slide } from "../../api/types";
import { bytes, count } from "../../format";
import { Button, Empty, Failure, Loading, LinkButton, State } from "../../parts/basics";
import { FoldersDialog } from "../../parts/folders";
import { Icon } from "../../parts/icons";
import { Pager } from "../../parts/pager";
import { link } from "../../router";
import { busy, everything, more, next, refresh, slides, trouble } from "../../slides";
import { thumbnail } from "./slides";

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
  if (trouble.value && !all) {
    return <Failure error={trouble.value} onRetry={() => void refresh()} />;
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
  const search = (typed: string) => {
    setText(typed);
    void everything(); // what is looked for may be among the older ones
  };
  return (
    <div class="picker">
      {all.length > 0 && (
        <div class="row apart">
          <Search text={text} of={all.length} onText={search} />
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
        <Tiles shown={shown} picked={picked} onToggle={toggle} />
      )}
      <Older />
      {isBrowsing && (
        <FoldersDialog
          onClose={() => setBrowsing(false)}
          onTaken={(slide) => {
            if (!picked.includes(slide.id)) onPick([...picked, slide.id]);
          }}
        />
      )}
    </div>
  );
}

function Search(props: { text: string; of: number; onText: (text: string) => void }): JSX.Element {
  return (
    <label class="search">
      <span class="unseen">Search your slides</span>
      <Icon name="search" size={18} />
      <input
        type="search"
        placeholder={`Search ${slidesInWords(props.of)}`}
        value={props.text}
        onInput={(event) => props.onText(event.currentTarget.value)}
      />
    </label>
  );
}

function Older(): JSX.Element | null {
  if (!next.value) return null;
  const shown = slides.value?.length ?? 0;
  return <Pager shown={shown} of="slides" hasMore busy={busy.value} onMore={() => void more()} />;
}

const slidesInWords = (many: number): string =>
  many === 1 ? "1 slide" : `${count(many)}${next.value ? " of your" : ""} slides`;

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

interface TilesProps {
  shown: readonly Slide[];
  picked: readonly string[];
  onToggle: (id: string) => void;
}

function Tiles({ shown, picked, onToggle }: TilesProps): JSX.Element {
  return (
    <ul class="picker-list" aria-label="Your slides">
      {shown.map((slide) => (
        <Tile
          key={slide.id}
          slide={slide}
          isPicked={picked.includes(slide.id)}
          onToggle={() => onToggle(slide.id)}
        />
      ))}
    </ul>
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
