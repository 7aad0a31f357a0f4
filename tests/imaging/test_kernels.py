"""Each kernel against the same step by scikit-image, SciPy or the formula; and where it is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from plain_classical import amounts, optical_density, without_small_holes
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

import raysched
from raysched.imaging import kernels
from raysched.imaging.classical import GLASS, INK_GREEN_TO_RED, LEAST_INK, LEVELS, level_table
from raysched.imaging.classical import ClassicalEngine as Engine
from raysched.imaging.kernels import flood, holes, relief, stains
from raysched.imaging.kernels.blend import blended
from raysched.imaging.measure import Moments, moments
from raysched.imaging.outline import mask_runs

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
masks = arrays(np.bool_, sizes)
colours = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


@given(st.data())
def test_pixels_between_pixels_are_the_rounded_means_of_their_four_neighbours(
    data: st.DataObject,
) -> None:
    source = data.draw(colours)
    height, width, _ = source.shape
    columns = data.draw(arrays(np.int64, 4, elements=st.integers(0, width - 1)))
    rows = data.draw(arrays(np.int64, 3, elements=st.integers(0, height - 1)))
    right, below = (columns + 1).clip(0, width - 1), (rows + 1).clip(0, height - 1)
    u = data.draw(arrays(np.int64, 4, elements=st.integers(0, 31)))
    v = data.draw(arrays(np.int64, 3, elements=st.integers(0, 31)))
    found = blended(source, np.stack([columns, right, u]), np.stack([rows, below, v]), 32)
    fx, fy = (u / 32)[None, :, None], (v / 32)[:, None, None]
    top = source[rows][:, columns] * (1 - fx) + source[rows][:, right] * fx
    bottom = source[below][:, columns] * (1 - fx) + source[below][:, right] * fx
    np.testing.assert_array_equal(found, np.floor(top * (1 - fy) + bottom * fy + 0.5))


@given(colours)
def test_stains_by_table_are_those_of_the_matrix(rgb: np.ndarray) -> None:
    haematoxylin, eosin = Engine().optical_density(rgb, {})
    wanted = amounts(rgb)
    np.testing.assert_allclose(haematoxylin, wanted[..., 0], atol=1e-5)
    np.testing.assert_allclose(eosin, wanted[..., 1], atol=1e-5)


@given(colours)
def test_levels_are_the_scaled_stain_and_ink_and_glass_are_told(rgb: np.ndarray) -> None:
    low, high = -0.1, 1.9
    level, tissue, clear = stains.scaled(rgb, level_table(low, high), LEAST_INK, GLASS)
    wanted = np.clip((amounts(rgb)[..., 0] - low) / (high - low), 0, 1.5) * LEVELS
    assert np.abs(level - wanted).max() <= 0.501
    np.testing.assert_array_equal(tissue, rgb.min(axis=2) < GLASS)
    density = optical_density(rgb).astype(np.float32)
    ink = density[..., 1] < INK_GREEN_TO_RED * density[..., 0]
    np.testing.assert_array_equal(clear, ~ink)


@given(masks, st.integers(0, 12), st.integers(1, 6))
def test_small_holes_are_filled_and_nothing_else(mask: np.ndarray, most: int, side: int) -> None:
    filled = mask.astype(np.uint8)
    holes.fill_holes(filled, most, side)
    np.testing.assert_array_equal(filled, without_small_holes(mask, most, side))


@settings(deadline=None)
@given(st.data())
def test_the_flood_is_the_watershed_of_scikit_image(data: st.DataObject) -> None:
    shape = data.draw(sizes)
    # Heights that differ: scikit-image leaves open which of two seeds of one height goes first.
    order = data.draw(st.permutations(range(shape[0] * shape[1])))
    heights = np.array(order, np.uint16).reshape(shape)
    mask = data.draw(arrays(np.uint8, shape, elements=st.integers(0, 1)))
    seeds = mask * data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 1])))
    labels, totals = flood.flood(heights, mask, seeds)
    markers = label(seeds, connectivity=2)
    wanted = watershed(-heights.astype(np.int32), markers, mask=mask > 0)
    np.testing.assert_array_equal(labels, wanted)
    shape_found = Moments.of_sums(totals.astype(np.float64))
    assert shape_found.area.tolist() == np.bincount(labels.ravel())[1:].tolist()
    by_runs = moments(*mask_runs(labels), len(totals))
    for name in ("x", "y", "xx", "yy", "xy"):
        np.testing.assert_allclose(getattr(shape_found, name), getattr(by_runs, name))


@given(arrays(np.int32, sizes, elements=st.integers(0, 3)))
def test_labels_are_numbered_anew(labels: np.ndarray) -> None:
    new = np.array([0, 7, 0, 5], np.int32)
    again = labels.copy()
    flood.renumber(again, new)
    np.testing.assert_array_equal(again, new[labels])


def test_peaks_are_maxima_deep_enough_inside() -> None:
    heights = np.random.default_rng(1).integers(0, 99, (40, 50)).astype(np.uint16)
    mask = (ndimage.uniform_filter(heights, 5) > 48).astype(np.uint8)
    highest = ndimage.maximum_filter(heights, 5)
    found = relief.peaks(heights, highest, heights, mask, 60)
    np.testing.assert_array_equal(found, (heights == highest) & (heights > 60) & (mask > 0))


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from raysched.imaging.kernels import flood, holes, relief, runs, stains, trace
from numba.core.dispatcher import Dispatcher
found = [f for m in (flood, holes, relief, runs, stains, trace) for f in vars(m).values()
         if isinstance(f, Dispatcher)]
assert len(found) > 10
assert all(f._can_compile is False and len(f.signatures) == 1 for f in found)
print(sum(sum(f.stats.cache_hits.values()) for f in found), len(found), found[0].stats.cache_path)
"""


def cached(package: Path, home: Path) -> tuple[int, int, str]:
    """Kernels that a new process found compiled, of how many, and where it keeps them."""
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    answer = subprocess.run(
        [sys.executable, "-c", CODE, str(package)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return int(answer[0]), int(answer[1]), answer[2]


def test_a_new_process_finds_the_kernels_compiled_also_in_a_read_only_package(
    tmp_path: Path,
) -> None:
    package, home = tmp_path / "site", tmp_path / "home"
    folder = package / "raysched" / "imaging" / "kernels"
    ours = Path(raysched.__file__).parent
    for name in ("__init__.py", "imaging/__init__.py"):
        (package / "raysched" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ours / name, package / "raysched" / name)
    shutil.copytree(
        Path(kernels.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    # A file where the folder would be made refuses also a superuser.
    (folder / "__pycache__").touch()
    hits, count, where = cached(package, home)
    assert hits == 0
    assert Path(where).is_relative_to(home)
    assert cached(package, home) == (count, count, where)
