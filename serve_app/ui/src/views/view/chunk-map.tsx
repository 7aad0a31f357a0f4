// The chunks of a job: as shapes over the slide, as a legend, as words for one place.
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { count, many } from "../../format";
import type { Spot } from "./geometry";
import type { Chunk, Chunks } from "./shapes";
import type { Stage } from "./stage";

export const CHUNK_STATES = ["waiting", "running", "done", "failed", "skipped"] as const;
export type ChunkState = (typeof CHUNK_STATES)[number];

export interface Drawn {
  /** Paths of SVG in level-0 px. */
  states: Record<ChunkState, string>;
  holes: string;
}

/** The shapes of all chunks: tiles side by side of one chunk are one rectangle. */
export function drawn(chunks: Chunks): Drawn {
  const states = { waiting: "", running: "", done: "", failed: "", skipped: "" };
  let holes = "";
  const inChunk = new Set<number>();
  for (const chunk of chunks.chunks) {
    for (const tile of chunk.tiles) inChunk.add(tile);
    states[chunk.state] += runs(chunks, chunk.tiles);
    holes += runs(
      chunks,
      chunk.failed.map(({ tile }) => tile),
    );
  }
  const all = Array.from({ length: chunks.columns * chunks.rows }, (_, tile) => tile);
  states.skipped = runs(
    chunks,
    all.filter((tile) => !inChunk.has(tile)),
  );
  return { states, holes };
}

function runs(chunks: Chunks, tiles: readonly number[]): string {
  const sorted = [...tiles].sort((a, b) => a - b);
  let path = "";
  let from = 0;
  for (let at = 1; at <= sorted.length; at++) {
    const [before, now] = [sorted[at - 1]!, sorted[at]];
    if (now === before + 1 && now % chunks.columns !== 0) continue;
    path += rectangle(chunks, sorted[from]!, before);
    from = at;
  }
  return path;
}

function rectangle(chunks: Chunks, first: number, last: number): string {
  const { columns, tile_width: side, width, height } = chunks;
  const row = Math.floor(first / columns);
  const [x0, y0] = [(first % columns) * side, row * side];
  const x1 = Math.min(((last % columns) + 1) * side, width);
  const y1 = Math.min((row + 1) * side, height);
  const [x, y, across, down] = [x0, y0, x1 - x0, y1 - y0].map((each) => Number(each.toFixed(1)));
  return `M${x} ${y}h${across}v${down}h${-across!}z`;
}

/** The middle of a tile. */
export function middleOf(chunks: Chunks, tile: number): Spot {
  const { columns, tile_width: side, width, height } = chunks;
  const x = ((tile % columns) + 0.5) * side;
  const y = (Math.floor(tile / columns) + 0.5) * side;
  return { x: Math.min(x, width - 1), y: Math.min(y, height - 1) };
}

export interface Place {
  tile: number;
  chunk: Chunk | null;
  reason: string | null;
}

/** What is at a place; null beside the slide. */
export function placeAt(chunks: Chunks, { x, y }: Spot): Place | null {
  if (x < 0 || y < 0 || x >= chunks.width || y >= chunks.height) return null;
  const column = Math.floor(x / chunks.tile_width);
  const row = Math.floor(y / chunks.tile_width);
  const tile = row * chunks.columns + column;
  const chunk = chunks.chunks.find((each) => each.tiles.includes(tile)) ?? null;
  const reason = chunk?.failed.find((each) => each.tile === tile)?.reason ?? null;
  return { tile, chunk, reason };
}

/** How many chunks are in which state, and tiles that have no tissue. */
export function tally(chunks: Chunks): Record<ChunkState, number> {
  const many = { waiting: 0, running: 0, done: 0, failed: 0, skipped: 0 };
  let tiles = 0;
  for (const chunk of chunks.chunks) {
    many[chunk.state]++;
    tiles += chunk.tiles.length;
  }
  many.skipped = chunks.columns * chunks.rows - tiles;
  return many;
}

const WORDS: Record<ChunkState, string> = {
  waiting: "Waiting",
  running: "Running",
  done: "Done",
  failed: "Failed",
  skipped: "No tissue (tiles)",
};

const wordOf = (state: ChunkState, isOver: boolean): string =>
  isOver && state === "waiting" ? "Never begun" : WORDS[state];

/** The legend of the map, and what is under the pointer or, without one, under the crosshair. */
export function ChunkLegend(props: { stage: Stage; chunks: Chunks; isOver: boolean }): JSX.Element {
  const { stage, chunks, isOver } = props;
  const many = useMemo(() => tally(chunks), [chunks]);
  return (
    <>
      <ul class="viewer-legend">
        {CHUNK_STATES.map((state) => (
          <li key={state}>
            <span class={`swatch ${state}`} />
            {wordOf(state, isOver)}
            <strong class="number">{count(many[state])}</strong>
          </li>
        ))}
      </ul>
      <Probe {...props} />
      <Holes stage={stage} chunks={chunks} />
    </>
  );
}

function Probe(props: { stage: Stage; chunks: Chunks; isOver: boolean }): JSX.Element {
  const { stage, chunks, isOver } = props;
  const spot = stage.pointer.value ?? stage.camera.value;
  const place = spot && placeAt(chunks, spot);
  if (!place) return <p class="viewer-probe muted small">Point at the slide to ask a chunk.</p>;
  const { chunk, tile, reason } = place;
  const what = chunk
    ? `Chunk ${chunk.chunk}: ${wordOf(chunk.state, isOver).toLowerCase()}, ${count(chunk.cells)} cells`
    : "No tissue: not segmented";
  return (
    <p class="viewer-probe small">
      <strong>{what}</strong>
      <br />
      <span class={reason ? "field-error" : "muted"}>
        {reason ? `Tile ${tile} failed: ${reason}` : `Tile ${tile}`}
      </span>
    </p>
  );
}

const MOST_HOLES = 50;

/** The tiles without cells because they failed; each leads there. */
export function Holes({ stage, chunks }: { stage: Stage; chunks: Chunks }): JSX.Element | null {
  const failed = chunks.chunks.flatMap((chunk) => chunk.failed);
  if (!failed.length) return null;
  return (
    <div class="viewer-holes">
      <h3>{many(failed.length, "failed tile")}: no cells there</h3>
      <ul>
        {failed.slice(0, MOST_HOLES).map(({ tile, reason }) => (
          <li key={tile}>
            <button type="button" onClick={() => stage.panTo(middleOf(chunks, tile))}>
              <strong>Tile {tile}</strong> {reason}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
