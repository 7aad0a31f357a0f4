"""Writing ``labels.zarr``: the exact masks as an OME-Zarr 0.5 label image.

uint32, 0 is background, value = cell id, at working resolution, with a pyramid by taking every
second pixel (labels cannot be averaged) down to at most ``SMALLEST_PX``. One shard is painted at
a time, from the tiles that reach into it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from raysched.imaging.geometry import Rect
from raysched.imaging.plan import SlidePlan
from raysched.results.chunks import flat
from raysched.results.runs import I32, U32, paint
from raysched.results.storage import Disk
from raysched.results.survivors import Survivors

CHUNK_PX = 512
SHARD_PX = 2048
SMALLEST_PX = 512
CACHE_BYTES = 64 * 1024 * 1024
"""Most bytes of decoded masks that are held between shards."""

Mask = tuple[U32, I32, I32]


def write_labels(
    path: Path, plan: SlidePlan, survivors: Survivors, check: Callable[[], None], disk: Disk
) -> None:
    """Paint all levels below ``path``, a folder that does not exist yet.

    ``check`` is called before each shard and may raise. Memory: about 100 MB, whatever the slide.
    """
    sizes = level_sizes(plan.grid.height, plan.grid.width)
    disk.step("create", path)
    group = zarr.create_group(str(path), zarr_format=3, attributes=_attributes(plan, len(sizes)))
    levels = [
        group.create_array(
            str(level),
            shape=size,
            dtype="uint32",
            chunks=(CHUNK_PX, CHUNK_PX),
            shards=(SHARD_PX, SHARD_PX),
            compressors=ZstdCodec(level=1),
            fill_value=0,
            dimension_names=("y", "x"),
        )
        for level, size in enumerate(sizes)
    ]
    filled = _paint_first(levels[0], plan, survivors, _before_shard(check, disk, path))
    for finer, coarser in pairwise(levels):
        filled = {(row // 2, column // 2) for row, column in filled}
        for row, column in sorted(filled):
            _before_shard(check, disk, path)()
            _halve(finer, coarser, row * SHARD_PX, column * SHARD_PX)


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of each level, the first at working resolution."""
    sizes = [(height, width)]
    while max(sizes[-1]) > SMALLEST_PX:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def _before_shard(check: Callable[[], None], disk: Disk, path: Path) -> Callable[[], None]:
    def before() -> None:
        check()
        disk.step("shard", path)

    return before


def _paint_first(
    level: Any, plan: SlidePlan, survivors: Survivors, before: Callable[[], None]
) -> set[tuple[int, int]]:
    """Paint the finest level; returns the shards (row, column) that hold cells."""
    masks = _Masks(survivors)
    by_shard: dict[tuple[int, int], list[int]] = {}
    for tile in survivors.tiles:
        for shard in _shards(plan.tile(tile).read):
            by_shard.setdefault(shard, []).append(tile)
    for row, column in sorted(by_shard):
        before()
        y, x = row * SHARD_PX, column * SHARD_PX
        shape = min(SHARD_PX, level.shape[0] - y), min(SHARD_PX, level.shape[1] - x)
        block = np.zeros(shape, np.uint32)
        # Tiles in falling order, so that a lower id is painted later and wins.
        for tile in reversed(by_shard[row, column]):
            ids, runs, at = masks.of(tile)
            paint(block, x, y, ids, (runs, at))
        if block.any():
            level[y : y + shape[0], x : x + shape[1]] = block
    return set(by_shard)


def _shards(rect: Rect) -> Iterator[tuple[int, int]]:
    for row in range(rect.y0 // SHARD_PX, (rect.y1 - 1) // SHARD_PX + 1):
        for column in range(rect.x0 // SHARD_PX, (rect.x1 - 1) // SHARD_PX + 1):
            yield row, column


class _Masks:
    """Decoded masks of the tiles used last, within ``CACHE_BYTES``."""

    def __init__(self, survivors: Survivors) -> None:
        self._survivors = survivors
        self._held: OrderedDict[int, Mask] = OrderedDict()
        self._bytes = 0

    def of(self, tile: int) -> Mask:
        if tile in self._held:
            self._held.move_to_end(tile)
            return self._held[tile]
        ids, table = self._survivors.read(tile, ["runs"])
        mask = (ids, *flat(table.column("runs"), 3, np.int32))
        self._held[tile] = mask
        self._bytes += sum(part.nbytes for part in mask)
        while self._bytes > CACHE_BYTES and len(self._held) > 1:
            _, old = self._held.popitem(last=False)
            self._bytes -= sum(part.nbytes for part in old)
        return mask


def _halve(finer: Any, coarser: Any, y: int, x: int) -> None:
    """Fill one shard of ``coarser`` from the four below it, one at a time."""
    block = np.zeros(
        (min(SHARD_PX, coarser.shape[0] - y), min(SHARD_PX, coarser.shape[1] - x)), np.uint32
    )
    half = SHARD_PX // 2
    for v in (0, half):
        for u in (0, half):
            top, left = 2 * (y + v), 2 * (x + u)
            if top < finer.shape[0] and left < finer.shape[1]:
                fine = finer[top : top + SHARD_PX, left : left + SHARD_PX][::2, ::2]
                block[v : v + fine.shape[0], u : u + fine.shape[1]] = fine
    if block.any():
        coarser[y : y + block.shape[0], x : x + block.shape[1]] = block


def _attributes(plan: SlidePlan, levels: int) -> dict[str, Any]:
    def dataset(level: int) -> dict[str, Any]:
        # Pixel i is pixel 2i of the finer level, so the centres agree without a translation.
        scale = plan.grid.mpp * 2**level
        transform = {"type": "scale", "scale": [scale, scale]}
        return {"path": str(level), "coordinateTransformations": [transform]}

    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    multiscale = {
        "name": "cells",
        "axes": axes,
        "datasets": [dataset(level) for level in range(levels)],
        "type": "nearest",
    }
    label = {"colors": [{"label-value": 0, "rgba": [0, 0, 0, 0]}]}
    return {
        "ome": {"version": "0.5", "multiscales": [multiscale], "image-label": label},
        "raysched": {"l0_per_px": plan.grid.l0_per_w, "um_per_px": plan.grid.mpp},
    }
