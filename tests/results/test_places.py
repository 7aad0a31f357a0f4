"""Cells are published where they lie, in level-0 px, whatever the slide is like."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
import tifffile
import zarr
from PIL import Image

from raysched.imaging.request import SegmentationRequest
from raysched.imaging.slide import open_slide
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.results.exports.export import Export
from raysched.results.exports.formats import Format
from raysched.results.manifest import read_manifest
from tests.results.conftest import Attempt

TILE_PX = 256
LEFT, TOP, WIDTH, HEIGHT = 3 * TILE_PX, 2 * TILE_PX, 2000, 1500
"""Where tissue begins on glass that has no pixels, and how large that slide is."""


@dataclass(frozen=True)
class Drawn:
    """A slide, and the centres of its nuclei: (n, 2) x, y in level-0 px."""

    path: Path
    mpp: float
    centres: np.ndarray


@dataclass(frozen=True)
class Published:
    """What a reader of the results finds, all in level-0 px."""

    outlines: np.ndarray
    centroids: np.ndarray
    labelled: list[int]
    detections: list[Any]
    frame: tuple[int, int, float]
    bounds: tuple[int, int]


def draw(path: Path, mpp: float, **options: Any) -> Drawn:
    return Drawn(path, mpp, write_synthetic_slide(path, mpp=mpp, **options).centres_l0_px)


def publish(slide: Path, tile_px: int) -> Published:
    """All four stages, then each kind of result read back with a tool of its own."""
    out = slide.parent / "out"
    Attempt(
        SegmentationRequest(slide=str(slide), out=str(out), tile_px=tile_px, chunk_tiles=3)
    ).run()
    manifest = read_manifest(out)
    assert manifest is not None
    cells = geopandas.read_parquet(out / "cells")
    assert cells["id"].tolist() == list(range(1, len(cells) + 1))
    centroids = cells[["centroid_x_px", "centroid_y_px"]].to_numpy()
    labels = zarr.open_group(out / "labels.zarr", mode="r")
    column, row = (centroids // labels.attrs["raysched"]["l0_per_px"]).astype(int).T
    buffer = io.BytesIO()
    Export(out, Format.GEOJSON).stream(buffer)
    return Published(
        outlines=cells.geometry.to_numpy(),
        centroids=centroids,
        labelled=labels["0"][:][row, column].tolist(),
        detections=json.loads(buffer.getvalue())["features"],
        frame=(manifest.grid.level, manifest.grid.box, round(manifest.grid.scale, 3)),
        bounds=(manifest.slide.bounds_x, manifest.slide.bounds_y),
    )


def misplaced(drawn: Drawn, found: Published) -> dict[str, list[Any]]:
    """Nuclei that are not in exactly one outline, and outlines that do not hold exactly one."""
    points = shapely.points(drawn.centres)
    # What the border of the slide cuts in half has its centre on that border.
    pairs = shapely.STRtree(found.outlines).query(points, "dwithin", distance=0.6 / drawn.mpp)
    wrong = {}
    for name, members, places in (
        ("nuclei", pairs[0], drawn.centres),
        ("cells", pairs[1], found.centroids),
    ):
        wrong[name] = places[np.bincount(members, minlength=len(places)) != 1].tolist()
    return wrong


def shifts_um(drawn: Drawn, found: Published, size: tuple[int, int]) -> np.ndarray:
    """From the true to the published centre of each whole nucleus: (n, 2) x, y in um."""
    away = np.minimum(drawn.centres, np.array(size) - drawn.centres).min(axis=1) * drawn.mpp
    centres = drawn.centres[away > 6.0]
    distance = np.hypot(*(centres[:, None] - found.centroids[None]).transpose(2, 0, 1))
    return (found.centroids[distance.argmin(axis=1)] - centres) * drawn.mpp


def check(drawn: Drawn, tile_px: int) -> Published:
    """Nothing lost, doubled or made up at any seam, nothing shifted, and all results agree."""
    found = publish(drawn.path, tile_px)
    with open_slide(drawn.path) as slide:
        size = slide.width, slide.height
    assert misplaced(drawn, found) == {"nuclei": [], "cells": []}
    shifts = shifts_um(drawn, found, size)
    assert np.abs(shifts).max() < 0.6
    assert np.abs(shifts.mean(axis=0)).max() < 0.05, "a tenth of a working px"
    assert found.labelled == list(range(1, len(found.outlines) + 1))
    for outline, feature in zip(found.outlines, found.detections, strict=True):
        shown = np.array(feature["geometry"]["coordinates"][0]) + found.bounds
        np.testing.assert_allclose(shown, outline.exterior.coords, rtol=0, atol=0.0051)
    return found


RAGGED = {"width_px": 803, "height_px": 611}
FOUR_TIMES = {"width_px": 2403, "height_px": 1810}
SLIDES: dict[str, tuple[dict[str, Any], tuple[int, int, float]]] = {
    "half a um per px": ({**RAGGED, "mpp": 0.5}, (0, 1, 1.0)),
    "a quarter, JPEG": (
        {"width_px": 1607, "height_px": 1223, "mpp": 0.25, "jpeg_quality": 85},
        (0, 2, 1.0),
    ),
    "a size between": ({**RAGGED, "mpp": 0.37}, (0, 1, 1.351)),
    "from the second level, which lacks the last px": ({**FOUR_TIMES, "mpp": 0.125}, (1, 1, 1.0)),
    "levels missing": ({**FOUR_TIMES, "mpp": 0.125, "levels": False}, (0, 4, 1.0)),
    "nuclei over all borders": (
        {**RAGGED, "mpp": 0.5, "tissue": "full", "edge_nuclei": True},
        (0, 1, 1.0),
    ),
}


@pytest.mark.parametrize(("options", "frame"), SLIDES.values(), ids=SLIDES.keys())
def test_every_nucleus_is_published_once_and_in_its_place(
    tmp_path: Path, options: dict[str, Any], frame: tuple[int, int, float]
) -> None:
    found = check(draw(tmp_path / "slide.tif", **options), tile_px=192)
    assert (found.frame, found.bounds) == (frame, (0, 0))


def test_a_slide_smaller_than_a_tile_is_published_like_any_other(tmp_path: Path) -> None:
    drawn = draw(tmp_path / "slide.tif", 0.5, width_px=157, height_px=101, tissue="full")
    assert len(check(drawn, tile_px=1024).outlines) == 9


def tissue(folder: Path) -> tuple[Drawn, np.ndarray]:
    """Tissue with glass around it, alone, and its pixels."""
    drawn = draw(folder / "tissue.tif", 0.5, **RAGGED)
    with open_slide(drawn.path) as slide:
        return drawn, slide.read_level(0, 0, 0, slide.width, slide.height)


def tiff(path: Path, tissue: Drawn, pixels: Any, **options: Any) -> Drawn:
    """That tissue at (LEFT, TOP) of a larger slide."""
    tifffile.imwrite(
        path,
        pixels,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
        metadata=None,
        **options,
    )
    return Drawn(path, tissue.mpp, tissue.centres + np.array([LEFT, TOP]))


def tiles_of_tissue(pixels: np.ndarray, kind: str) -> Iterator[bytes]:
    """Encoded tiles of the larger slide; none where there is no tissue, as scanners do."""
    full = np.full((HEIGHT + TILE_PX, WIDTH + TILE_PX, 3), 255, np.uint8)
    full[TOP : TOP + pixels.shape[0], LEFT : LEFT + pixels.shape[1]] = pixels
    for y in range(0, HEIGHT, TILE_PX):
        for x in range(0, WIDTH, TILE_PX):
            tile = full[y : y + TILE_PX, x : x + TILE_PX]
            if tile.min() == 255:
                yield b""
            elif kind == "jpeg":
                target = io.BytesIO()
                Image.fromarray(tile).save(target, "JPEG", quality=90, subsampling="4:2:0")
                yield target.getvalue()
            else:
                yield zlib.compress(tile.tobytes())


@pytest.mark.parametrize("kind", ["adobe_deflate", "jpeg"])
def test_where_the_slide_s_bounds_begin_moves_no_cell(tmp_path: Path, kind: str) -> None:
    """And what a scanner left out is transparent, hence glass."""
    alone, pixels = tissue(tmp_path)
    tiles = tiles_of_tissue(pixels, kind)
    shape = {"shape": (HEIGHT, WIDTH, 3), "dtype": "uint8", "compression": kind}
    found = check(tiff(tmp_path / "slide.tif", alone, tiles, **shape), tile_px=192)
    assert found.bounds == (LEFT, TOP)


@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha"])
def test_what_lies_beneath_a_transparent_background_is_not_seen(tmp_path: Path, alpha: str) -> None:
    alone, pixels = tissue(tmp_path)
    height, width, _ = pixels.shape
    around = ((TOP, HEIGHT - TOP - height), (LEFT, WIDTH - LEFT - width))
    rgb = np.pad(pixels, (*around, (0, 0)), mode="wrap")
    opaque = np.pad(np.full((height, width, 1), 255, np.uint8), (*around, (0, 0)))
    options = {"extrasamples": [alpha], "compression": "adobe_deflate"}
    rgba = np.concatenate([rgb, opaque], axis=2)
    check(tiff(tmp_path / "slide.tif", alone, rgba, **options), tile_px=192)
