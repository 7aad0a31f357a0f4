"""The slides S, M and L: the real sample laid out again and again, each copy the mirror image of
its neighbours, so that tissue goes on across copies and its own glass lies between.

Made where they are not there yet and kept from run to run; never committed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile

from raysched.imaging.samples import SAMPLE_NAME
from raysched.imaging.slide import open_slide

COPIES = {"S": (4, 2), "M": (8, 4), "L": (20, 12)}
"""Copies across and down."""
STRIP_PX = 1024
TILE_PX = 256
STEP = 4
SMALLEST_PX = 256
JPEG_QUALITY = 75
MPP = 0.5


def bench_folder() -> Path:
    """Where what benchmarks make is kept from run to run, outside the repository."""
    folder = Path(os.environ.get("RAYSCHED_BENCH", Path(tempfile.gettempdir()) / "raysched-bench"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def bench_slide(name: str) -> Path:
    """The path of slide S, M or L; makes it (M takes 5 s, L half a minute)."""
    path = bench_folder() / f"{name}.tif"
    if not path.exists():
        draft = path.with_suffix(".part")
        _write(draft, _sample(), COPIES[name])
        draft.replace(path)
    return path


def _sample() -> np.ndarray:
    path = Path(os.environ.get("RAYSCHED_SAMPLES", "../shared/data")) / SAMPLE_NAME
    with open_slide(path) as slide:
        return slide.read_level(0, 0, 0, slide.width, slide.height)


def _write(path: Path, sample: np.ndarray, copies: tuple[int, int]) -> None:
    across, down = copies
    height, width = sample.shape[0] * down, sample.shape[1] * across
    reduced: list[np.ndarray] = []
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        _level(tiff, (height, width), MPP, _watched(_strips(sample, across, height), reduced))
        per_px = MPP
        level = np.concatenate(reduced)
        while max(level.shape) > SMALLEST_PX:
            per_px *= STEP
            _level(tiff, level.shape[:2], per_px, _cut(level))
            level = _smaller(level)


def _strips(sample: np.ndarray, across: int, height: int) -> Iterator[np.ndarray]:
    """Rows of the large image, a strip at a time: mirrored across, then down."""
    both = np.concatenate([sample, sample[:, ::-1]], axis=1)
    wide = np.tile(both, (1, across // 2, 1))
    rows = sample.shape[0]
    for top in range(0, height, STRIP_PX):
        at = np.arange(top, min(top + STRIP_PX, height)) % (2 * rows)
        yield wide[np.where(at < rows, at, 2 * rows - 1 - at)]


def _watched(strips: Iterator[np.ndarray], reduced: list[np.ndarray]) -> Iterator[np.ndarray]:
    for strip in strips:
        reduced.append(_smaller(strip))
        yield strip


def _smaller(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[0] // STEP, pixels.shape[1] // STEP
    whole = np.ascontiguousarray(pixels[: height * STEP, : width * STEP])
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def _cut(level: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, level.shape[0], STRIP_PX):
        yield level[top : top + STRIP_PX]


def _level(
    tiff: tifffile.TiffWriter, size: tuple[int, int], mpp: float, strips: Iterator[np.ndarray]
) -> None:
    tiff.write(
        (tile for strip in strips for tile in _tiles(strip)),
        shape=(*size, 3),
        dtype="uint8",
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        subsampling=(2, 2),
        compression="jpeg",
        compressionargs={"level": JPEG_QUALITY},
        subfiletype=0 if mpp == MPP else 1,
        resolution=(10_000 / mpp, 10_000 / mpp),
        resolutionunit="CENTIMETER",
        metadata=None,
        maxworkers=1,
    )


def _tiles(strip: np.ndarray) -> Iterator[np.ndarray]:
    more = ((0, -strip.shape[0] % TILE_PX), (0, -strip.shape[1] % TILE_PX), (0, 0))
    padded = np.pad(strip, more, mode="edge")
    for top in range(0, padded.shape[0], TILE_PX):
        for left in range(0, padded.shape[1], TILE_PX):
            yield np.ascontiguousarray(padded[top : top + TILE_PX, left : left + TILE_PX])
