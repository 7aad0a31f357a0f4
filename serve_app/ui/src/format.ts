// Numbers, durations, sizes and times as people read them.
const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1,234,567 */
export const count = (value: number): string => whole.format(value);

/** 1.2M */
export const brief = (value: number): string =>
  value < 10_000 ? count(value) : short.format(value);

/** Three significant digits; a dash for nothing. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(digits - 1);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);
}

/** 41 s, 3 min 20 s, 2 h 5 min */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
  if (hours === 0) return rest && minutes < 10 ? `${minutes} min ${rest} s` : `${minutes} min`;
  if (hours < 48) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

/** 3.4 GB */
export function bytes(value: number | null | undefined): string {
  if (value == null) return "–";
  for (const [unit, many] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ] as const) {
    if (value >= many) return `${(value / many).toFixed(1)} ${unit}`;
  }
  return `${value} bytes`;
}

/** 87 % */
export const percent = (share: number, digits = 0): string => `${(share * 100).toFixed(digits)} %`;

/** 14:05 today, 3 Nov 14:05 otherwise; in the reader's own time zone. */
export function time(iso: string | null | undefined): string {
  if (!iso) return "–";
  const at = new Date(iso);
  const clock = at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === new Date().toDateString()) return clock;
  const isThisYear = at.getFullYear() === new Date().getFullYear();
  const day = at.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    ...(isThisYear ? {} : { year: "numeric" }),
  });
  return `${day}, ${clock}`;
}

/** "area_um2" as "Area", "haematoxylin_od_mean" as "Haematoxylin OD mean". */
export function words(name: string): string {
  const units = /_(um2|um|px|s)$/;
  const text = name
    .replace(units, "")
    .replaceAll("_", " ")
    .replace(/\bod\b/g, "OD");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Units as they are written: um2 as µm². */
export const unit = (name: string): string =>
  name === "1" ? "" : name.replace("um2", "µm²").replace("um", "µm").replace("mm2", "mm²");

const MPP_SOURCES: Record<string, string> = {
  vendor: "from the scanner",
  tiff: "from the TIFF resolution",
  objective: "from the objective's power",
  user: "given by hand",
};

/** Where a pixel size was found. */
export const mppSource = (source: string | null): string =>
  source ? (MPP_SOURCES[source] ?? `from ${source.replaceAll("_", " ")}`) : "";

/** "4 pi area / perimeter^2" as "4π area / perimeter²" */
export const formula = (text: string): string =>
  text.replace(/(\d) pi\b/g, "$1π").replaceAll("^2", "²");
