"""Fits how the engine ``classical`` scores regions, to annotated nuclei; prints the coefficients.

``python scripts/fit_classical.py FOLDER`` with a folder of ``images`` and ``labels`` at 0.25 um/px,
of which it takes every second one. The result goes into ``raysched/imaging/likeness.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "imaging"))
from plain_classical import MPP, prepared

from raysched.imaging import likeness
from raysched.imaging.annotated import find_pairs, read_pair
from raysched.imaging.classical import ClassicalParams, candidates, paint
from raysched.imaging.frames import box_mean

RIDGE = 3.0
"""Added to the diagonal of the normal equations of standardised measures."""


def main(folder: Path) -> None:
    """Collect regions and their overlap, and solve for the parabolas."""
    found, overlap = [], []
    for pair in find_pairs(folder / "images", folder / "labels")[::2]:
        fine, wanted = read_pair(pair)
        rgb = box_mean(fine, 2)
        regions = candidates(rgb, MPP, prepared(rgb), ClassicalParams())
        found.append(likeness.measures(regions[0], regions[1], MPP))
        overlap.append(overlaps(regions, wanted))
    measures, target = np.concatenate(found), np.concatenate(overlap)
    middle, spread = measures.mean(axis=0).round(4), measures.std(axis=0).round(4)
    standard = likeness.standardised(measures, middle, spread)
    terms = np.concatenate([np.ones((len(standard), 1)), standard, standard**2], axis=1)
    normal = terms.T @ terms + RIDGE * np.eye(terms.shape[1])
    weights = np.linalg.solve(normal, terms.T @ target).round(5)
    fit = np.corrcoef(terms @ weights, target)[0, 1]
    print(f"# {len(target)} regions, correlation {fit:.3f}")
    count = len(likeness.MEASURES)
    for name, values in (
        ("MIDDLE", middle),
        ("SPREAD", spread),
        ("LINEAR", weights[1 : count + 1]),
        ("SQUARE", weights[count + 1 :]),
    ):
        print(f"{name} = np.array({values.tolist()})")
    print(f"CONSTANT = {weights[0]}")


def overlaps(
    regions: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], wanted: np.ndarray
) -> np.ndarray:
    """Intersection over union of each region, holes filled, with the nucleus nearest to it."""
    facts, rims, _, flood = regions
    height, width = wanted.shape[0] // 2, wanted.shape[1] // 2
    sizes = np.bincount(wanted.ravel())
    best = np.zeros(len(facts))
    for i in range(len(facts)):
        mask = paint(facts[i : i + 1], rims[i : i + 1], flood, (height, width)) > 0
        inside = wanted[mask.repeat(2, axis=0).repeat(2, axis=1)]
        shared = np.bincount(inside, minlength=len(sizes))
        shared[0] = 0
        most = shared.argmax()
        best[i] = shared[most] / (len(inside) + sizes[most] - shared[most])
    return best


main(Path(sys.argv[1]))
