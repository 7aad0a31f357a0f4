"""Engine ``instanseg``: its cells are the reference's, in batches as alone; bad weights are named.

The model is a tiny one that each test makes; RAYSCHED_INSTANSEG_WEIGHTS names real weights.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_instanseg as tiny
from tiled import moved, reconciled, request
from tiny_instanseg import f1, found, overview, torch

from raysched.errors import EngineFailed, InvalidSetting
from raysched.imaging.asking import run_engine_on
from raysched.imaging.frames import read_working
from raysched.imaging.instanseg.cells import Facts, Thresholds, find_cells
from raysched.imaging.instanseg.engine import InstansegEngine, InstansegParams, groups
from raysched.imaging.instanseg.pixels import normalised, percentiles, tissue
from raysched.imaging.planning import make_plan
from raysched.imaging.slide import open_slide
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.testing.engines import check_engine

SIDE = 320
Rgb = npt.NDArray[np.uint8]


# --- the same cells as the reference --------------------------------------------------------------


def reference(path: Path, rgb: Rgb, **more: Any) -> npt.NDArray[np.int32]:
    """What the model's own forward pass finds in the pixels that the engine shows it."""
    pixels = normalised(rgb, percentiles(rgb[::2, ::2].reshape(-1, 3)))
    return tiny.stock_labels(path, pixels, **more)


@pytest.mark.parametrize("seed", [1, 2])
def test_cells_are_those_of_the_model_s_own_forward_pass(
    engine: InstansegEngine, weights: Path, seed: int
) -> None:
    rgb = tissue(seed, SIDE)
    mine, theirs = found(engine, rgb, weights=str(weights)), reference(weights, rgb)
    assert len(np.unique(theirs)) > 20
    assert f1(mine, theirs, 0.9) == 1.0
    assert ((mine > 0) == (theirs > 0)).mean() > 0.9995


def test_cells_instead_of_nuclei(engine: InstansegEngine, both_kinds: Path) -> None:
    rgb = tissue(1, SIDE)
    nuclei, cells = (
        found(engine, rgb, weights=str(both_kinds), target=target) for target in ("nuclei", "cells")
    )
    theirs = reference(both_kinds, rgb, target_segmentation=torch.tensor([0, 1]))
    assert f1(cells, theirs, 0.9) == 1.0
    assert (cells > 0).sum() > 1.1 * (nuclei > 0).sum() > 0


def test_a_model_that_tells_the_foreground_apart(engine: InstansegEngine, folder: Path) -> None:
    path = tiny.write_model(folder / "two-seeds.pt", dim_seeds=2)
    rgb = tissue(1, SIDE)
    for threshold in (0.5, 0.9):
        mine = found(engine, rgb, weights=str(path), fg_threshold=threshold)
        assert f1(mine, reference(path, rgb, fg_threshold=threshold), 0.9) == 1.0
    assert len(np.unique(mine)) > 10


class Stored(torch.nn.Module):
    """A backbone that says what it was given, whatever it sees."""

    def __init__(self, raw: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("raw", torch.from_numpy(raw[None]))
        self.pixel_classifier = tiny.classifier()

    def forward(self, x: Any) -> Any:
        return self.raw + 0.0 * x.mean()


ROUGH_PX = 256


def rough_output(rng: np.random.Generator, roughness: float) -> npt.NDArray[np.float32]:
    """Smooth noise as the backbone's five channels: seeds that overlap, holes, ragged edges."""
    import cv2

    noise = rng.normal(0, 1, (5, ROUGH_PX, ROUGH_PX)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(each, (0, 0), roughness) for each in noise])
    smooth /= smooth.std(axis=(1, 2), keepdims=True)
    smooth *= np.array([1.0, 1.0, 3.0, 3.0, 6.0], np.float32)[:, None, None]
    return smooth + np.array([0, 0, -0.5, -0.5, 0], np.float32)[:, None, None]


