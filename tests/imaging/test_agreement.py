"""The engine ``classical`` against its plain reference."""

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
from raysched.imaging.planning import make_plan
from raysched.imaging.rehearsal import rehearse
from raysched.imaging.slide import open_slide

ENGINE = ClassicalEngine()
PARAMS = ClassicalEngine.Params()


@pytest.mark.slow
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
        plan, *_ = make_plan(slide, request(sample_slide))
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


def test_a_rehearsal_finds_the_one_disk_that_it_draws() -> None:
    assert rehearse(ENGINE) == 1
