"""How much like a nucleus a region is: a score from its shape and how it stands out.

The score estimates the intersection over union with the nucleus nearest to it, from ten measures,
each by a parabola. The coefficients were fitted by ``scripts/fit_classical.py`` to every second
image of TNBC (Naylor et al. 2018, CC BY 4.0). The measures are relative to slide and surroundings,
since what depends on colour itself does not carry over to slides of other laboratories.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from raysched.imaging.measure import Moments

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

UNIT = 170
"""Whole numbers per unit of scaled haematoxylin, which so reaches 1.5 in 8 bits."""
MEASURES = (
    "log of the area, um2",
    "area over that of the ellipse with the same second moments",
    "log of that ellipse's short axis, um",
    "log of its long axis over the short",
    "rim over that of a square of the same area",
    "share of holes",
    "haematoxylin above that 1.5 um outside the rim",
    "fall of haematoxylin over the rim, per px",
    "haematoxylin above the mean around",
    "standard deviation of haematoxylin",
)
MIDDLE = np.array([2.6063, 0.7812, 1.2071, 0.7058, 1.7487, 0.0088, 0.3169, 0.1485, 0.2834, 0.0955])
SPREAD = np.array([0.7767, 0.1575, 0.4651, 0.4426, 0.5535, 0.0292, 0.164, 0.0651, 0.1834, 0.0533])
"""Mean and standard deviation of each measure over all regions of the annotated images."""
LINEAR = np.array(
    [0.39477, 0.03233, -0.32818, -0.19897, 0.01229, 0.01489, 0.07853, 0.02403, 0.05896, -0.01301]
)
SQUARE = np.array(
    [-0.02942, 0.03209, -0.002, -0.00546, -0.01027, -0.00026, 0.00431, -0.00821, -0.03282, 0.00081]
)
CONSTANT = 0.38398
FARTHEST = 4.0
"""Measures count as at most so many spreads from their middle: a parabola says nothing there."""


def measures(facts: I64, rims: I64, mpp: float) -> F64:
    """``MEASURES`` (n, 10) of regions, from those of ``kernels.tree`` and ``kernels.rims``."""
    from raysched.imaging.kernels import rims as rim
    from raysched.imaging.kernels import tree

    shape = Moments.of_sums(rims[:, : rim.CRACKS].astype(np.float64))
    short, long = shape.axes
    area, full = facts[:, tree.AREA].astype(np.float64), shape.area
    seen = np.maximum(rims[:, rim.SEEN], 1) * UNIT
    amount = facts[:, tree.AMOUNT] / area
    variance = np.maximum(facts[:, tree.SQUARES] / area - amount**2, 0.0)
    columns = (
        np.log(full * mpp**2),
        shape.ellipse_fill,
        np.log(short * mpp),
        np.log(long / short),
        rims[:, rim.CRACKS] / (4 * np.sqrt(full)),
        1.0 - area / full,
        amount / UNIT - rims[:, rim.FAR] / seen,
        rims[:, rim.FALL] / seen,
        (amount - facts[:, tree.AROUND] / area) / UNIT,
        np.sqrt(variance) / UNIT,
    )
    return np.stack(columns, axis=1)


def standardised(found: F64, middle: F64, spread: F64) -> F64:
    """Measures in spreads from their middle, cut."""
    return np.asarray(np.clip((found - middle) / spread, -FARTHEST, FARTHEST), np.float64)


def likeness(found: F64) -> F64:
    """The score of regions with these measures (n, 10): (n,), about 0 to 1."""
    score = np.full(len(found), CONSTANT)
    # Column by column: the sum of a matrix product would depend on how many rows there are.
    for column, a, b in zip(standardised(found, MIDDLE, SPREAD).T, LINEAR, SQUARE, strict=True):
        score += column * (a + b * column)
    return score
