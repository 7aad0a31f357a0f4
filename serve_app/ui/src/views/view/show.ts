// From what is known and how one looks to the layers over the slide.
import { useEffect, useState } from "preact/hooks";
import { send } from "../../api/http";
import { tried } from "../../parts/dialog";
import { useLoad } from "../../parts/load";
import type { Looking } from "./address";
import { canDiffer } from "./compare";
import { seenAt, type Camera, type Size, type Spot } from "./geometry";
import type { Layer } from "./layers";
import { comparedQuery, tileQuery } from "./look";
import type { CellsFacts, OverlayFacts, TissueLook } from "./shapes";
import { differenceSource, pyramidSource } from "./sources";
import type { Stage } from "./stage";
import { useWatch } from "./watch";

interface CellLayers {
  stage: Stage | null;
  twin: Stage | null;
  views: readonly [CellsFacts | null, CellsFacts | null];
  looking: Looking;
  isCompared: boolean;
}

/** Keep the cells of one job or of two over the slide. */
export function useCellLayers({ stage, twin, views, looking, isCompared }: CellLayers): void {
  const [first, second] = views;
  const look = looking.look.value;
  const opacity = look.cells ? look.opacity : 0;
  const queries = [
    first &&
      (isCompared ? comparedQuery(look, first.version, "first") : tileQuery(look, first.version)),
    second && comparedQuery(look, second.version, "second"),
  ] as const;
  useEffect(() => {
    if (!stage) return;
    const isDifference = isCompared && look.mode === "difference" && canDiffer(first, second);
    const one = layerOf(first, queries[0], opacity);
    const other = layerOf(second, queries[1], opacity);
    const both = isDifference ? differenceOf(first, second, queries, opacity) : null;
    stage.layers.put("first", both ?? one);
    stage.layers.put("second", both || look.mode === "side" ? null : other);
    twin?.layers.put("first", other);
  }, [stage, twin, first?.overlay?.href, second?.overlay?.href, ...queries, opacity, look.mode]);
  useSwipe(stage, looking, isCompared);
}

function layerOf(view: CellsFacts | null, query: string | null, opacity: number): Layer | null {
  const overlay = view?.overlay;
  if (!overlay || query === null) return null;
  return {
    key: `${overlay.href} ${query}`,
    make: (osd) => pyramidSource(osd, overlay, () => query, true),
    width: across(overlay),
    opacity,
  };
}

function differenceOf(
  first: CellsFacts | null,
  second: CellsFacts | null,
  queries: readonly [string | null, string | null],
  opacity: number,
): Layer | null {
  const [one, other] = [first?.overlay, second?.overlay];
  const [mine, theirs] = queries;
  if (!one || !other || mine === null || theirs === null) return null;
  return {
    key: `${one.href} ${mine} - ${other.href} ${theirs}`,
    make: (osd) => differenceSource(osd, one, other, [mine, theirs]),
    width: across(one),
    opacity,
  };
}

const across = (overlay: OverlayFacts): number => overlay.width * overlay.l0_per_px;

/** The first job to the left of the divider, the second to the right of it. */
function useSwipe(stage: Stage | null, looking: Looking, isCompared: boolean): void {
  useWatch(() => {
    const { mode, swipe } = looking.look.value;
    const camera = stage?.camera.value;
    const size = stage?.size.value;
    if (!stage || !camera || !size) return;
    const isSwipe = isCompared && mode === "swipe";
    stage.layers.only("first", isSwipe ? part(camera, size, 0, swipe) : null);
    stage.layers.only("second", isSwipe ? part(camera, size, swipe, 1) : null);
  }, [stage, isCompared]);
}

function part(camera: Camera, size: Size, from: number, to: number): Spot[] {
  const corners = [
    [from, 0],
    [to, 0],
    [to, 1],
    [from, 1],
  ] as const;
  return corners.map(([x, y]) => seenAt(camera, size, { x: x * size.width, y: y * size.height }));
}

const TISSUE_OPACITY = 0.45;

interface Mask {
  href: string;
  /** Level-0 px across it. */
  width: number;
}

interface Tissue {
  stage: Stage | null;
  twin: Stage | null;
  slide: string | null;
  view: CellsFacts | null;
  isWanted: boolean;
}

/** Keep the tissue mask over the slide while it is wanted; whether there is one to be had. */
export function useTissue({ stage, twin, slide, view, isWanted }: Tissue): boolean {
  const asked = useLoad<TissueLook>(slide && isWanted ? `/slides/${slide}/tissue` : null).data;
  const isThere = view !== null && (view.overlay !== null || view.tissue !== null);
  const own = useMask(isThere && isWanted ? view.job : null);
  const width = (asked?.width ?? 0) * (asked?.l0_per_px ?? 0);
  const preview = asked?.png ? { href: asked.png, width } : null;
  const mask = isWanted ? (own ?? preview) : null;
  useEffect(() => {
    const layer = mask && maskLayer(mask);
    for (const each of [stage, twin]) each?.layers.put("tissue", layer);
  }, [stage, twin, mask?.href]);
  return slide !== null || isThere;
}

/** The mask that a job was planned with. */
function useMask(job: string | null): Mask | null {
  const [mask, setMask] = useState<Mask | null>(null);
  useEffect(() => {
    if (!job) return;
    let isGone = false;
    let href: string | null = null;
    void tried(async () => {
      const answer = await send(`/jobs/${job}/tissue`);
      const perPx = Number(answer.headers.get("X-L0-Per-Px"));
      const picture = await answer.blob();
      const { width } = await createImageBitmap(picture);
      if (isGone) return;
      href = URL.createObjectURL(picture);
      setMask({ href, width: width * perPx });
    });
    return () => {
      isGone = true;
      setMask(null);
      if (href) URL.revokeObjectURL(href);
    };
  }, [job]);
  return mask;
}

const maskLayer = ({ href, width }: Mask): Layer => ({
  key: href,
  make: () => ({ type: "image", url: href }),
  width,
  opacity: TISSUE_OPACITY,
});
