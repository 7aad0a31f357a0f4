// Settings as fields of a form: read from the JSON schema that an engine gives of its parameters.
import { number as shown, unit as written, words } from "../../format";
import type { components } from "../../../build/openapi";

export type Schema = Record<string, unknown>;

export interface Setting {
  name: string;
  label: string;
  about: string;
  unit: string;
  type: "number" | "integer" | "boolean" | "choice" | "text" | "json";
  options: readonly unknown[];
  /** Bounds; `isOpen` where the bound itself is not allowed. */
  least: number | null;
  most: number | null;
  isOpen: boolean;
  nullable: boolean;
  default: unknown;
  isRequired: boolean;
}

export type Parsed = { value: unknown } | { error: string };

const UNIT = /,\s*(um2|um|mm2|px|mpp|s|%)\s*$/;
const UNIT_IN_NAME = /_(um2|um|mm2|px|s)$/;
const OPTIONS_MOST = 50;

/** The settings of an object's schema, in its order. */
export function settingsOf(schema: Schema): Setting[] {
  const properties = (schema["properties"] ?? {}) as Record<string, Schema>;
  const required = (schema["required"] ?? []) as string[];
  return Object.entries(properties).map(([name, given]) => {
    const { main, nullable } = plain(given, (schema["$defs"] ?? {}) as Record<string, Schema>);
    return settingOf(name, { ...main, ...outer(given) }, nullable, required.includes(name));
  });
}

/** What stands beside a reference or a union counts more than what is in it. */
function outer(given: Schema): Schema {
  const { $ref: _ref, anyOf: _any, oneOf: _one, allOf: _all, ...rest } = given;
  return rest;
}

/** References followed, and `null` taken out of a union of two. */
function plain(given: Schema, named: Record<string, Schema>): { main: Schema; nullable: boolean } {
  if (typeof given["$ref"] === "string") {
    const found = named[given["$ref"].split("/").pop() ?? ""];
    return found ? plain(found, named) : { main: {}, nullable: false };
  }
  const parts = (given["anyOf"] ?? given["oneOf"] ?? given["allOf"]) as Schema[] | undefined;
  if (!parts) return { main: given, nullable: given["type"] === "null" };
  const others = parts.filter((part) => part["type"] !== "null");
  const nullable = others.length < parts.length;
  if (others.length !== 1) return { main: {}, nullable };
  const inner = plain(others[0]!, named);
  return { main: inner.main, nullable: nullable || inner.nullable };
}

function settingOf(name: string, given: Schema, nullable: boolean, isRequired: boolean): Setting {
  const text = String(given["description"] ?? "");
  const unit = UNIT.exec(text)?.[1] ?? UNIT_IN_NAME.exec(name)?.[1] ?? "";
  const about = text.replace(UNIT, "").trim();
  const isOpen = "exclusiveMinimum" in given || "exclusiveMaximum" in given;
  const { type, options } = typeOf(given);
  return {
    name,
    label: words(name),
    about: about.charAt(0).toUpperCase() + about.slice(1),
    unit: written(unit),
    type,
    options,
    least: (given["minimum"] ?? given["exclusiveMinimum"] ?? null) as number | null,
    most: (given["maximum"] ?? given["exclusiveMaximum"] ?? null) as number | null,
    isOpen,
    nullable,
    default: given["default"],
    isRequired,
  };
}

function typeOf(given: Schema): Pick<Setting, "type" | "options"> {
  const options = "const" in given ? [given["const"]] : (given["enum"] as unknown[] | undefined);
  if (options && options.length <= OPTIONS_MOST) return { type: "choice", options };
  switch (given["type"]) {
    case "number":
    case "integer":
    case "boolean":
      return { type: given["type"], options: [] };
    case "string":
      return { type: "text", options: [] };
    default:
      return { type: "json", options: [] };
  }
}

/** A value as the text of its field. */
export function textOf(setting: Setting, value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string" && setting.type !== "json") return value;
  return setting.type === "json" ? JSON.stringify(value) : String(value);
}

/** What was typed, as a value: or what is wrong with it. */
export function parsed(setting: Setting, text: string): Parsed {
  const given = text.trim();
  if (given === "" && setting.type !== "text") {
    return setting.nullable ? { value: null } : { error: "Give a value, or reset to the default." };
  }
  switch (setting.type) {
    case "number":
    case "integer":
      return numeric(setting, given);
    case "boolean":
      if (/^(true|false)$/.test(given)) return { value: given === "true" };
      return { error: "It is true or false." };
    case "choice": {
      const found = setting.options.find((each) => String(each) === given);
      const all = setting.options.map(String).join(", ");
      return found === undefined ? { error: `One of ${all}.` } : { value: found };
    }
    case "text":
      return { value: text };
    case "json":
      try {
        return { value: JSON.parse(given) as unknown };
      } catch {
        return { error: 'This is no JSON: text stands in "quotes".' };
      }
  }
}

