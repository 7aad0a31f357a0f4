"""The engine ``classical`` against its plain reference, and the tiles of a slide against itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plain_classical
import pytest
from plain_classical import MPP, prepared
from tiled import request

from raysched.imaging.accuracy import overlap, pooled, tally
from raysched.imaging.annotated import find_pairs, read_pair
from raysched.imaging.classical import ClassicalEngine
from raysched.imaging.frames import box_mean
from raysched.imaging.geometry import Rect
from raysched.imaging.measure import moments
from raysched.imaging.outline import mask_runs
from raysched.imaging.planning import make_plan
from raysched.imaging.rehearsal import rehearse
from raysched.imaging.slide import open_slide

ENGINE = ClassicalEngine()
PARAMS = ClassicalEngine.Params()


@pytest.mark.parametrize("name", ["tnbc", "monuseg_eval"])
def test_annotated_images_give_the_nuclei_of_the_reference(samples: Path, name: str) -> None:
    folder = samples / "annotated" / name
    tallies = []
    for pair in find_pairs(folder / "images", folder / "labels")[::8]:
        rgb = box_mean(read_pair(pair)[0], 2)
        context = prepared(rgb)
        found = ENGINE.segment(rgb, MPP, context, PARAMS)
        tallies.append(tally(overlap(found, plain_classical.segment(rgb, MPP, context, PARAMS))))
    score = pooled(tallies)
    assert score.annotated > 500
    assert score.f1() >= 0.97


def region(sample_slide: Path) -> tuple[np.ndarray, dict[str, float], float]:
    """The sample's pixels, what the engine knows of the slide, um per px."""
    with open_slide(sample_slide) as slide:
        plan, _ = make_plan(slide, request(sample_slide))
        rgb = slide.read_level(0, 0, 0, slide.width, slide.height)
    return rgb, plan.context, plan.grid.mpp


def test_the_sample_gives_the_nuclei_of_the_reference(sample_slide: Path) -> None:
    rgb, context, mpp = region(sample_slide)
    rgb = rgb[1800:2500, 700:1400]
    found = ENGINE.segment(rgb, mpp, context, PARAMS)
    wanted = plain_classical.segment(rgb, mpp, context, PARAMS)
    score = tally(overlap(found, wanted))
    assert score.annotated > 100
    assert score.f1() >= 0.97


def owned_masks(labels: np.ndarray, at: Rect, owned: Rect) -> set[bytes]:
    """Runs of the cells whose centroid lies in ``owned``, in the frame of the slide."""
    runs, owner = mask_runs(labels)
    shape = moments(runs, owner, int(labels.max(initial=0)))
    x, y = shape.x + 0.5 + at.x0, shape.y + 0.5 + at.y0
    inside = (x >= owned.x0) & (x < owned.x1) & (y >= owned.y0) & (y < owned.y1)
    runs = runs + np.array([at.y0, at.x0, at.x0], np.int32)
    chosen = np.flatnonzero(inside & (shape.area > 0)) + 1
    return {runs[owner == number].tobytes() for number in chosen}


@pytest.mark.parametrize(("tile_px", "origin"), [(1024, 0), (512, 0), (387, 131), (256, 77)])
def test_every_tile_finds_exactly_the_nuclei_of_the_uncut_image(
    sample_slide: Path, tile_px: int, origin: int
) -> None:
    rgb, context, mpp = region(sample_slide)
    rgb = rgb[600:2648, 150:2198]
    extent = Rect(0, 0, rgb.shape[1], rgb.shape[0])
    whole = owned_masks(ENGINE.segment(rgb, mpp, context, PARAMS), extent, extent)
    halo = int(np.ceil(ENGINE.halo_um / mpp))
    found: list[bytes] = []
    for y in range(-origin, extent.y1, tile_px):
        for x in range(-origin, extent.x1, tile_px):
            own = Rect(x, y, x + tile_px, y + tile_px)
            read = own.grow(halo, extent)
            pixels = np.ascontiguousarray(rgb[read.y0 : read.y1, read.x0 : read.x1])
            labels = ENGINE.segment(pixels, mpp, context, PARAMS)
            found.extend(owned_masks(labels, read, own))
    assert len(whole) > 800
    assert len(found) == len(set(found))
    assert set(found) == whole


def test_a_rehearsal_finds_the_one_disk_that_it_draws() -> None:
    assert rehearse(ENGINE) == 1
