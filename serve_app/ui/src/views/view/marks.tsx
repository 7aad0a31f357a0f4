// What is drawn over the tiles in the slide's own px: chunks, holes, the cell that is looked at.
import { useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { CHUNK_STATES, drawn } from "./chunk-map";
import { points, transform } from "./geometry";
import type { Cell, Chunks } from "./shapes";
import type { Stage } from "./stage";

interface Props {
  stage: Stage;
  chunks: Chunks | null;
  isMapShown: boolean;
  cells: readonly (Cell | null)[];
}

export function Marks({ stage, chunks, isMapShown, cells }: Props): JSX.Element {
  const ground = useRef<SVGGElement>(null);
  const hatches = useRef<SVGDefsElement>(null);
  useSignalEffect(() => {
    const camera = stage.camera.value;
    if (!camera || !ground.current) return;
    ground.current.setAttribute("transform", transform(camera, stage.size.value));
    for (const hatch of hatches.current?.children ?? []) {
      hatch.setAttribute("patternTransform", `scale(${1 / camera.zoom}) rotate(45)`);
    }
  });
  return (
    <svg class="viewer-marks" aria-hidden="true">
      <defs ref={hatches}>
        <Hatch id="viewer-hole" kind="hole" />
        <Hatch id="viewer-glass" kind="glass" />
      </defs>
      <g ref={ground}>
        {chunks && <Map chunks={chunks} isShown={isMapShown} />}
        {cells.map((cell, at) => cell && <Outline key={at} cell={cell} />)}
      </g>
    </svg>
  );
}

function Hatch({ id, kind }: { id: string; kind: string }): JSX.Element {
  return (
    <pattern id={id} width="9" height="9" patternUnits="userSpaceOnUse">
      <rect width="9" height="9" class={`hatch-ground ${kind}`} />
      <rect width="2.5" height="9" class={`hatch-line ${kind}`} />
    </pattern>
  );
}

function Map({ chunks, isShown }: { chunks: Chunks; isShown: boolean }): JSX.Element {
  const made = useMemo(() => drawn(chunks), [chunks]);
  return (
    <g>
      {isShown &&
        CHUNK_STATES.map((state) => (
          <path key={state} class={`chunk ${state}`} d={made.states[state]} />
        ))}
      <path class="chunk hole" d={made.holes} />
    </g>
  );
}

function Outline({ cell }: { cell: Cell }): JSX.Element {
  const ring = points(cell.outline.map(([x, y]) => ({ x, y })));
  return (
    <g class="found-cell">
      <polygon class="found-cell-halo" points={ring} />
      <polygon class="found-cell-line" points={ring} />
    </g>
  );
}
