// What is judged, as large as there is room.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { asApiError, type ApiError } from "../../api/http";
import { Failure } from "../../parts/basics";
import type { Pictures, PictureShelf } from "./pictures";
import type { CellShape, Item } from "./types";

interface Props {
  item: Item;
  shelf: PictureShelf;
  isOutlined: boolean;
}

export function Picture({ item, shelf, isOutlined }: Props): JSX.Element {
  const [pictures, setPictures] = useState<Pictures | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isGone = false;
    setError(null);
    shelf.get(item).then(
      (found) => !isGone && setPictures(found),
      (thrown: unknown) => !isGone && setError(asApiError(thrown)),
    );
    return () => {
      isGone = true;
    };
  }, [item.number, shelf, turn]);
  const name = item.cell === null ? `Tile ${item.tile}` : `Cell ${item.cell}`;
  return (
    <figure class="judge-picture">
      {error && <Failure error={error} onRetry={() => setTurn((old) => old + 1)} />}
      {!error && !pictures && <span class="bone" role="status" aria-label="Loading the picture" />}
      {pictures && (
        <>
          <img src={pictures.plain} alt={`${name}, without outlines`} hidden={isOutlined} />
          <img src={pictures.outlined} alt={`${name}, with outlines`} hidden={!isOutlined} />
          {pictures.cell && <Shape item={item} cell={pictures.cell} isOutlined={isOutlined} />}
        </>
      )}
    </figure>
  );
}

/** The very cell: its outline, or with outlines off four corners around it. */
export function Shape(props: { item: Item; cell: CellShape; isOutlined: boolean }): JSX.Element {
  const { item, cell, isOutlined } = props;
  const { x, y, width, height } = item;
  const points = cell.outline.map(([px, py]) => `${px},${py}`).join(" ");
  return (
    <svg class="judge-shape" viewBox={`${x} ${y} ${width} ${height}`} aria-hidden="true">
      {isOutlined ? (
        <>
          <polygon class="halo" points={points} />
          <polygon points={points} />
        </>
      ) : (
        <Corners cell={cell} />
      )}
    </svg>
  );
}

const AWAY = 0.35;

function Corners({ cell }: { cell: CellShape }): JSX.Element {
  const xs = cell.outline.map(([x]) => x);
  const ys = cell.outline.map(([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const gap = Math.max(right - left, bottom - top) * AWAY;
  const arm = gap;
  const corner = (x: number, y: number, dx: number, dy: number) =>
    `M${x + dx * arm},${y} L${x},${y} L${x},${y + dy * arm}`;
  const path = [
    corner(left - gap, top - gap, 1, 1),
    corner(right + gap, top - gap, -1, 1),
    corner(left - gap, bottom + gap, 1, -1),
    corner(right + gap, bottom + gap, -1, -1),
  ].join(" ");
  return (
    <>
      <path class="halo" d={path} />
      <path d={path} />
    </>
  );
}
