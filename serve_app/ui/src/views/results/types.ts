// What the API answers of measurements and manifests.
import type { Schemas } from "../../api/types";

export type Measure = Schemas["MeasureSummary"];
export type Measures = Schemas["Measures"];
export type Span = Schemas["MeasureSpan"];
export type Pair = Schemas["MeasurePair"];

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
