// How one looks: everything of it is in the address, so that a copied link shows exactly the same.
import type { Query } from "../../router";
import type { Camera } from "./geometry";

export type Style = "outline" | "fill" | "density";
export type Palette = "viridis" | "magma" | "coolwarm";
export type Mode = "both" | "difference" | "swipe" | "side";

export interface Look {
  cells: boolean;
  opacity: number;
  style: Style;
  /** RRGGBB */
  colour: string;
  by: string | null;
  low: number | null;
  high: number | null;
  palette: Palette;
  tissue: boolean;
  chunks: boolean;
  cell: number | null;
  mode: Mode;
  /** Where the swipe's divider is, 0..1 from the left. */
  swipe: number;
}

export const USUAL: Look = {
  cells: true,
  opacity: 1,
  style: "outline",
  colour: "00e060",
  by: null,
  low: null,
  high: null,
  palette: "viridis",
  tissue: false,
  chunks: false,
  cell: null,
  mode: "both",
  swipe: 0.5,
};

/** Told apart by all readers on pink and violet tissue. */
export const COLOURS: readonly (readonly [string, string])[] = [
  ["00e060", "Green"],
  ["00b7ff", "Sky blue"],
  ["ffd400", "Yellow"],
  ["ff7a00", "Orange"],
  ["111111", "Black"],
  ["ffffff", "White"],
];

/** The two jobs of a comparison. */
export const FIRST_COLOUR = "0072ff";
export const SECOND_COLOUR = "ff9500";

const STYLES: readonly Style[] = ["outline", "fill", "density"];
export const PALETTES: readonly Palette[] = ["viridis", "magma", "coolwarm"];
const MODES: readonly Mode[] = ["both", "difference", "swipe", "side"];

/** The look that an address asks for; what it does not say, or says wrongly, is as usual. */
export function readLook(query: URLSearchParams): Look {
  const one = <T extends string>(name: string, of: readonly T[], usual: T): T =>
    of.find((each) => each === query.get(name)) ?? usual;
  const colour = query.get("colour") ?? "";
  const low = numberOf(query, "low");
  const high = numberOf(query, "high");
  const isRange = low !== null && high !== null && low < high;
  const cell = numberOf(query, "cell");
  return {
    cells: query.get("cells") !== "0",
    opacity: between(numberOf(query, "opacity") ?? USUAL.opacity, 0.05, 1),
    style: one("style", STYLES, USUAL.style),
    colour: /^[0-9a-f]{6}$/i.test(colour) ? colour.toLowerCase() : USUAL.colour,
    by: query.get("by"),
    low: isRange ? low : null,
    high: isRange ? high : null,
    palette: one("palette", PALETTES, USUAL.palette),
    tissue: query.get("tissue") === "1",
    chunks: query.get("chunks") === "1",
    cell: cell !== null && Number.isInteger(cell) && cell >= 0 ? cell : null,
    mode: one("mode", MODES, USUAL.mode),
    swipe: between(numberOf(query, "swipe") ?? USUAL.swipe, 0, 1),
  };
}

/** Where an address looks to; null where it does not say. */
export function readCamera(query: URLSearchParams): Camera | null {
  const [x, y, zoom] = [numberOf(query, "x"), numberOf(query, "y"), numberOf(query, "zoom")];
  if (x === null || y === null || zoom === null || zoom <= 0) return null;
  return { x, y, zoom, rotation: turned(numberOf(query, "rotation") ?? 0) };
}

/** Both as the query of an address; what is as usual is left out. */
export function asQuery(look: Look, camera: Camera | null): Query {
  const unless = <T extends string | number>(value: T, usual: T) =>
    value === usual ? null : value;
  return {
    x: camera && Number(camera.x.toFixed(1)),
    y: camera && Number(camera.y.toFixed(1)),
    zoom: camera && Number(camera.zoom.toPrecision(4)),
    rotation: camera && unless(Number(turned(camera.rotation).toFixed(1)), 0),
    cells: look.cells ? null : 0,
    opacity: unless(look.opacity, USUAL.opacity),
    style: unless(look.style, USUAL.style),
    colour: unless(look.colour, USUAL.colour),
    by: look.by,
    low: look.by ? look.low : null,
    high: look.by ? look.high : null,
    palette: unless(look.palette, USUAL.palette),
    tissue: look.tissue ? 1 : null,
    chunks: look.chunks ? 1 : null,
    cell: look.cell,
    mode: unless(look.mode, USUAL.mode),
    swipe: look.mode === "swipe" ? unless(Number(look.swipe.toFixed(3)), USUAL.swipe) : null,
  };
}

/** How overlay tiles of that look are asked for. */
export function tileQuery(look: Look, version: string): string {
  const query = new URLSearchParams({ style: look.style });
  if (look.by && look.style !== "density") {
    query.set("by", look.by);
    query.set("palette", look.palette);
    if (look.low !== null && look.high !== null) {
      query.set("low", String(look.low));
      query.set("high", String(look.high));
    }
  } else if (look.style !== "density") {
    query.set("colour", look.colour);
  }
  query.set("v", version);
  return query.toString();
}

/** The same for one of two jobs: each has a colour, and a palette for where density is drawn. */
export function comparedQuery(look: Look, version: string, which: "first" | "second"): string {
  const isDensity = look.style === "density";
  const style = look.mode === "difference" ? "fill" : look.style;
  const query = new URLSearchParams({ style });
  query.set("palette", which === "first" ? "viridis" : "magma");
  if (!isDensity) query.set("colour", which === "first" ? FIRST_COLOUR : SECOND_COLOUR);
  query.set("v", version);
  return query.toString();
}

/** Degrees in 0..360. */
export const turned = (degrees: number): number => ((degrees % 360) + 360) % 360;

const between = (value: number, low: number, high: number): number =>
  Math.min(Math.max(value, low), high);

function numberOf(query: URLSearchParams, name: string): number | null {
  const text = query.get(name);
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}
