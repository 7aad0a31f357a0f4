"""From seeds to labels, as InstanSeg means it: the pixels that a small network gives to each seed,
grown outward from it, and seeds that claim much the same pixels as one cell.

The network is only asked about pixels that the growing reaches, which is a tenth of the window that
the reference cuts out for every seed, and what it grows is in one piece.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.kernels.compiled import compiled

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]

NOT_ASKED, REFUSED, TAKEN, HOLE, OUTSIDE = 0, 1, 2, 3, 4
HOLE_RIM_PX = 3
"""What is further than this from a cell is around it, also where the cell encloses it."""


@compiled("i4[:,::1](f4[:,::1], i8, f4)")
def peaks(height: F32, distance: int, least: float) -> I32:
    """Where an image is above ``least`` and highest within ``distance`` px: (n, 2) y, x.

    In reading order; of equal heights within that square the first counts.
    """
    rows, columns = height.shape
    found = np.empty((rows * columns // (distance + 1) + 1, 2), np.int32)
    count = 0
    for y in range(rows):
        for x in range(columns):
            value = height[y, x]
            if not value > least:
                continue
            highest = True
            for v in range(max(0, y - distance), min(rows, y + distance + 1)):
                for u in range(max(0, x - distance), min(columns, x + distance + 1)):
                    other = height[v, u]
                    earlier = v < y or (v == y and u < x)
                    if other > value or (other == value and earlier):
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                found[count, 0], found[count, 1] = y, x
                count += 1
    return found[:count].copy()


@compiled("f4[:,:,::1](f4[:,:,::1], i8)")
def features(raw: F32, fields: int) -> F32:
    """What the small network is asked with, (h, w, c), from the backbone's (c, h, w).

    The first ``fields`` channels are squeezed into -4 to 4, the others are as they are.
    """
    channels, rows, columns = raw.shape
    mixed = np.empty((rows, columns, channels), np.float32)
    one = np.float32(1.0)
    for c in range(channels):
        for y in range(rows):
            for x in range(columns):
                value = raw[c, y, x]
                if c < fields:
                    value = (one / (one + np.exp(-value)) - np.float32(0.5)) * np.float32(8.0)
                mixed[y, x, c] = value
    return mixed


@compiled("f4(f4[::1], UniTuple(f4[:,::1], 3), f4[:,::1])")
def _share(asked: F32, layers: tuple[F32, F32, F32], kept: F32) -> float:
    """The network's answer, 0 to 1. ``layers[i]``: (out, in + 1), the last column is the bias.

    ``kept``: (2, width) scratch.
    """
    first, second, last = layers
    width, inputs = first.shape[0], first.shape[1] - 1
    zero, one = np.float32(0.0), np.float32(1.0)
    for i in range(width):
        value = first[i, inputs]
        for j in range(inputs):
            value += first[i, j] * asked[j]
        kept[0, i] = max(value, zero)
    for i in range(width):
        value = second[i, width]
        for j in range(width):
            value += second[i, j] * kept[0, j]
        kept[1, i] = max(value, zero)
    value = last[0, width]
    for j in range(width):
        value += last[0, j] * kept[1, j]
    return float(one / (one + np.exp(-value)))


@compiled(
    "i8(f4[:,:,::1], i4[::1], UniTuple(f4[:,::1], 3), Tuple((i8, f4, f4)),"
    "Tuple((u1[:,::1], f4[:,::1], i4[:,::1])))"
)
def _grow(
    mixed: F32,
    seed: I32,
    layers: tuple[F32, F32, F32],
    limits: tuple[int, float, float],
    window: tuple[U8, F32, I32],
) -> int:
    """Grow one seed inside its window; returns how many pixels it took.

    ``limits``: fields, least share, field per px. ``window``: (side, side) what became of each
    pixel and its share, and the pixels taken, (side * side, 2) y, x in the window.
    """
    fields, least, per_px = limits
    state, share, taken = window
    side, reach = state.shape[0], state.shape[0] // 2
    rows, columns, channels = mixed.shape
    asked, kept = np.empty(channels, np.float32), np.empty((2, layers[0].shape[0]), np.float32)
    state[:] = NOT_ASKED
    count, at, y, x = 0, -1, reach, reach
    while at < count:
        if at >= 0:
            y, x = taken[at, 0], taken[at, 1]
        at += 1
        for v in range(max(0, y - 1), min(side, y + 2)):
            for u in range(max(0, x - 1), min(side, x + 2)):
                py, px = seed[0] + v - reach, seed[1] + u - reach
                outside = py < 0 or px < 0 or py >= rows or px >= columns
                if outside or state[v, u] != NOT_ASKED:
                    continue
                for c in range(channels):
                    asked[c] = mixed[py, px, c]
                    if c < fields:
                        asked[c] -= mixed[seed[0], seed[1], c]
                asked[0] += np.float32(u - reach) * per_px
                asked[1] += np.float32(v - reach) * per_px
                share[v, u] = _share(asked, layers, kept)
                state[v, u] = REFUSED
                if share[v, u] >= least:
                    state[v, u] = TAKEN
                    taken[count, 0], taken[count, 1] = v, u
                    count += 1
    return count


@compiled("UniTuple(i8, 4)(i4[:,::1], i8, i8, UniTuple(i8, 4))")
def _around(
    taken: I32, count: int, side: int, image: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what is taken with a rim, inside the window and the image."""
    top, left, bottom, right = side, side, 0, 0
    for i in range(count):
        y, x = taken[i, 0], taken[i, 1]
        top, bottom = min(top, y), max(bottom, y + 1)
        left, right = min(left, x), max(right, x + 1)
    rim = HOLE_RIM_PX + 1
    top, left = max(0, image[0], top - rim), max(0, image[1], left - rim)
    return top, left, min(side, image[2], bottom + rim), min(side, image[3], right + rim)


