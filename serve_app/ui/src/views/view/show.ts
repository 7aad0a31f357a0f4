// From what is known and how one looks to the layers over the slide.
import { useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useLoad } from "../../parts/load";
import type { Looking } from "./address";
import { canDiffer } from "./compare";
import { seenAt, type Camera, type Size, type Spot } from "./geometry";
import type { Layer } from "./layers";
import { comparedQuery, tileQuery } from "./look";
import type { CellsFacts, OverlayFacts, TissueLook } from "./shapes";
import { differenceSource, pyramidSource } from "./sources";
import type { Stage } from "./stage";

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
  useSignalEffect(() => {
    const { mode, swipe } = looking.look.value;
    const camera = stage?.camera.value;
    const size = stage?.size.value;
    if (!stage || !camera || !size) return;
    const isSwipe = isCompared && mode === "swipe";
    stage.layers.only("first", isSwipe ? part(camera, size, 0, swipe) : null);
    stage.layers.only("second", isSwipe ? part(camera, size, swipe, 1) : null);
  });
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

/** Keep the tissue mask over the slide while it is wanted; whether there is one to be had. */
export function useTissue(
  stage: Stage | null,
  twin: Stage | null,
  slide: string | null,
  view: CellsFacts | null,
  isWanted: boolean,
): boolean {
  const asked = useLoad<TissueLook>(slide && isWanted ? `/slides/${slide}/tissue` : null).data;
  const sheet = view?.tissue ?? (asked?.png ? { ...asked, href: asked.png } : null);
  const href = isWanted ? (sheet?.href ?? null) : null;
  useEffect(() => {
    for (const each of [stage, twin]) {
      const width = (sheet?.width ?? 0) * (sheet?.l0_per_px ?? 0);
      const layer = href && width ? tissueLayer(href, width) : null;
      each?.layers.put("tissue", layer);
    }
  }, [stage, twin, href]);
  return slide !== null || view?.tissue != null;
}

const tissueLayer = (href: string, width: number): Layer => ({
  key: href,
  make: () => ({ type: "image", url: href }),
  width,
  opacity: TISSUE_OPACITY,
});
