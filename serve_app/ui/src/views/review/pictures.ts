// Pictures of what is judged, fetched ahead so that the next one is there at once.
import { ask, send } from "../../api/http";
import type { CellShape, Item } from "./types";

const KEPT = 24;
const MOST_PX = 1024;

export interface Pictures {
  plain: string;
  outlined: string;
  cell: CellShape | null;
}

/** The pictures of one job's items, the newest kept. */
export class PictureShelf {
  private readonly known = new Map<number, Promise<Pictures>>();

  constructor(readonly job: string) {}

  get(item: Item): Promise<Pictures> {
    const found = this.known.get(item.number) ?? this.fetch(item);
    this.known.delete(item.number);
    this.known.set(item.number, found);
    found.catch(() => this.known.delete(item.number));
    for (const [number, old] of this.known) {
      if (this.known.size <= KEPT) break;
      this.known.delete(number);
      void free(old);
    }
    return found;
  }

  close(): void {
    for (const each of this.known.values()) void free(each);
    this.known.clear();
  }

  private async fetch(item: Item): Promise<Pictures> {
    const { x, y, width, height } = item;
    const picture = async (outlines: boolean) => {
      const query = { x, y, width, height, outlines, most_px: MOST_PX };
      const answer = await send(`/jobs/${this.job}/picture`, { query });
      return URL.createObjectURL(await answer.blob());
    };
    const shape =
      item.cell === null ? null : ask<CellShape>(`/jobs/${this.job}/cells/${item.cell}`);
    const [plain, outlined, cell] = await Promise.all([picture(false), picture(true), shape]);
    return { plain, outlined, cell };
  }
}

async function free(old: Promise<Pictures>): Promise<void> {
  try {
    const { plain, outlined } = await old;
    URL.revokeObjectURL(plain);
    URL.revokeObjectURL(outlined);
  } catch {
    // it was never there
  }
}