@pytest.mark.parametrize(("roughness", "overlapping"), [(1.5, 0.3), (2.5, 0.05), (4.0, 0.8)])
def test_any_output_of_a_backbone_gives_the_cells_that_the_reference_gives(
    roughness: float, overlapping: float
) -> None:
    rng = np.random.default_rng(int(10 * roughness))
    raw = rough_output(rng, roughness)
    mine, theirs = of_output(raw, overlapping)
    inner = np.s_[64:-64, 64:-64]  # nearer to an edge the reference moves its windows inward
    assert len(np.unique(theirs[inner])) > 10
    assert f1(mine[inner], theirs[inner], 0.9) > 0.97
    assert ((mine > 0) == (theirs > 0))[inner].mean() > 0.995


def of_output(
    raw: npt.NDArray[np.float32], overlapping: float = 0.3
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The cells in a backbone's output, by this engine and by the reference."""
    backbone = Stored(raw)
    module = tiny.stock_module(backbone)
    module.fcn = backbone
    pixels = np.zeros((3, *raw.shape[1:]), np.float32)
    theirs = tiny.answered(module, pixels, overlap_threshold=overlapping)
    layers = [each.detach().numpy() for each in backbone.pixel_classifier.parameters()]
    facts = Facts(2, 2, 1, both=False, layers=layers_of(layers))
    thresholds = Thresholds(overlap=overlapping, least_px=0)
    return find_cells(raw, facts, "nuclei", thresholds), theirs


def test_small_holes_are_filled_large_ones_and_fragments_are_not_the_cell_s() -> None:
    y, x = np.indices((128, 128))
    inside = (np.hypot(y - 64, x - 40) < 13) | (np.hypot(y - 64, x - 92) < 14)
    small, leaking, large = np.s_[63:66, 47:50], np.s_[74:77, 38:40], np.s_[60:69, 90:99]
    fragment = np.s_[40:43, 38:41]
    for hole in (small, leaking, large):
        inside[hole] = False
    inside[77, 40] = False  # beside a corner of the hole: a way out over diagonals
    inside[fragment] = True
    raw = np.zeros((5, 128, 128), np.float32)
    raw[2:4], raw[4] = np.where(inside, 3.0, -4.0), -8.0
    raw[4, 64, [38, 82]] = 9.0
    mine, theirs = of_output(raw)
    assert np.array_equal(mine, theirs)
    assert [mine[64, 38], mine[64, 82]] == [1, 2]
    assert (mine[small] == 1).all()
    assert not mine[large].any() and not mine[leaking].any() and not mine[fragment].any()


def layers_of(parameters: list[Any]) -> tuple[tuple[tuple[float, ...], ...], ...]:
    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    return tuple(
        tuple(tuple(row) for row in np.column_stack([weight, bias]).tolist())
        for weight, bias in pairs
    )


def test_small_cells_are_left_out_by_area(engine: InstansegEngine, weights: Path) -> None:
    rgb = tissue(1, SIDE)
    least_px = 120
    found_all = found(engine, rgb, weights=str(weights))
    large = found(engine, rgb, weights=str(weights), min_area_um2=least_px * 0.25)
    areas = np.bincount(found_all.ravel())[1:]
    assert 0 < large.max() == (areas >= least_px).sum() < len(areas)
    assert np.bincount(large.ravel())[1:].min() >= least_px


# --- batches, tiles, the contract -----------------------------------------------------------------


@pytest.mark.parametrize("kinds", ["nuclei", "cells"])
def test_it_keeps_the_contract(
    engine: InstansegEngine, weights: Path, both_kinds: Path, kinds: str
) -> None:
    path = weights if kinds == "nuclei" else both_kinds
    check_engine(engine, {"weights": str(path), "target": kinds})


def test_a_batch_of_any_sizes_has_the_answers_of_each_tile_alone_in_order(
    engine: InstansegEngine, weights: Path
) -> None:
    whole = tissue(5, 512)
    corners = [(0, 0), (0, 96), (64, 0), (128, 160), (32, 32), (160, 128), (96, 96)]
    sizes = [(256, 256), (256, 250), (256, 256), (100, 256), (256, 256), (31, 33), (256, 256)]
    tiles = [
        np.ascontiguousarray(whole[y : y + h, x : x + w])
        for (y, x), (h, w) in zip(corners, sizes, strict=True)
    ]
    params = InstansegParams(weights=str(weights))
    context = engine.prepare(overview(whole), 0.5, params)
    together = run_engine_on(engine, tiles, 0.5, context, params)
    alone = [engine.segment(tile, 0.5, context, params) for tile in tiles]
    assert [labels.shape for labels in together] == [tile.shape[:2] for tile in tiles]
    assert all(map(np.array_equal, together, alone))
    assert len({int(labels.max()) for labels in alone}) > 3


def test_tiles_of_one_size_go_together_as_far_as_memory_allows() -> None:
    tiles = [np.zeros((h, w, 3), np.uint8) for h, w in [(64, 64), (33, 64), (40, 40), (64, 65)]]
    assert list(groups([*tiles, tiles[0]], 3 * 64 * 64)) == [[0, 1, 2], [3], [4]]
    assert list(groups(tiles[:2], 1)) == [[0], [1]]


def test_cells_depend_on_where_a_tile_begins_unless_it_is_aligned(
    engine: InstansegEngine, weights: Path
) -> None:
    """Else alignment would be for nothing, and this model no test of it."""
    whole = tissue(6, 512)
    params = InstansegParams(weights=str(weights))
    context = engine.prepare(overview(whole), 0.5, params)
    labels = engine.segment(whole, 0.5, context, params)
    inner = np.s_[128:-128, 128:-128]
    for shift, same in ((engine.align_px, True), (engine.align_px // 2, False)):
        tile = np.ascontiguousarray(whole[shift:, shift:])
        moved_on = np.zeros_like(labels)
        moved_on[shift:, shift:] = engine.segment(tile, 0.5, context, params)
        assert np.array_equal(labels[inner] > 0, moved_on[inner] > 0) == same


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    write_synthetic_slide(
        path, width_px=905, height_px=715, tissue="full", nuclei=220, gap_um=6.0, seed=5
    )
    return path


def test_every_cell_is_published_once_wherever_tiles_end(
    slide: Path, weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "user"))
    published = []
    seams = [(1024, (0, 0)), (96, (0, 0)), (160, (32, 64)), (256, (96, 224)), (512, (0, 480))]
    for tile_px, origin in seams:
        asked = request(slide, tile_px, "instanseg")
        asked = asked.model_copy(update={"params": {"weights": str(weights)}})
        with open_slide(slide) as opened:
            plan, mask, _ = make_plan(opened, asked)
            assert (plan.halo_px, plan.halo_px % 32) == (128, 0)
            cells = reconciled(opened, moved(plan, mask, origin), mask, tmp_path)
        published.append(cells)
    assert published[0].num_rows > 200
    assert [cells.equals(published[0]) for cells in published] == [True] * len(seams)


def test_tiles_that_cannot_be_aligned_are_refused_before_the_slide_is_read(
    slide: Path, weights: Path
) -> None:
    asked = request(slide, 100, "instanseg")
    asked = asked.model_copy(update={"params": {"weights": str(weights)}})
    with open_slide(slide) as opened, pytest.raises(InvalidSetting, match="multiple of 32") as no:
        make_plan(opened, asked)
    assert no.value.remedy == "Choose tile_px 96 or 128."


@pytest.mark.parametrize("target", ["nuclei", "cells"])
def test_real_weights_find_what_they_find_by_themselves(
    engine: InstansegEngine, sample_slide: Path, target: str
) -> None:
    named = os.environ.get("RAYSCHED_INSTANSEG_WEIGHTS")
    if not named:
        pytest.skip("RAYSCHED_INSTANSEG_WEIGHTS names no weights")
    with open_slide(sample_slide) as opened:
        plan, *_ = make_plan(opened, request(sample_slide))
        window = dataclasses.replace(plan.tile(0).owned, x0=704, y0=1792, x1=1216, y1=2304)
        rgb = read_working(opened, plan.grid, window)
    kinds = torch.tensor([int(target == "nuclei"), int(target == "cells")])
    try:
        mine = found(engine, rgb, weights=named, target=target)
    except EngineFailed as error:
        assert target == "cells" and "finds nuclei only" in error.message
        return
    theirs = reference(Path(named), rgb, target_segmentation=kinds)
    assert len(np.unique(theirs)) > 50
    assert f1(mine, theirs) > 0.9
