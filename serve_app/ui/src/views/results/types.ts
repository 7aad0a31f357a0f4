// What the API answers of measurements, chunks, manifests and differences.

export interface Measure {
  name: string;
  unit: string;
  description: string;
  count: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  sd: number | null;
  p05: number | null;
  p25: number | null;
  median: number | null;
  p75: number | null;
  p95: number | null;
  low: number | null;
  high: number | null;
  counts: number[];
  below: number;
  above: number;
}

export interface Measures {
  job: string;
  complete: boolean;
  cells: number;
  density_per_mm2: number | null;
  measures: Measure[];
}

export interface Span {
  name: string;
  unit: string;
  low: number | null;
  high: number | null;
}

export interface Pair {
  x: Span;
  y: Span;
  bins: number;
  counts: number[][];
  cells: number;
  inside: number;
  correlation: number | null;
}

/** `manifest.json` in a results folder, as far as it is shown. */
export interface Manifest {
  created_at: string;
  fingerprint: string;
  checksum?: string | null;
  kind: string;
  slide: {
    name: string;
    sha256: string;
    size_bytes: number;
    vendor: string;
    width: number;
    height: number;
    mpp: number;
    mpp_source: string;
    reader: string;
    reader_note: string;
  };
  tissue: Record<string, unknown>;
  timings: Record<string, number>;
  reused?: string[];
  versions: Record<string, string>;
  engine?: string;
  engine_version?: string;
  params?: Record<string, unknown>;
  measure?: Record<string, unknown>;
  grid?: { tile_px: number; halo_px: number; mpp: number; columns: number; rows: number };
  counts?: {
    cells?: number;
    tiles: number;
    tissue_tiles: number;
    tissue_fraction: number;
    tiles_failed?: { tile: number; reason: string }[];
  };
  tissue_fraction?: number;
}

export interface Diff {
  first: { job: string; cells: number };
  second: { job: string; cells: number };
  matched: number;
  lost: number;
  gained: number;
  f1: Record<string, number>;
  jaccard: number | null;
  mean_iou: number | null;
  changes: Record<
    string,
    { unit: string; cells: number; median: number; p05: number; p95: number }
  >;
  differing: { setting: string; first: unknown; second: unknown }[];
}