@compiled("void(u1[:,::1], u1[:,::1], UniTuple(i8, 4))")
def _flood(state: U8, near: U8, box: tuple[int, int, int, int]) -> None:
    """Mark what is around a cell as ``OUTSIDE``: all of the box that is not ``near``, and what
    hangs together with it over pixels that are not taken."""
    top, left, bottom, right = box
    stack, waiting = np.empty((near.size, 2), np.int32), 0
    for y in range(top, bottom):
        for x in range(left, right):
            if not near[y - top, x - left]:
                state[y, x] = OUTSIDE
                stack[waiting, 0], stack[waiting, 1] = y, x
                waiting += 1
    while waiting:
        waiting -= 1
        y, x = stack[waiting, 0], stack[waiting, 1]
        for v in range(max(top, y - 1), min(bottom, y + 2)):
            for u in range(max(left, x - 1), min(right, x + 2)):
                if state[v, u] != TAKEN and state[v, u] != OUTSIDE:
                    state[v, u] = OUTSIDE
                    stack[waiting, 0], stack[waiting, 1] = v, u
                    waiting += 1


@compiled("i8(Tuple((u1[:,::1], f4[:,::1], i4[:,::1])), i8, f4, UniTuple(i8, 4))")
def _fill(
    window: tuple[U8, F32, I32], count: int, least: float, image: tuple[int, int, int, int]
) -> int:
    """Take the holes too, each pixel with the least share; returns how many pixels are taken now.

    ``image``: top, left, bottom and right of the image in the window's frame. A hole is what no
    way over pixels that are not taken, also diagonal ones, connects with anything further than
    ``HOLE_RIM_PX`` from the cell.
    """
    state, share, taken = window
    if not count:
        return 0
    box = _around(taken, count, state.shape[0], image)
    top, left, bottom, right = box
    near, rim = np.zeros((bottom - top, right - left), np.uint8), HOLE_RIM_PX
    for i in range(count):
        y, x = taken[i, 0] - top, taken[i, 1] - left
        near[max(0, y - rim) : y + rim + 1, max(0, x - rim) : x + rim + 1] = 1
    _flood(state, near, box)
    for y in range(top, bottom):
        for x in range(left, right):
            if state[y, x] != TAKEN and state[y, x] != OUTSIDE:
                state[y, x], share[y, x] = HOLE, least
                taken[count, 0], taken[count, 1] = y, x
                count += 1
    return count


