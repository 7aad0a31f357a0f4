"""How well found nuclei agree with annotated ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raysched.imaging.classical import ClassicalEngine
from raysched.imaging.engine import Overview
from raysched.imaging.frames import box_mean

MPP = 0.5


@dataclass
class Score:
    """Counts over images. A pair matches when its intersection over union passes 1/2: it is the
    only partner of both then (Kirillov et al. 2019, Panoptic Segmentation)."""

    matched: int = 0
    found: int = 0
    wanted: int = 0

    @property
    def f1(self) -> float:
        return 2 * self.matched / max(1, self.found + self.wanted)

    def add(self, found: np.ndarray, wanted: np.ndarray) -> None:
        pairs, overlap = np.unique(
            np.stack([found.ravel(), wanted.ravel()]), axis=1, return_counts=True
        )
        inner = (pairs > 0).all(axis=0)
        of_found, of_wanted = np.bincount(found.ravel()), np.bincount(wanted.ravel())
        union = of_found[pairs[0]] + of_wanted[pairs[1]] - overlap
        self.matched += int((inner & (2 * overlap > union)).sum())
        self.found += int((of_found[1:] > 0).sum())
        self.wanted += int((of_wanted[1:] > 0).sum())


def prepared(rgb: np.ndarray) -> dict[str, Any]:
    """What the engine knows of an image at 0.5 um/px that is all tissue."""
    pixels = rgb.reshape(-1, 3)
    tissue = pixels[pixels.min(axis=1) < 225]
    overview = Overview(rgb, np.ones(rgb.shape[:2], bool), MPP, tissue)
    return ClassicalEngine().prepare(overview, MPP, ClassicalEngine.Params())


def segment(rgb: np.ndarray) -> np.ndarray:
    """Labels of the engine ``classical`` for an image at 0.5 um/px that is all tissue."""
    engine = ClassicalEngine()
    return engine.segment(rgb, MPP, prepared(rgb), engine.Params())


def annotated(folder: Path, every: int, first: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every n-th annotated image of a folder at 0.5 um/px, and its labels at 0.25 um/px."""
    for path in sorted((folder / "images").glob("*.png"))[first::every]:
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
        with Image.open(folder / "labels" / path.name) as image:
            yield box_mean(rgb, 2), np.asarray(image).astype(np.int64)


def score_of(folder: Path, every: int, first: int = 0) -> Score:
    """The engine on every n-th annotated image of a folder."""
    score = Score()
    for rgb, wanted in annotated(folder, every, first):
        found = segment(rgb).astype(np.int64)
        # Labels at the annotated resolution, so that the truth is not thinned.
        score.add(found.repeat(2, axis=0).repeat(2, axis=1), wanted)
    return score
