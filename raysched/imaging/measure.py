"""Numbers of each labelled cell, by bounding box and by sums over runs; no scan per label."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Moments:
    """Per label 1..n: area in px, centroid and central second moments in px, all (n,) float64."""

    area: F64
    x: F64
    y: F64
    xx: F64
    yy: F64
    xy: F64

    @staticmethod
    def of_sums(sums: F64) -> Moments:
        """From the sums of 1, x, y, x * x, y * y, x * y over the pixels of each label: (n, 6)."""
        area, x, y, xx, yy, xy = sums.T
        safe = np.maximum(area, 1.0)
        x, y = x / safe, y / safe
        return Moments(area, x, y, xx / safe - x * x, yy / safe - y * y, xy / safe - x * y)

    @property
    def axes(self) -> tuple[F64, F64]:
        """Short and long axis, px, of the ellipse with the same second moments.

        Each pixel is a unit square and adds its own second moment of 1/12; scikit-image's
        regionprops takes it for a point.
        """
        xx, yy = self.xx + 1 / 12, self.yy + 1 / 12
        spread = np.sqrt(((xx - yy) / 2) ** 2 + self.xy**2)
        middle = (xx + yy) / 2
        return 4 * np.sqrt(np.maximum(middle - spread, 0.0)), 4 * np.sqrt(middle + spread)

    @property
    def eccentricity(self) -> F32:
        """Of the ellipse with the same second moments: 0 is a circle, towards 1 a line."""
        short, long = self.axes
        return np.sqrt(1.0 - (short / long) ** 2).astype(np.float32)

    @property
    def ellipse_fill(self) -> F64:
        """Area over that of the ellipse with the same second moments: 1 for an ellipse."""
        short, long = self.axes
        return self.area / np.maximum(np.pi / 4 * short * long, 1e-9)


def moments(runs: I32, owner: I32, count: int) -> Moments:
    """Moments from mask runs (r, 3) of (y, x0, x1) with labels ``owner`` (r,) in 1..count.

    Sums of x and x^2 over a run have closed forms, so the work is per run, not per pixel. They are
    taken from a pixel of the label itself, where they are small and exact: the same mask in another
    place has the same second moments to the last bit, and its centroid does not depend on the tile.
    """
    origin = np.zeros((count + 1, 3), np.int32)
    origin[owner[::-1]] = runs[::-1, [0, 1, 1]]  # of the label's first run, which is written last
    y, x0, x1 = (runs - origin[owner]).astype(np.float64).T
    n = x1 - x0
    sum_x = (x0 + x1 - 1) * n / 2
    sum_xx = _squares(x1) - _squares(x0)

    def total(weights: F64) -> F64:
        return np.asarray(np.bincount(owner, weights, count + 1)[1:], np.float64)

    parts = (n, sum_x, y * n, sum_xx, y * y * n, y * sum_x)
    local = Moments.of_sums(np.stack([total(part) for part in parts], axis=1))
    return replace(local, x=local.x + origin[1:, 1], y=local.y + origin[1:, 0])


def _squares(stop: F64) -> F64:
    """0^2 + 1^2 + ... + (stop - 1)^2."""
    return (stop - 1) * stop * (2 * stop - 1) / 6


def means(image: F32, runs: I32, owner: I32, area: F64) -> F32:
    """Mean of an image over each label 1..n, given by its runs and its area: (n,) float32."""
    from raysched.imaging.kernels import runs as kernel

    total = kernel.sums(image, runs, owner, len(area))
    return (total / np.maximum(area, 1.0)).astype(np.float32)


def ring_lengths(ring_xy: F64, ring_at: I32) -> F64:
    """Lengths of closed rings, px; ring i is ``ring_xy[ring_at[i]:ring_at[i + 1]]``."""
    steps = np.hypot(*np.diff(ring_xy, axis=0, append=0.0).T)
    return _per_ring(steps, ring_at)


def ring_areas(ring_xy: F64, ring_at: I32) -> F64:
    """Areas inside closed rings, px^2 (shoelace formula)."""
    x, y = ring_xy.T
    twice = x * np.roll(y, -1) - np.roll(x, -1) * y
    return np.abs(_per_ring(twice, ring_at)) / 2


def hull_areas(ring_xy: F64, ring_at: I32) -> F64:
    """Areas of the convex hulls of closed rings, px^2."""
    from raysched.imaging.kernels import trace

    return trace.hull_areas(ring_xy, ring_at)


def _per_ring(steps: F64, ring_at: I32) -> F64:
    """Sums of what belongs to each step of each ring; a ring's last point begins none."""
    steps = steps.copy()
    steps[ring_at[1:] - 1] = 0.0
    return np.add.reduceat(steps, ring_at[:-1]) if len(steps) else np.zeros(len(ring_at) - 1)
