"""Numbers of each labelled cell, by bounding box and by sums over runs; no scan per label."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
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

    Sums of x and x^2 over a run have closed forms, so the work is per run, not per pixel.
    Whole-number sums are exact and independent of the order of runs.
    """
    y, x0, x1 = (runs[:, i].astype(np.float64) for i in range(3))
    n = x1 - x0
    sum_x = (x0 + x1 - 1) * n / 2
    sum_xx = _squares(x1) - _squares(x0)

    def total(weights: F64) -> F64:
        return np.asarray(np.bincount(owner, weights, count + 1)[1:], np.float64)

    area = total(n)
    safe = np.maximum(area, 1.0)
    mean_x, mean_y = total(sum_x) / safe, total(y * n) / safe
    return Moments(
        area=area,
        x=mean_x,
        y=mean_y,
        xx=total(sum_xx) / safe - mean_x**2,
        yy=total(y * y * n) / safe - mean_y**2,
        xy=total(y * sum_x) / safe - mean_x * mean_y,
    )


def _squares(stop: F64) -> F64:
    """0^2 + 1^2 + ... + (stop - 1)^2."""
    return (stop - 1) * stop * (2 * stop - 1) / 6


def means(image: F32, labels: I32, count: int) -> F32:
    """Mean of an image over each label 1..count: (n,) float32."""
    flat = labels.ravel()
    sums = np.bincount(flat, weights=image.ravel(), minlength=count + 1)[1:]
    sizes = np.bincount(flat, minlength=count + 1)[1:]
    return (sums / np.maximum(sizes, 1)).astype(np.float32)


def ring_length(ring: F64) -> float:
    """Length of a closed ring (m, 2), px."""
    return float(np.hypot(*np.diff(ring, axis=0).T).sum())


def hull_area(ring: F64) -> float:
    """Area of the convex hull of a closed ring (m, 2), px^2."""
    hull = cv2.convexHull(ring.astype(np.float32))
    return float(cv2.contourArea(hull))


def ring_area(ring: F64) -> float:
    """Area inside a closed ring (m, 2), px^2 (shoelace formula)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(abs(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2)
