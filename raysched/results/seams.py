"""Which reports of one cell by several tiles to keep: one, and always the same one.

Only cells near the edge of a tile can be seen by another tile; they are its rim. Two reports of
different tiles are the same object when they share more than half of the smaller one's pixels.
Reports are ranked: inside the own tile first, then the lower tile, then the earlier place. The
best is kept, what is the same object as a kept one is dropped, and so on down the ranks; so no
object is lost (whatever is dropped has a kept twin) and none is doubled (no two kept ones are
twins). The ranks depend on nothing but the reports: not on chunks, workers or order.

While tiles are still to come, a report of which none of them can have a twin, and which hangs
together with none of which one can, is settled: kept or dropped for good.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import shapely

from raysched.results.runs import I32, I64, boxes, shared_px

Bool = npt.NDArray[np.bool_]
PLACES = 1 << 32


@dataclass(frozen=True, slots=True)
class Rim:
    """The cells of one tile, or of several, that another tile may report too.

    ``tile``, ``place`` (in the tile's batch), ``inside``, ``area_px``: (n,). ``runs``/``runs_at``
    as in ``CellBatch``.
    """

    tile: I32
    place: I32
    inside: Bool
    area_px: I32
    runs: I32
    runs_at: I32

    @property
    def keys(self) -> I64:
        """One number for each report: (n,) ``tile * 2**32 + place``."""
        return self.tile.astype(np.int64) * PLACES + self.place


@dataclass(frozen=True, slots=True)
class Twins:
    """Pairs of reports of one object: (n,) ``Rim.keys`` and ``inside``."""

    a: I64
    b: I64
    a_inside: Bool
    b_inside: Bool


def all_twins(rims: Iterable[Rim], columns: int, reach: int) -> Twins:
    """All pairs of reports of one object.

    ``rims`` hold one tile each and come in increasing tile order. ``columns`` is the number of
    tiles in a row of the grid; tiles at most ``reach`` rows apart can see the same cell. Only
    ``reach + 1`` rows of rims are in memory, and about 150 bytes for each pair: only what lies near
    a seam has twins.
    """
    no_key, no_flag = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    found = [Twins(no_key, no_key, no_flag, no_flag), *_twins_by_row(rims, columns, reach)]
    return Twins(
        np.concatenate([pairs.a for pairs in found]),
        np.concatenate([pairs.b for pairs in found]),
        np.concatenate([pairs.a_inside for pairs in found]),
        np.concatenate([pairs.b_inside for pairs in found]),
    )


def dropped(pairs: Twins) -> Mapping[int, I32]:
    """Places to leave out, sorted, by tile; tiles that keep everything are absent."""
    return places_by_tile(_losers(pairs))


def unsettled(pairs: Twins, exposed: I64) -> I64:
    """Keys of the reports that tiles still to come can decide about, sorted: the ``exposed``, which
    such a tile may report too, and all that hang together with one of them through twins."""
    if not len(exposed):
        return exposed
    keys, ends = np.unique(np.concatenate([pairs.a, pairs.b, exposed]), return_inverse=True)
    one, two, shown = np.split(ends, [len(pairs.a), 2 * len(pairs.a)])
    is_open = np.zeros(len(keys), bool)
    is_open[shown] = True
    while True:
        either = is_open[one] | is_open[two]
        if (is_open[one] == either).all() and (is_open[two] == either).all():
            return keys[is_open]
        is_open[one[either]] = True
        is_open[two[either]] = True


def places_by_tile(keys: I64) -> Mapping[int, I32]:
    """Sorted keys taken apart: places by tile."""
    tiles, places = keys // PLACES, keys % PLACES
    cuts = np.flatnonzero(np.diff(tiles)) + 1
    return {
        int(some_tiles[0]): some_places.astype(np.int32)
        for some_tiles, some_places in zip(
            np.split(tiles, cuts), np.split(places, cuts), strict=True
        )
        if len(some_tiles)
    }


def _twins_by_row(rims: Iterable[Rim], columns: int, reach: int) -> Iterator[Twins]:
    window: deque[tuple[int, Rim]] = deque()
    full = (rim for rim in rims if len(rim.tile))
    for row, members in groupby(full, key=lambda rim: int(rim.tile[0]) // columns):
        while window and window[0][0] < row - reach:
            window.popleft()
        mine = _join(list(members))
        yield twins(mine, _join([*(rim for _, rim in window), mine]))
        window.append((row, mine))


def twins(these: Rim, those: Rim) -> Twins:
    """Pairs (these, those) of different tiles that are the same object. Each pair once."""
    both = _join([these, those])
    edges = boxes(both.runs, both.runs_at)
    shapes = shapely.box(edges[:, 0], edges[:, 1], edges[:, 2], edges[:, 3])
    n = len(these.tile)
    left, right = shapely.STRtree(shapes[n:]).query(shapes[:n])
    right = right + n
    key = both.keys
    # A pair within one row is found from both sides: keep it once.
    other = (both.tile[left] != both.tile[right]) & (
        (key[left] > key[right]) | ~np.isin(key[right], key[:n])
    )
    left, right = left[other], right[other]
    common = shared_px(both.runs, both.runs_at, left, right)
    same = 2 * common > np.minimum(both.area_px[left], both.area_px[right])
    left, right = left[same], right[same]
    return Twins(key[left], key[right], both.inside[left], both.inside[right])


def _losers(pairs: Twins) -> I64:
    """Keys to drop, sorted: the greedy choice by rank, all independent decisions at a time."""
    a, b = pairs.a, pairs.b
    outside = ~np.concatenate([pairs.a_inside, pairs.b_inside])
    keys, first, ends = np.unique(np.concatenate([a, b]), return_index=True, return_inverse=True)
    rank = np.empty(len(keys), np.int64)
    rank[np.lexsort((keys, outside[first]))] = np.arange(len(keys))
    one, two = rank[ends[: len(a)]], rank[ends[len(a) :]]
    better, worse = np.minimum(one, two), np.maximum(one, two)
    is_open = np.ones(len(keys), bool)
    lost = np.zeros(len(keys), bool)
    while True:
        live = is_open[better] & is_open[worse]
        if not live.any():
            return np.sort(keys[lost[rank]])
        better, worse = better[live], worse[live]
        settled = is_open.copy()
        settled[worse] = False
        falls = worse[settled[better]]
        lost[falls] = True
        is_open[falls] = False
        is_open[settled] = False


def _join(rims: list[Rim]) -> Rim:
    if len(rims) == 1:
        return rims[0]
    sizes = np.cumsum([0] + [len(rim.runs) for rim in rims])
    starts = [rim.runs_at[:-1] + size for rim, size in zip(rims, sizes[:-1], strict=True)]
    return Rim(
        np.concatenate([rim.tile for rim in rims]),
        np.concatenate([rim.place for rim in rims]),
        np.concatenate([rim.inside for rim in rims]),
        np.concatenate([rim.area_px for rim in rims]),
        np.concatenate([rim.runs for rim in rims]),
        np.concatenate([*starts, sizes[-1:]]).astype(np.int32),
    )
