// Where OpenSeadragon has its tiles from.
import { overlapOf, type OverlayFacts, type Pyramid } from "./shapes";
import { tileAddress } from "./geometry";
import type { Osd } from "./stage";
import type OpenSeadragon from "openseadragon";

/** Tiles of a pyramid. `query` is asked anew for each tile. */
export function pyramidSource(
  osd: Osd,
  pyramid: Pyramid,
  query: () => string,
  isClear: boolean,
): OpenSeadragon.TileSource {
  const source = new osd.TileSource({
    width: pyramid.width,
    height: pyramid.height,
    tileSize: pyramid.tile_px,
    tileOverlap: overlapOf(pyramid),
    minLevel: 0,
    maxLevel: pyramid.levels - 1,
  });
  source.getTileUrl = (z, x, y) => tileAddress(pyramid.href, z, x, y, query());
  source.hasTransparency = () => isClear;
  return source;
}

/** Whether two overlays have the same pixels, so that they can be compared one by one. */
export const isSameGround = (first: OverlayFacts, second: OverlayFacts): boolean =>
  first.width === second.width &&
  first.height === second.height &&
  first.l0_per_px === second.l0_per_px;

/** Where only one of two overlays has cells, in the colour of that one. */
export function differenceSource(
  osd: Osd,
  first: OverlayFacts,
  second: OverlayFacts,
  queries: readonly [string, string],
): OpenSeadragon.TileSource {
  const source = pyramidSource(osd, first, () => `${queries[0]}&minus=${queries[1]}`, true);
  const stops = new WeakMap<OpenSeadragon.ImageJob, AbortController>();
  source.downloadTileStart = (job) => {
    const { level, x, y } = job.tile;
    const stop = new AbortController();
    stops.set(job, stop);
    const those = [
      tileAddress(first.href, level, x, y, queries[0]),
      tileAddress(second.href, level, x, y, queries[1]),
    ];
    Promise.all(those.map((each) => picture(each, stop.signal)))
      .then(([one, other]) => job.finish(difference(one!, other!), null, "context2d"))
      .catch((error: unknown) => job.fail(String(error), null));
  };
  source.downloadTileAbort = (job) => stops.get(job)?.abort();
  return source;
}

async function picture(address: string, signal: AbortSignal): Promise<ImageBitmap> {
  const answer = await fetch(address, { signal, credentials: "same-origin" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return createImageBitmap(await answer.blob());
}

const BOTH_ALPHA = 70;

function difference(one: ImageBitmap, other: ImageBitmap): CanvasRenderingContext2D {
  const { width, height } = one;
  const [first, second] = [pixels(one), pixels(other)];
  for (let at = 3; at < first.data.length; at += 4) {
    const [mine, theirs] = [first.data[at]!, second.data[at]!];
    if (mine && theirs) {
      first.data.fill(110, at - 3, at); // both have a cell there: grey, hardly seen
      first.data[at] = BOTH_ALPHA;
    } else if (theirs) {
      first.data.set(second.data.subarray(at - 3, at + 1), at - 3);
    }
  }
  const made = context(width, height);
  made.putImageData(first, 0, 0);
  return made;
}

function pixels(image: ImageBitmap): ImageData {
  const drawn = context(image.width, image.height);
  drawn.drawImage(image, 0, 0);
  image.close();
  return drawn.getImageData(0, 0, drawn.canvas.width, drawn.canvas.height);
}

function context(width: number, height: number): CanvasRenderingContext2D {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const made = canvas.getContext("2d", { willReadFrequently: true });
  if (!made) throw new Error("this browser has no canvas");
  return made;
}
