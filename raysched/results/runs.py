"""Arithmetic on masks that are held as horizontal runs, for many cells at once.

``runs`` is (k, 3) int32: y, x0, x1, half-open, sorted by (y, x0) within a cell; cell ``i`` has
``runs[at[i]:at[i + 1]]`` and at least one run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]


def spans(starts: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer]) -> I64:
    """All integers of ``[start, start + length)``, span after span: (sum of lengths,)."""
    lengths = np.asarray(lengths, np.int64)
    before = np.cumsum(lengths) - lengths
    return np.repeat(np.asarray(starts, np.int64) - before, lengths) + np.arange(lengths.sum())


def boxes(runs: I32, at: I32) -> I32:
    """Bounding box x0, y0, x1, y1 (half-open) of each cell: (n, 4)."""
    if len(at) < 2:
        return np.zeros((0, 4), np.int32)
    first = at[:-1]
    return np.stack(
        [
            np.minimum.reduceat(runs[:, 1], first),
            runs[first, 0],
            np.maximum.reduceat(runs[:, 2], first),
            runs[at[1:] - 1, 0] + 1,
        ],
        axis=1,
    ).astype(np.int32)


def take(runs: I32, at: I32, cells: npt.NDArray[np.integer]) -> tuple[I32, I32]:
    """The runs of some cells, in the order given, and where each begins."""
    lengths = (at[1:] - at[:-1])[cells]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return runs[spans(at[:-1][cells], lengths)], ends


def shared_px(runs: I32, at: I32, left: I64, right: I64) -> I64:
    """Pixels that cell ``left[k]`` and cell ``right[k]`` have in common: (pairs,)."""
    a, a_at = take(runs, at, left)
    b, b_at = take(runs, at, right)
    pair_a = np.repeat(np.arange(len(left)), np.diff(a_at))
    pair_b = np.repeat(np.arange(len(right)), np.diff(b_at))
    rows = int(runs[:, 0].max(initial=0)) + 1
    row_a, row_b = pair_a * rows + a[:, 0], pair_b * rows + b[:, 0]
    low = np.searchsorted(row_b, row_a, "left")
    meets = np.searchsorted(row_b, row_a, "right") - low
    i = np.repeat(np.arange(len(a)), meets)
    j = spans(low, meets)
    common = np.minimum(a[i, 2], b[j, 2]) - np.maximum(a[i, 1], b[j, 1])
    weights = np.maximum(common, 0)
    return np.bincount(pair_a[i], weights, len(left)).astype(np.int64)
