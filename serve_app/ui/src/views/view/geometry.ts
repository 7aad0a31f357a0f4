// Where one looks, and how large things are there: no DOM is here.

/** The centre in level-0 px, screen px per level-0 px, degrees clockwise. */
export interface Camera {
  x: number;
  y: number;
  zoom: number;
  rotation: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Spot {
  x: number;
  y: number;
}

/** Magnification as microscopes say it: at 10x a screen px is 1 um. */
export const magnification = (zoom: number, mpp: number): number => (10 * zoom) / mpp;

/** Screen px per level-0 px at a magnification. */
export const zoomAt = (times: number, mpp: number): number => (times * mpp) / 10;

/** "40×", or the share of the slide's own px where its pixel size is not known. */
export function zoomText(zoom: number, mpp: number | null): string {
  const value = mpp ? magnification(zoom, mpp) : zoom * 100;
  const digits = value < 10 ? (value < 1 ? 2 : 1) : 0;
  return `${value.toFixed(digits)}${mpp ? "×" : " %"}`;
}

export interface Bar {
  px: number;
  text: string;
}

/** The longest round length that takes no more than `most` screen px. */
export function scaleBar(zoom: number, mpp: number | null, most: number): Bar {
  const perPx = (mpp ?? 1) / zoom;
  const longest = perPx * most;
  const power = 10 ** Math.floor(Math.log10(longest));
  const round = ([5, 2, 1].find((each) => each * power <= longest) ?? 1) * power;
  return { px: round / perPx, text: mpp ? metric(round) : `${trimmed(round)} px` };
}

function metric(um: number): string {
  if (um >= 1000) return `${trimmed(um / 1000)} mm`;
  return um < 1 ? `${trimmed(um * 1000)} nm` : `${trimmed(um)} µm`;
}

const trimmed = (value: number): string => String(Number(value.toPrecision(3)));

/** Level-0 px as a transform of SVG and CSS: what is there comes to lie where it is seen. */
export function transform(camera: Camera, size: Size): string {
  const { x, y, zoom, rotation } = camera;
  const middle = `translate(${size.width / 2} ${size.height / 2})`;
  return `${middle} rotate(${rotation}) scale(${zoom}) translate(${-x} ${-y})`;
}

/** The place in level-0 px that is seen at a place of the screen. */
export function seenAt(camera: Camera, size: Size, screen: Spot): Spot {
  const turn = (-camera.rotation * Math.PI) / 180;
  const [dx, dy] = [screen.x - size.width / 2, screen.y - size.height / 2];
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  return {
    x: camera.x + (dx * cos - dy * sin) / camera.zoom,
    y: camera.y + (dx * sin + dy * cos) / camera.zoom,
  };
}

/** The four corners of what is seen, in level-0 px. */
export function seen(camera: Camera, size: Size): Spot[] {
  const { width, height } = size;
  const corners = [
    [0, 0],
    [width, 0],
    [width, height],
    [0, height],
  ] as const;
  return corners.map(([x, y]) => seenAt(camera, size, { x, y }));
}

/** Layers are shown by pixels that are no smaller than this, in those of the screen. */
const LEAST_ENLARGED = 0.7;

/** The same, where one looks closely: a line there is a pixel wide, and must be seen at a glance. */
const LEAST_CLOSELY = 1.4;
const CLOSELY = 0.9; // zoom: screen px for a level-0 px

/** What `LEAST_ENLARGED` is at a zoom. */
export const leastEnlarged = (zoom: number): number =>
  zoom < CLOSELY ? LEAST_ENLARGED : LEAST_CLOSELY;

/** How large a pixel is, in level-0 px, of the level of a layer that is shown at a zoom. */
export function shownPx(zoom: number, finest: number): number {
  const halvings = Math.ceil(Math.log2(leastEnlarged(zoom) / (zoom * finest)));
  return finest * 2 ** Math.max(halvings, 0);
}

/** Points of SVG. */
export const points = (spots: readonly Spot[]): string =>
  spots.map(({ x, y }) => `${x},${y}`).join(" ");

/** The address of a tile, with what else is asked of it. */
export function tileAddress(href: string, z: number, x: number, y: number, query = ""): string {
  const address = href.replace("{z}", `${z}`).replace("{x}", `${x}`).replace("{y}", `${y}`);
  return query ? `${address}?${query}` : address;
}
