// What the service tells a viewer. Coordinates are px of the whole slide ("level-0 px").

export interface Pyramid {
  width: number;
  height: number;
  tile_px: number;
  levels: number;
  /** A template with {z}, {x} and {y}; level 0 is the coarsest. */
  href: string;
}

export interface SlideFacts extends Pyramid {
  name: string;
  mpp: number | null;
  mpp_source: string | null;
}

export interface OverlayFacts extends Pyramid {
  l0_per_px: number;
}

/** One picture that lies over the slide, with the same corner. */
export interface Sheet {
  width: number;
  height: number;
  l0_per_px: number;
  href: string;
}

export interface MeasureRange {
  name: string;
  unit: string;
  low: number;
  high: number;
}

export interface CellsFacts {
  job: string;
  complete: boolean;
  cells: number;
  version: string;
  slide: SlideFacts;
  overlay: OverlayFacts | null;
  measures: MeasureRange[];
  tissue: Sheet | null;
}

export interface Cell {
  id: number;
  provisional: boolean;
  x: number;
  y: number;
  tile: number;
  outline: [number, number][];
  measures: { name: string; value: number; unit: string }[];
}

export interface Chunk {
  chunk: number;
  state: "waiting" | "running" | "done" | "failed";
  tiles: number[];
  cells: number;
  failed: { tile: number; reason: string }[];
}

export interface Chunks {
  job: string;
  complete: boolean;
  columns: number;
  rows: number;
  tile_width: number;
  width: number;
  height: number;
  chunks: Chunk[];
}

export interface TissueLook {
  width: number | null;
  height: number | null;
  l0_per_px: number | null;
  png: string | null;
  question: string | null;
}

export interface MeasureFacts {
  name: string;
  unit: string;
  description: string;
  min: number | null;
  max: number | null;
  p05: number | null;
  p25: number | null;
  p75: number | null;
  p95: number | null;
}

export interface Measures {
  measures: MeasureFacts[];
}
