// OpenSeadragon behind one door: the slide, what lies over it, and where one looks.
import { signal } from "@preact/signals";
import type OpenSeadragon from "openseadragon";
import { seenAt, type Camera, type Size, type Spot } from "./geometry";
import { Layers } from "./layers";
import type { SlideFacts } from "./shapes";
import { pyramidSource } from "./sources";

export type Osd = typeof OpenSeadragon;

const MOST_SCREEN_PX = 24; // for one px of the slide: enough to count pixels
const PAN_SHARE = 0.15;
const FIT_MARGIN = 0.02;

/** It is large, so it comes only when a slide is looked at. */
export async function openSeadragon(): Promise<Osd> {
  const loaded = await import("openseadragon");
  // It warns of tiles that come after they are no longer wanted: nothing that anybody can act on.
  Object.assign(loaded.default, { console: { ...console, warn: () => {} } });
  // It would add a style of its own, which the page's policy refuses; view.css has the same. What it
  // looks for is found, but is no element of HTML.
  const found = document.createElementNS("urn:raysched", "style");
  found.setAttribute("data-openseadragon-mobile-css", "in view.css");
  document.head.append(found);
  return loaded.default;
}

const SETTINGS: OpenSeadragon.Options = {
  drawer: "canvas", // overlays are drawn without smoothing, the slide with: only this one can
  showNavigationControl: false,
  showNavigator: false,
  keyboardNavEnabled: false,
  animationTime: 0.35,
  blendTime: 0.1,
  preserveImageSizeOnResize: true, // opening the panel does not change the zoom
  immediateRender: false,
  minZoomImageRatio: 0.6,
  visibilityRatio: 0.2,
  maxZoomPixelRatio: MOST_SCREEN_PX,
  imageLoaderLimit: 8,
  maxImageCacheCount: 600,
  timeout: 60_000,
  tileRetryMax: 3,
  tileRetryDelay: 2000,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true, pinchRotate: false },
  gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
};

export class Stage {
  readonly camera = signal<Camera | null>(null);
  readonly size = signal<Size>({ width: 1, height: 1 });
  /** Where the pointer is, in level-0 px. */
  readonly pointer = signal<Spot | null>(null);
  /** The stage has come to rest: the address may be written. */
  readonly rests = signal(0);
  /** Tiles of the slide that could not be had. */
  readonly missing = signal(0);
  readonly layers: Layers;
  onClick: (spot: Spot) => unknown = () => {};
  private readonly viewer: OpenSeadragon.Viewer;
  private isOpen = false;

  /** `begin`: where it looks to once it is open; null: at the whole slide. */
  constructor(
    private readonly osd: Osd,
    element: HTMLElement,
    readonly slide: SlideFacts,
    private begin: Camera | null,
  ) {
    this.viewer = osd({ ...SETTINGS, element });
    this.layers = new Layers(osd, this.viewer, slide);
    this.hearAll();
    const source = pyramidSource(osd, slide, () => "", false);
    this.viewer.addOnceHandler("open", () => {
      this.isOpen = true;
      if (this.begin) this.look(this.begin, true);
      else this.fit(true);
      this.layers.open();
      this.read();
      this.rests.value++;
    });
    this.viewer.open({ tileSource: source, x: 0, y: 0, width: 1 });
  }

  private hearAll(): void {
    const { viewer } = this;
    viewer.addHandler("update-viewport", () => this.read());
    viewer.addHandler("animation-finish", () => this.rests.value++);
    viewer.addHandler("resize", () => this.read());
    viewer.addHandler("tile-load-failed", ({ tiledImage, maxReached }) => {
      if (maxReached && this.layers.isSlide(tiledImage)) this.missing.value++;
    });
    viewer.addHandler("canvas-click", (event) => {
      const camera = this.camera.value;
      if (event.quick && camera) this.onClick(seenAt(camera, this.size.value, event.position));
    });
    viewer.canvas.removeAttribute("tabindex"); // the frame around it has the focus
  }

