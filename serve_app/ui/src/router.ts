// Where the page is: `#/view/job-1?x=10` is the path ["view", "job-1"] and the query {x: "10"}.
// All of it is in the address, so any view can be shared, reloaded and gone back to.
import { computed, signal } from "@preact/signals";
import { decoded } from "./api/path";

export interface Place {
  path: string[];
  query: URLSearchParams;
}

function read(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { path: parts, query: new URLSearchParams(query) };
}

export const place = signal<Place>(read());
export const view = computed(() => place.value.path[0] ?? "");
addEventListener("hashchange", () => (place.value = read()));

export type Query = Record<string, string | number | boolean | null | undefined>;

/** The address of a view; what is null in the query is left out. */
export function link(path: string[], query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Go to a view. */
export function go(path: string[], query: Query = {}): void {
  location.hash = link(path, query);
}

/** Change the address without a new entry in the history: for what changes while one looks. */
export function note(path: string[], query: Query = {}): void {
  history.replaceState(null, "", link(path, query));
  place.value = read();
}
