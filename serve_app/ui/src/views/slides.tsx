// Slides and files: what one has, what is on its way, and one slide in detail.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Button, Empty, Failure, Head, Loading } from "../parts/basics";
import { Pager } from "../parts/pager";
import { Storage } from "../parts/storage";
import { mayChange, me } from "../session";
import type { ViewProps } from ".";
import { Cards } from "./slides/cards";
import { SlideDetail } from "./slides/detail";
import { FoldersDialog } from "../parts/folders";
import * as list from "../slides";
import { isTaking, takeSample } from "./slides/sample";
import { found, isAsked, Tools, type Wanted, wantedOf } from "./slides/search";
import { listLeft, send, sendings } from "./slides/sending";
import "./slides/slides.css";
import { Table } from "./slides/table";
import { DropHere, Uploads } from "./slides/uploads";

export function SlidesView({ path, query }: ViewProps): JSX.Element {
  const isOver = useDrop();
  useEffect(() => {
    void list.refresh();
    if (mayChange.value) listLeft().catch(() => {}); // the list itself says what is wrong
  }, []);
  const [slide] = path;
  return (
    <div class="slides">
      {slide ? <SlideDetail key={slide} id={slide} /> : <AllSlides wanted={wantedOf(query)} />}
      {isOver && <DropHere />}
    </div>
  );
}

/** Files may be dropped anywhere; whether some are held over the page now. */
function useDrop(): boolean {
  const [isOver, setOver] = useState(false);
  const depth = useRef(0);
  useEffect(() => {
    const stop = new AbortController();
    const hear = (name: "dragenter" | "dragleave" | "dragover" | "drop", to: number) =>
      addEventListener(
        name,
        (event) => {
          const carried = event.dataTransfer;
          if (!carried?.types.includes("Files") || document.querySelector("dialog[open]")) return;
          event.preventDefault();
          depth.current = name === "drop" ? 0 : Math.max(depth.current + to, 0);
          setOver(depth.current > 0 && mayChange.value);
          if (name === "drop" && mayChange.value) void send([...carried.files]);
        },
        { signal: stop.signal },
      );
    hear("dragenter", 1);
    hear("dragleave", -1);
    hear("dragover", 0);
    hear("drop", 0);
    return () => stop.abort();
  }, []);
  return isOver;
}

function AllSlides({ wanted }: { wanted: Wanted }): JSX.Element {
  const [dialog, setDialog] = useState(false);
  const all = list.slides.value;
  const fromServer = () => setDialog(true);
  const needsAll = isAsked(wanted);
  useEffect(() => {
    if (needsAll && list.next.value && !list.busy.value) void list.everything();
  }, [needsAll, list.next.value, list.busy.value]);
  return (
    <>
      <Head title="Slides" about={<Used />}>
        {mayChange.value && all !== null && all.length > 0 && (
          <>
            <Button icon="folder" onClick={fromServer}>
              From the server
            </Button>
            <ChooseFiles />
          </>
        )}
      </Head>
      <Uploads />
      <p class="unseen" role="status">
        {sendings.value.length > 0 ? `${sendings.value.length} uploads on their way` : ""}
      </p>
      {list.trouble.value && (
        <Failure error={list.trouble.value} onRetry={() => void list.refresh()} />
      )}
      {all === null && !list.trouble.value && <Loading rows={6} label="Loading the slides" />}
      {all?.length === 0 && <NoSlides onServer={fromServer} />}
      {all !== null && all.length > 0 && <Shown wanted={wanted} />}
      {dialog && <FoldersDialog onClose={() => setDialog(false)} />}
    </>
  );
}

function Used(): JSX.Element {
  return <Storage used={me.value?.used_bytes ?? 0} most={me.value?.max_bytes ?? 0} />;
}

function Shown({ wanted }: { wanted: Wanted }): JSX.Element {
  const all = list.slides.value ?? [];
  const shown = found(all, wanted);
  return (
    <section aria-label="Your slides">
      <Tools wanted={wanted} />
      {shown.length === 0 ? (
        <Empty icon="search" title="No slide has this in its name">
          {list.next.value ? "More are being looked through." : "Search for less of it."}
        </Empty>
      ) : wanted.as === "list" ? (
        <Table slides={shown} />
      ) : (
        <Cards slides={shown} />
      )}
      <Pager
        shown={shown.length}
        of={shown.length === 1 ? "slide" : "slides"}
        hasMore={list.next.value !== null}
        busy={list.busy.value}
        onMore={() => void list.more()}
      />
    </section>
  );
}

function ChooseFiles(): JSX.Element {
  const chooser = useRef<HTMLInputElement>(null);
  const chosen = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    const files = [...(input.files ?? [])];
    input.value = ""; // so that the same file can be chosen again
    void send(files);
  };
  return (
    <>
      <input
        ref={chooser}
        id="slide-files"
        type="file"
        multiple
        class="unseen"
        tabIndex={-1}
        aria-hidden="true"
        onChange={chosen}
      />
      <Button kind="primary" icon="upload" onClick={() => chooser.current?.click()}>
        Upload slides
      </Button>
    </>
  );
}

function NoSlides({ onServer }: { onServer: () => void }): JSX.Element {
  if (!mayChange.value) {
    return (
      <Empty icon="slides" title="No slides yet">
        Your key may only look. With a key that may change things, slides can be uploaded here.
      </Empty>
    );
  }
  return (
    <div class="no-slides">
      <Empty
        icon="upload"
        title="Drop a slide to begin"
        action={
          <>
            <ChooseFiles />
            <Button icon="folder" onClick={onServer}>
              From the server's folders
            </Button>
            <Button icon="slides" disabled={isTaking.value} onClick={() => void takeSample()}>
              {isTaking.value ? "Taking the sample" : "Take the sample"}
            </Button>
          </>
        }
      >
        Aperio, Hamamatsu, Leica, Ventana, Zeiss, DICOM and plain TIFF; a slide of several files
        (.mrxs, .vms) as one .zip. An upload that is cut off goes on where it was.
      </Empty>
    </div>
  );
}