function numeric(setting: Setting, given: string): Parsed {
  const value = Number(given);
  if (!Number.isFinite(value)) return { error: `${given} is no number.` };
  if (setting.type === "integer" && !Number.isInteger(value)) return { error: "A whole number." };
  const isLow = setting.least !== null && value < setting.least;
  const isHigh = setting.most !== null && value > setting.most;
  return isLow || isHigh ? { error: `${range(setting)}.` } : { value };
}

/** "0.2 to 3", "at least 1"; nothing where there are no bounds. */
export function range(setting: Setting): string {
  const { least, most } = setting;
  const [low, high] = [least, most].map((each) => (each === null ? null : shown(each, 6)));
  const open = setting.isOpen ? ", without the bounds" : "";
  if (low != null && high != null) return `From ${low} to ${high}${open}`;
  if (low != null) return `At least ${low}${open}`;
  return high != null ? `At most ${high}${open}` : "";
}

/** Values to try, comma separated: each as the setting takes it. */
export function parsedList(
  setting: Setting,
  text: string,
): { values: unknown[] } | { error: string } {
  const parts = text.split(",").map((part) => part.trim());
  const values: unknown[] = [];
  for (const part of parts.filter(Boolean)) {
    const found = parsed(setting, part);
    if ("error" in found) return { error: `${part}: ${found.error}` };
    if (values.includes(found.value)) return { error: `${part} is there twice.` };
    values.push(found.value);
  }
  return values.length ? { values } : { error: "Give values with commas between them." };
}

// --- what every job takes -------------------------------------------------------------------------

type Described<T> = { [Name in keyof Required<T>]: Schema };

const TISSUE_FIELDS: Described<components["schemas"]["TissueParams"]> = {
  threshold: {
    anyOf: [{ type: "integer" }, { type: "null" }],
    minimum: 1,
    maximum: 254,
    default: null,
    description: "8-bit chroma above which a pixel is tissue; empty: found on the slide",
  },
  speck_um2: {
    type: "number",
    minimum: 0,
    maximum: 1e9,
    default: 4000,
    description: "smaller pieces of tissue are left out, um2",
  },
  hole_um2: {
    type: "number",
    minimum: 0,
    maximum: 1e9,
    default: 20000,
    description: "smaller holes in tissue are filled, um2",
  },
  close_um: {
    type: "number",
    minimum: 0,
    maximum: 500,
    default: 24,
    description: "gaps of this width are closed, um",
  },
};

const MEASURE_FIELDS: Described<components["schemas"]["MeasureParams"]> = {
  ring_um: {
    type: "number",
    minimum: 0.5,
    maximum: 4,
    default: 2,
    description: "width of the ring of background that confidence compares a cell with, um",
  },
};

export const TISSUE = settingsOf({ properties: TISSUE_FIELDS });
export const MEASURE = settingsOf({ properties: MEASURE_FIELDS });
const [mpp, TILE_PX, CHUNK_TILES, MAX_FAILED_SHARE] = settingsOf({
  properties: {
    mpp: {
      anyOf: [{ type: "number" }, { type: "null" }],
      minimum: 0.08,
      maximum: 2,
      default: null,
      description: "edge of a pixel at full resolution; empty: as the slide says, um",
    },
    tile_px: {
      anyOf: [{ type: "integer" }, { type: "null" }],
      minimum: 64,
      maximum: 8192,
      default: null,
      description: "edge of a tile at the engine's resolution; empty: 1024, px",
    },
    chunk_tiles: {
      anyOf: [{ type: "integer" }, { type: "null" }],
      minimum: 1,
      maximum: 256,
      default: null,
      description: "tiles that are computed at once and kept if a worker dies; empty: 4",
    },
    max_failed_share: {
      anyOf: [{ type: "number" }, { type: "null" }],
      minimum: 0,
      maximum: 1,
      default: null,
      description: "share of tiles that may be unreadable, more fail the job; empty: 0.1",
    },
  },
}) as [Setting, Setting, Setting, Setting];
export const MPP: Setting = { ...mpp, label: "Pixel size" };
export { CHUNK_TILES, MAX_FAILED_SHARE, TILE_PX };
