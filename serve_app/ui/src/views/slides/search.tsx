// What of the slides is wanted: by name, in which order, as cards or as a list. It is in the address.
import type { JSX } from "preact";
import type { Slide } from "../../api/types";
import { Choice } from "../../parts/basics";
import { Icon } from "../../parts/icons";
import { note } from "../../router";

const ORDERS = {
  newest: "Newest first",
  oldest: "Oldest first",
  name: "Name",
  largest: "Largest file",
  area: "Most pixels",
} as const;
type Order = keyof typeof ORDERS;

export interface Wanted {
  text: string;
  order: Order;
  as: "cards" | "list";
}

const KEPT = "raysched.slides.as";

export function wantedOf(query: URLSearchParams): Wanted {
  const order = query.get("sort") ?? "";
  const as = query.get("as") ?? localStorage.getItem(KEPT);
  return {
    text: query.get("q") ?? "",
    order: order in ORDERS ? (order as Order) : "newest",
    as: as === "list" ? "list" : "cards",
  };
}

/** Whether more than the newest pages is needed for it. */
export const isAsked = (wanted: Wanted): boolean =>
  wanted.text.trim() !== "" || wanted.order !== "newest";

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const pixels = (slide: Slide) => (slide.width ?? 0) * (slide.height ?? 0);
const COMPARE: Record<Order, (a: Slide, b: Slide) => number> = {
  newest: (a, b) => b.uploaded_at.localeCompare(a.uploaded_at),
  oldest: (a, b) => a.uploaded_at.localeCompare(b.uploaded_at),
  name: (a, b) => byName.compare(a.name, b.name),
  largest: (a, b) => b.size_bytes - a.size_bytes,
  area: (a, b) => pixels(b) - pixels(a),
};

/** All words of the text in the name, in any case. */
export function found(slides: readonly Slide[], wanted: Wanted): Slide[] {
  const parts = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (slide: Slide) => parts.every((part) => slide.name.toLowerCase().includes(part));
  return slides.filter(has).sort(COMPARE[wanted.order]);
}

export function Tools({ wanted }: { wanted: Wanted }): JSX.Element {
  const change = (to: Partial<Wanted>) => {
    const { text, order, as } = { ...wanted, ...to };
    localStorage.setItem(KEPT, as);
    note(["slides"], { q: text, sort: order === "newest" ? null : order, as });
  };
  return (
    <div class="slides-tools" role="search">
      <label class="slides-search">
        <span class="unseen">Search by name</span>
        <Icon name="search" size={18} />
        <input
          type="search"
          placeholder="Search by name"
          value={wanted.text}
          onInput={(event) => change({ text: event.currentTarget.value })}
        />
      </label>
      <label class="slides-order">
        <span class="unseen">Order</span>
        <select
          value={wanted.order}
          onChange={(event) => change({ order: event.currentTarget.value as Order })}
        >
          {Object.entries(ORDERS).map(([order, text]) => (
            <option key={order} value={order}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <Choice
        label="Shown as"
        options={[
          ["cards", "Cards"],
          ["list", "List"],
        ]}
        value={wanted.as}
        onChange={(as) => change({ as })}
      />
    </div>
  );
}
