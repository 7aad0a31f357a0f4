// What floats over the slide: zoom, scale bar, pointer, navigator.
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { online } from "../../api/http";
import { count } from "../../format";
import { Button } from "../../parts/basics";
import { points, scaleBar, seen, tileAddress, zoomAt, zoomText } from "./geometry";
import { overlapOf, type CellsFacts, type Pyramid } from "./shapes";
import type { Stage } from "./stage";

const BAR_PX = 150;
const TIMES = [5, 10, 20, 40] as const;
const SHARES = [0.25, 0.5, 1, 2] as const;

/** Presets: magnifications where the pixel size is known, shares of the slide's own px otherwise. */
export function presets(mpp: number | null): readonly { text: string; zoom: number }[] {
  if (!mpp) return SHARES.map((zoom) => ({ text: `${zoom * 100}%`, zoom }));
  return TIMES.map((times) => ({ text: `${times}×`, zoom: zoomAt(times, mpp) }));
}

export function ZoomBar({ stage }: { stage: Stage }): JSX.Element {
  return (
    <div class="viewer-zoom viewer-float" role="group" aria-label="Zoom">
      <Button kind="quiet" icon="plus" label="Zoom in (+)" onClick={() => stage.zoomBy(1.5)} />
      <Button
        kind="quiet"
        icon="minus"
        label="Zoom out (−)"
        onClick={() => stage.zoomBy(1 / 1.5)}
      />
      <hr />
      <Button kind="quiet" icon="fit" label="The whole slide (0)" onClick={() => stage.fit()} />
      {presets(stage.slide.mpp).map(({ text, zoom }) => (
        <Preset key={text} stage={stage} text={text} zoom={zoom} />
      ))}
    </div>
  );
}

function Preset({ stage, text, zoom }: { stage: Stage; text: string; zoom: number }): JSX.Element {
  const now = stage.camera.value?.zoom ?? 0;
  return (
    <Button
      kind="quiet"
      pressed={Math.abs(now / zoom - 1) < 0.02}
      label={`Zoom to ${text}`}
      onClick={() => stage.zoomTo(zoom)}
    >
      {text}
    </Button>
  );
}

/** Scale bar, magnification and where the pointer is; the middle, where there is no pointer. */
export function Scale({ stage }: { stage: Stage }): JSX.Element | null {
  const camera = stage.camera.value;
  if (!camera) return null;
  const { mpp } = stage.slide;
  const bar = scaleBar(camera.zoom, mpp, BAR_PX);
  const at = stage.pointer.value ?? camera;
  const inUm = (px: number) => count(Math.round(px * (mpp ?? 1)));
  return (
    <div class="viewer-scale viewer-float">
      <div class="viewer-bar" style={{ inlineSize: `${bar.px}px` }}>
        <span>{bar.text}</span>
      </div>
      <p>
        <strong>{zoomText(camera.zoom, mpp)}</strong>
        {mpp && (
          <span>
            {inUm(at.x)}, {inUm(at.y)} µm
          </span>
        )}
        <span class="muted">
          {count(Math.round(at.x))}, {count(Math.round(at.y))} px
        </span>
      </p>
    </div>
  );
}

/** Tiles of the slide that could not be had, and why there may be holes. */
export function Missing({ stage }: { stage: Stage }): JSX.Element | null {
  const many = stage.missing.value;
  if (!many) return null;
  return (
    <div class="viewer-missing viewer-float" role="status">
      <p>
        <strong>
          {many === 1 ? "A tile of the slide" : `${count(many)} tiles of the slide`} could not be
          read.
        </strong>
        <br />
        {online.value
          ? "The file may be damaged there; cells beside the holes are shown as they are."
          : "The connection is lost: they come back by themselves."}
      </p>
      <Button icon="retry" onClick={() => stage.revive()}>
        Try again
      </Button>
    </div>
  );
}

const NAVIGATOR_PX = { width: 190, height: 150 };

/** The whole slide, small, with what is seen of it; a click or a drag goes there. */
export function Navigator({ stage, view }: { stage: Stage; view: CellsFacts | null }): JSX.Element {
  const { slide } = stage;
  const box = useRef<SVGSVGElement>(null);
  const by = Math.min(NAVIGATOR_PX.width / slide.width, NAVIGATOR_PX.height / slide.height);
  const camera = stage.camera.value;
  const shown = camera ? points(seen(camera, stage.size.value)) : "";
  const go = (event: PointerEvent) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const frame = box.current?.getBoundingClientRect();
    if (!frame) return;
    if (event.type === "pointerdown") box.current?.setPointerCapture(event.pointerId);
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    stage.panTo({ x: x / by, y: y / by }, event.type === "pointermove");
  };
  return (
    <div class="viewer-navigator viewer-float">
      <svg
        ref={box}
        width={Math.round(slide.width * by)}
        height={Math.round(slide.height * by)}
        viewBox={`0 0 ${slide.width} ${slide.height}`}
        role="img"
        aria-label="Overview of the slide with what is seen now"
        onPointerDown={go}
        onPointerMove={go}
      >
        <Coarse pyramid={slide} perPx={1} query="" />
        {view?.overlay && (
          <Coarse
            pyramid={view.overlay}
            perPx={view.overlay.l0_per_px}
            query={`style=density&v=${view.version}`}
          />
        )}
        <polygon class="viewer-seen" points={shown} />
      </svg>
    </div>
  );
}

/** The coarsest level of a pyramid. */
function Coarse(props: { pyramid: Pyramid; perPx: number; query: string }): JSX.Element {
  const { pyramid, perPx, query } = props;
  const shrink = 2 ** (pyramid.levels - 1);
  const step = pyramid.tile_px;
  const more = overlapOf(pyramid);
  const width = Math.ceil(pyramid.width / shrink);
  const height = Math.ceil(pyramid.height / shrink);
  const tiles: JSX.Element[] = [];
  for (let y = 0; y * step < height; y++) {
    for (let x = 0; x * step < width; x++) {
      const left = Math.max(x * step - more, 0);
      const top = Math.max(y * step - more, 0);
      const across = Math.min((x + 1) * step + more, width) - left;
      const down = Math.min((y + 1) * step + more, height) - top;
      tiles.push(
        <image
          key={`${x} ${y}`}
          href={tileAddress(pyramid.href, 0, x, y, query)}
          x={left * shrink * perPx}
          y={top * shrink * perPx}
          width={across * shrink * perPx}
          height={down * shrink * perPx}
          preserveAspectRatio="none"
        />,
      );
    }
  }
  return <g>{tiles}</g>;
}

/** The divider of a swipe: dragged, or moved by the arrows. */
export function Divider(props: { value: number; onChange: (value: number) => void }): JSX.Element {
  const { value, onChange } = props;
  const bar = useRef<HTMLDivElement>(null);
  const to = (share: number) => onChange(Math.min(Math.max(share, 0), 1));
  const drag = (event: PointerEvent) => {
    event.stopPropagation();
    const stage = bar.current?.parentElement?.getBoundingClientRect();
    if (event.type === "pointerdown") bar.current?.setPointerCapture(event.pointerId);
    if (stage && event.buttons) to((event.clientX - stage.left) / stage.width);
  };
  const key = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    to(value + step);
  };
  return (
    <div
      ref={bar}
      class="viewer-divider"
      role="slider"
      tabIndex={0}
      aria-label="Divider between the two jobs"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(value * 100)}
      style={{ insetInlineStart: `${value * 100}%` }}
      onPointerDown={drag}
      onPointerMove={drag}
      onKeyDown={key}
    />
  );
}