  private read(): void {
    const view = this.viewer.viewport;
    if (!view || !this.viewer.isOpen()) return;
    const { x: width, y: height } = view.getContainerSize();
    const size = this.size.peek();
    if (size.width !== width || size.height !== height) this.size.value = { width, height };
    const middle = view.getCenter(true);
    const camera = {
      x: middle.x * this.slide.width,
      y: middle.y * this.slide.width,
      zoom: (view.getZoom(true) * width) / this.slide.width,
      rotation: view.getRotation(true),
    };
    const old = this.camera.peek();
    const isSame =
      old?.x === camera.x &&
      old.y === camera.y &&
      old.zoom === camera.zoom &&
      old.rotation === camera.rotation;
    if (!isSame) this.camera.value = camera;
  }

  /** Look there. */
  look(camera: Camera, atOnce = false): void {
    if (!this.isOpen) {
      this.begin = camera; // opening would look elsewhere after it
      return;
    }
    const view = this.viewer.viewport;
    const width = view.getContainerSize().x || 1;
    view.setRotation(camera.rotation, atOnce);
    view.zoomTo((camera.zoom * this.slide.width) / width, undefined, atOnce);
    const point = new this.osd.Point(camera.x / this.slide.width, camera.y / this.slide.width);
    view.panTo(point, atOnce);
    if (atOnce) view.update();
  }

  /** The whole slide. */
  fit(atOnce = false): void {
    const high = this.slide.height / this.slide.width;
    const [x, y] = [FIT_MARGIN, FIT_MARGIN * high];
    const all = new this.osd.Rect(-x, -y, 1 + 2 * x, high + 2 * y);
    this.viewer.viewport.fitBounds(all, atOnce);
  }

  /** Around the middle. */
  zoomBy(factor: number): void {
    this.viewer.viewport.zoomBy(factor).applyConstraints();
  }

  /** To a number of screen px per level-0 px. */
  zoomTo(zoom: number): void {
    const width = this.viewer.viewport.getContainerSize().x || 1;
    this.viewer.viewport.zoomTo((zoom * this.slide.width) / width).applyConstraints();
  }

  /** By a share of what is seen; to the right and down are positive. */
  panBy(right: number, down: number): void {
    const { width, height } = this.size.value;
    const pixels = new this.osd.Point(right * width * PAN_SHARE, down * height * PAN_SHARE);
    const view = this.viewer.viewport;
    view.panBy(view.deltaPointsFromPixels(pixels)).applyConstraints();
  }

  /** The middle to a place. */
  panTo(spot: Spot, atOnce = false): void {
    const point = new this.osd.Point(spot.x / this.slide.width, spot.y / this.slide.width);
    this.viewer.viewport.panTo(point, atOnce);
  }

  rotateTo(degrees: number): void {
    this.viewer.viewport.setRotation(degrees);
  }

  /** Where that is looked to in the end, when all is at rest. */
  target(): Camera | null {
    const view = this.viewer.viewport;
    if (!this.viewer.isOpen()) return null;
    const middle = view.getCenter(false);
    return {
      x: middle.x * this.slide.width,
      y: middle.y * this.slide.width,
      zoom: (view.getZoom(false) * view.getContainerSize().x) / this.slide.width,
      rotation: view.getRotation(false),
    };
  }

  /** A place of the page, in level-0 px. */
  placeOf(event: MouseEvent): Spot | null {
    const camera = this.camera.peek();
    const box = this.viewer.element.getBoundingClientRect();
    if (!camera) return null;
    const screen = { x: event.clientX - box.left, y: event.clientY - box.top };
    return seenAt(camera, this.size.peek(), screen);
  }

  /** What is drawn now: the slide with what lies over it. */
  canvas(): HTMLCanvasElement {
    return this.viewer.drawer.canvas as HTMLCanvasElement;
  }

  /** Ask again for what could not be had. */
  revive(): void {
    if (this.layers.revive()) this.missing.value = 0;
  }

  close(): void {
    this.layers.close();
    this.viewer.destroy();
  }
}
