"""Writing ``labels.zarr``: the exact masks as an OME-Zarr 0.5 label image.

uint32, 0 is background, value = cell id, at working resolution, with a pyramid by taking every
second pixel (labels cannot be averaged) down to at most ``SMALLEST_PX``. One shard is painted at
a time, from the tiles that reach into it.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from raysched.imaging.geometry import Rect
from raysched.imaging.plan import SlidePlan
from raysched.results.chunks import flat
from raysched.results.runs import I32, U32
from raysched.results.storage import Disk
from raysched.results.survivors import Survivors

CHUNK_PX = 512
SHARD_PX = 2048
COARSE_SHARD_PX = 1024
"""From the third level on: one shard of each level is in memory."""
SMALLEST_PX = 512
CACHE_BYTES = 8 * 1024 * 1024
"""Most bytes of decoded masks that are held between shards."""

PIPELINE = {
    "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
    "threading.max_workers": 1,
    "codec_pipeline.strict": True,
}
"""Shards are put together outside of Python, in half the time, by the thread that asks."""

Mask = tuple[U32, I32, I32]


def write_labels(
    path: Path, plan: SlidePlan, survivors: Survivors, check: Callable[[], None], disk: Disk
) -> None:
    """Paint all levels below ``path``, a folder that does not exist yet.

    ``check`` is called before each shard and may raise. Memory: about 70 MB, and
    4 MB for each level beyond the second.
    """
    sizes = level_sizes(plan.grid.height, plan.grid.width)
    disk.step("create", path)
    with zarr.config.set(PIPELINE):
        group = zarr.create_group(
            str(path), zarr_format=3, attributes=_attributes(plan, len(sizes))
        )
        levels = [
            group.create_array(
                str(level),
                shape=size,
                dtype="uint32",
                chunks=(CHUNK_PX, CHUNK_PX),
                shards=(shard_px(level), shard_px(level)),
                compressors=ZstdCodec(level=1),
                fill_value=0,
                dimension_names=("y", "x"),
            )
            for level, size in enumerate(sizes)
        ]
    pyramid = Pyramid(levels, _before_shard(check, disk, path))
    _paint(pyramid, plan, survivors)
    pyramid.finish()


def shard_px(level: int) -> int:
    """Edge of a level's shards."""
    return SHARD_PX if level < 2 else COARSE_SHARD_PX


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


def _paint(pyramid: Pyramid, plan: SlidePlan, survivors: Survivors) -> None:
    """Paint the shards of the finest level that hold cells."""
    from raysched.imaging.kernels import runs as kernel

    masks = _Masks(survivors)
    by_shard: dict[tuple[int, int], list[int]] = {}
    for tile in survivors.tiles:
        for shard in _shards(plan.tile(tile).read):
            by_shard.setdefault(shard, []).append(tile)
    for row, column in sorted(by_shard, key=z_order):
        block = pyramid.blank(0, row, column)
        # Tiles in falling order, so that a lower id is painted later and wins.
        for tile in reversed(by_shard[row, column]):
            ids, runs, at = masks.of(tile)
            kernel.paint(block, column * SHARD_PX, row * SHARD_PX, ids, runs, at)
        pyramid.add(0, row, column, block)


def z_order(shard: tuple[int, int]) -> int:
    """Interleaves the bits of row and column: the four parts of a coarser shard are neighbours."""
    row, column = shard
    bits = range(max(row, column).bit_length())
    return sum(((row >> n & 1) << 2 * n + 1) | ((column >> n & 1) << 2 * n) for n in bits)


class Pyramid:
    """Writes shards that come in z-order, and the coarser shards that they make up: each is
    complete, and is written, when one of the next comes. One shard a level is in memory."""

    def __init__(self, levels: list[Any], before: Callable[[], None]) -> None:
        self._levels = levels
        self._before = before
        self._memory: dict[int, U32] = {}
        self._coming: dict[int, tuple[int, int, U32]] = {}

    def blank(self, level: int, row: int, column: int) -> U32:
        """Zeros of a shard's size, in the memory of the level's shard before."""
        sizes, edge = self._levels[level].shape, shard_px(level)
        if level not in self._memory:
            self._memory[level] = np.empty([min(edge, size) for size in sizes], np.uint32)
        height, width = (
            min(edge, n - at * edge) for n, at in zip(sizes, (row, column), strict=True)
        )
        block = self._memory[level][:height, :width]
        block.fill(0)
        return block

    def add(self, level: int, row: int, column: int, block: U32) -> None:
        """Write a shard and put every second pixel of it into the next level's."""
        self._before()
        height, width = block.shape
        y, x = row * shard_px(level), column * shard_px(level)
        try:
            self._levels[level][y : y + height, x : x + width] = block
        except RuntimeError as error:
            raise _said_by_the_system(error) from error
        if level + 1 == len(self._levels):
            return
        edge = shard_px(level + 1)
        y, x = y // 2, x // 2
        place = (y // edge, x // edge)
        if self._coming.get(level + 1, place)[:2] != place:
            self._let_go(level + 1)
        if level + 1 not in self._coming:
            self._coming[level + 1] = (*place, self.blank(level + 1, *place))
        y, x = y - place[0] * edge, x - place[1] * edge
        half = block[::2, ::2]
        self._coming[level + 1][2][y : y + half.shape[0], x : x + half.shape[1]] = half

    def finish(self) -> None:
        """Write what is still incomplete, finest first."""
        for level in range(1, len(self._levels)):
            self._let_go(level)

    def _let_go(self, level: int) -> None:
        if level in self._coming:
            self.add(level, *self._coming.pop(level))


def _said_by_the_system(error: RuntimeError) -> Exception:
    """What zarrs passes on as words, such as a full disk, as the error that it was."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else error


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