@compiled("i8(i4[::1], i8)")
def _root(leader: I32, of: int) -> int:
    while leader[of] != of:
        of = leader[of]
    return of


@compiled("void(i4[::1], i4[::1], i4[::1], i8, f4)")
def _join(leader: I32, common: I32, area: I32, this: int, overlap: float) -> None:
    """Join a seed with each earlier one of which it has more than ``overlap`` in common."""
    for other in range(this):
        if common[other]:
            union = np.float32(area[other] + area[this] - common[other])
            if np.float32(common[other]) / union > overlap:
                first, second = _root(leader, this), _root(leader, other)
                leader[max(first, second)] = min(first, second)
            common[other] = 0


@compiled("i4[:,::1](f4[:,:,::1], i4[:,::1], UniTuple(f4[:,::1], 3), Tuple((i8, f4, f4)), i8, f4)")
def labelled(
    mixed: F32,
    seeds: I32,
    layers: tuple[F32, F32, F32],
    limits: tuple[int, float, float],
    reach: int,
    overlap: float,
) -> I32:
    """Labels (h, w), 0 is background: each pixel belongs to the seed with the greatest share in it.

    ``mixed``: from ``features``. ``seeds``: (n, 2) y, x. ``layers``: of ``_share``. ``limits``:
    how many channels are fields, least share, what a px adds to the fields. A seed takes pixels
    from ``reach`` px before it to ``reach - 1`` behind it. Seeds whose pixels overlap (intersection
    over union) by more than ``overlap`` are one cell, with the number of the first.
    """
    rows, columns, _ = mixed.shape
    number, side = len(seeds), 2 * reach
    state, share = np.empty((side, side), np.uint8), np.empty((side, side), np.float32)
    window = (state, share, np.empty((side * side, 2), np.int32))
    owner, best = np.full((rows, columns), -1, np.int32), np.zeros((rows, columns), np.float32)
    # Who takes a pixel, as a list through all that was taken: newest[y, x], then before[...].
    newest = np.full((rows, columns), -1, np.int32)
    before, taker = np.empty(256 * (number + 1), np.int32), np.empty(256 * (number + 1), np.int32)
    leader, area = np.arange(number).astype(np.int32), np.zeros(number, np.int32)
    common, total = np.zeros(number, np.int32), 0
    for i in range(number):
        corner = (reach - seeds[i, 0], reach - seeds[i, 1])
        image = (corner[0], corner[1], corner[0] + rows, corner[1] + columns)
        count = _grow(mixed, seeds[i], layers, limits, window)
        count = _fill(window, count, limits[1], image)
        area[i] = count
        while total + count > len(before):
            before, taker = np.append(before, before), np.append(taker, taker)
        for k in range(count):
            v, u = window[2][k, 0], window[2][k, 1]
            y, x = seeds[i, 0] + v - reach, seeds[i, 1] + u - reach
            if share[v, u] > best[y, x]:
                owner[y, x], best[y, x] = i, share[v, u]
            entry = newest[y, x]
            while entry >= 0:
                common[taker[entry]] += 1
                entry = before[entry]
            before[total], taker[total], newest[y, x] = newest[y, x], i, total
            total += 1
        _join(leader, common, area, i, overlap)
    labels = np.zeros((rows, columns), np.int32)
    for y in range(rows):
        for x in range(columns):
            if owner[y, x] >= 0:
                labels[y, x] = _root(leader, owner[y, x]) + 1
    return labels


@compiled("i4[:,::1](i4[:,::1], i8)")
def without_small(labels: I32, least: int) -> I32:
    """Labels of at least so many pixels, numbered anew 1 to n in the order they had."""
    highest = labels.max() if labels.size else 0
    area, name = np.zeros(highest + 1, np.int64), np.zeros(highest + 1, np.int32)
    for value in labels.flat:
        area[value] += 1
    count = 0
    for old in range(1, highest + 1):
        if area[old] and area[old] >= least:
            count += 1
            name[old] = count
    kept = np.empty_like(labels)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            kept[y, x] = name[labels[y, x]]
    return kept
