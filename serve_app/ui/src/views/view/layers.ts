// What lies over the slide. A new version of a layer loads unseen beneath the old one's tiles and takes
// its place when all of it is there: cells appear while a job runs, and nothing flickers.
import type OpenSeadragon from "openseadragon";
import { leastEnlarged, type Spot } from "./geometry";
import type { SlideFacts } from "./shapes";
import type { Osd } from "./stage";

/** From the bottom to the top. */
const ORDER = ["tissue", "first", "second"] as const;
export type Role = (typeof ORDER)[number];

const CRISP_FROM = 0.97;

export interface Layer {
  /** Layers of one key look the same. */
  key: string;
  make: (osd: Osd) => OpenSeadragon.TileSource | { type: "image"; url: string };
  /** Level-0 px across the whole layer. */
  width: number;
  /** 0: not shown, and not loaded either. */
  opacity: number;
}

interface Slot {
  shown: { image: OpenSeadragon.TiledImage; key: string } | null;
  coming: { image: OpenSeadragon.TiledImage | null; key: string } | null;
  wanted: Layer | null;
  /** Shown only within this polygon, in level-0 px. */
  only: Spot[] | null;
}

/** What OpenSeadragon remembers of tiles that could not be had; its types do not say so. */
interface Remembered {
  tilesMatrix: Record<string, Record<string, Record<string, OpenSeadragon.Tile>>>;
}

export class Layers {
  private readonly slots = new Map<Role, Slot>(
    ORDER.map((role) => [role, { shown: null, coming: null, wanted: null, only: null }]),
  );
  private isOpen = false;
  private isClosed = false;

  constructor(
    private readonly osd: Osd,
    private readonly viewer: OpenSeadragon.Viewer,
    private readonly slide: SlideFacts,
  ) {
    viewer.addHandler("viewport-change", () => this.chooseAll());
    viewer.addHandler("tile-drawing", ({ tiledImage, context, tile, rendered }) => {
      const isTurned = viewer.viewport.getRotation(true) % 90 !== 0;
      const enlarged = ((tile.size?.x ?? 0) * devicePixelRatio) / rendered.canvas.width;
      // Cells keep their pixels, but none of a thin line may fall between those of the screen.
      context.imageSmoothingEnabled = isTurned || enlarged < CRISP_FROM || this.isSlide(tiledImage);
    });
  }

  /** The slide is there: layers may come. */
  open(): void {
    this.isOpen = true;
    for (const role of ORDER) this.settle(role);
  }

  close(): void {
    this.isClosed = true;
  }

  isSlide(image: OpenSeadragon.TiledImage): boolean {
    return this.viewer.world.getItemAt(0) === image;
  }

  /** Show that in that role from now on; null: nothing. */
  put(role: Role, layer: Layer | null): void {
    const slot = this.slots.get(role)!;
    slot.wanted = layer;
    if (this.isOpen) this.settle(role);
  }

  /** Whether what is shown is what is wanted, with all its tiles. */
  isSettled(): boolean {
    return [...this.slots.values()].every(
      ({ shown, coming, wanted }) => !coming && (shown?.key ?? null) === (wanted?.key ?? null),
    );
  }

  private settle(role: Role): void {
    const slot = this.slots.get(role)!;
    const { shown, wanted } = slot;
    if (this.isClosed) return;
    if (!wanted) {
      if (shown) this.viewer.world.removeItem(shown.image);
      slot.shown = null;
      return; // what is coming is dropped when it is there
    }
    if (shown && shown.image.getOpacity() !== wanted.opacity) {
      shown.image.setOpacity(wanted.opacity);
    }
    if (slot.coming || shown?.key === wanted.key || wanted.opacity === 0) return;
    this.begin(role, slot, wanted);
  }

  private begin(role: Role, slot: Slot, layer: Layer): void {
    const coming = { image: null as OpenSeadragon.TiledImage | null, key: layer.key };
    slot.coming = coming;
    this.viewer.addTiledImage({
      tileSource: layer.make(this.osd),
      x: 0,
      y: 0,
      width: layer.width / this.slide.width,
      opacity: slot.shown ? 0 : layer.opacity,
      preload: true,
      success: (event: unknown) => {
        const { item } = event as { item: OpenSeadragon.TiledImage };
        coming.image = item;
        this.choose(item);
        // Nothing fades in: what takes another's place must be there at once.
        Object.assign(item, { blendTime: 0 });
        if (!slot.shown) this.take(role, slot, item, layer.key);
        else item.whenFullyLoaded(() => this.take(role, slot, item, layer.key));
      },
      error: () => {
        slot.coming = null;
      },
    });
  }

  /** Which level is shown: lines are one or two pixels of the screen wide at any zoom. */
  private choose(item: OpenSeadragon.TiledImage): void {
    const view = this.viewer.viewport;
    const zoom = (view.getZoom(true) * view.getContainerSize().x) / this.slide.width;
    Object.assign(item, { minPixelRatio: leastEnlarged(zoom) });
  }

  /** The same for all layers: one looks from elsewhere. */
  chooseAll(): void {
    for (const { shown, coming } of this.slots.values()) {
      for (const image of [shown?.image, coming?.image]) if (image) this.choose(image);
    }
  }

  private take(role: Role, slot: Slot, image: OpenSeadragon.TiledImage, key: string): void {
    if (this.isClosed) return;
    slot.coming = null;
    if (slot.shown) this.viewer.world.removeItem(slot.shown.image);
    if (!slot.wanted) {
      slot.shown = null;
      this.viewer.world.removeItem(image);
      return;
    }
    slot.shown = { image, key };
    image.setPreload(false);
    image.setOpacity(slot.wanted.opacity);
    this.crop(slot);
    this.order();
    this.settle(role); // something else may be wanted by now
  }

  private order(): void {
    const shown = ORDER.flatMap((role) => this.slots.get(role)?.shown?.image ?? []);
    shown.forEach((image, at) => {
      if (this.viewer.world.getIndexOfItem(image) !== at + 1) {
        this.viewer.world.setItemIndex(image, at + 1);
      }
    });
  }

  /** Show a role only within a polygon of level-0 px; null: all of it. */
  only(role: Role, ring: Spot[] | null): void {
    const slot = this.slots.get(role)!;
    slot.only = ring;
    this.crop(slot);
  }

  private crop({ shown, only }: Slot): void {
    if (!shown) return;
    if (!only) {
      shown.image.resetCroppingPolygons();
      return;
    }
    const { image } = shown;
    const perL0 =
      image.getContentSize().x / (image.getBoundsNoRotate(true).width * this.slide.width);
    const ring = only.map(({ x, y }) => new this.osd.Point(x * perL0, y * perL0));
    image.setCroppingPolygons([ring]);
  }

  /** Ask again for tiles that could not be had; whether there were any. */
  revive(): boolean {
    let found = false;
    const { world } = this.viewer;
    for (let at = 0; at < world.getItemCount(); at++) {
      const image = world.getItemAt(at);
      const { tilesMatrix } = image as unknown as Remembered;
      for (const tile of tilesOf(tilesMatrix)) {
        if (!tile.exists) found = tile.exists = true;
      }
      if (found) image.redraw();
    }
    if (found) this.viewer.forceRedraw();
    return found;
  }
}

function* tilesOf(matrix: Remembered["tilesMatrix"]): Generator<OpenSeadragon.Tile> {
  for (const level of Object.values(matrix)) {
    for (const column of Object.values(level)) yield* Object.values(column);
  }
}
