// What the API answers of a quality check.

export type Verdict = "yes" | "no";

export interface Item {
  number: number;
  cell: number | null;
  tile: number | null;
  x: number;
  y: number;
  width: number;
  height: number;
  verdict: Verdict | null;
  at: string | null;
}

export interface Review {
  job: string;
  what: "cells" | "tiles";
  size: number;
  seed: number;
  population: number;
  begun_at: string;
  answered: number;
  yes: number;
  accuracy: number | null;
  low: number | null;
  high: number | null;
  method: string;
  note: string | null;
  items: Item[];
}

/** A cell's outline, level-0 px. */
export interface CellShape {
  id: number;
  outline: [number, number][];
}
