"""Each kernel against the same step by scikit-image, SciPy or the formula; and where it is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from plain_classical import amounts, optical_density
from plain_classical import rim as reference_rim
from scipy import ndimage
from skimage.measure import label

import raysched
from raysched.imaging import kernels
from raysched.imaging.classical import (
    GLASS,
    INK_GREEN_TO_RED,
    MOST_GREEN,
    amount_table,
    paint,
    ranks,
)
from raysched.imaging.classical import ClassicalEngine as Engine
from raysched.imaging.kernels import relief, rims, stains, tree
from raysched.imaging.kernels.blend import blended
from raysched.imaging.kernels.rims import FAR_PX
from raysched.imaging.likeness import UNIT

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
def test_amounts_are_the_scaled_stain_and_ink_and_glass_are_told(rgb: np.ndarray) -> None:
    low, high = -0.1, 1.9
    level, tissue, clear = stains.scaled(rgb, amount_table(low, high), MOST_GREEN, GLASS)
    wanted = np.clip((amounts(rgb)[..., 0] - low) / (high - low), 0, 1.5) * UNIT
    assert np.abs(level - wanted).max() <= 0.501
    np.testing.assert_array_equal(tissue, rgb.min(axis=2) < GLASS)
    density = optical_density(rgb).astype(np.float32)
    ink = density[..., 1] < INK_GREEN_TO_RED * density[..., 0]
    np.testing.assert_array_equal(clear, ~ink)


def padded(image: np.ndarray, rim: int) -> np.ndarray:
    return np.pad(image, FAR_PX, constant_values=rim).astype(np.uint8)


def test_levels_rank_the_sharpened_amount_inside_a_rim() -> None:
    random = np.random.default_rng(3)
    amount, nearby = random.integers(0, 256, (2, 9, 7), np.uint8)
    clear = random.integers(0, 2, (9, 7), np.uint8)
    number = random.integers(0, 9, (9, 7)).astype(np.int32)
    total = (number * random.integers(0, 256, (9, 7))).astype(np.int32)
    table = ranks(40)
    level, middle, around = relief.levels((amount, nearby, clear), (total, number), table)
    sharp = np.clip(2 * amount.astype(int) - nearby, 0, 255)
    np.testing.assert_array_equal(level, padded(table[sharp] * clear, tree.OUTSIDE))
    np.testing.assert_array_equal(middle, np.pad(amount, FAR_PX, mode="edge"))
    inner = around[FAR_PX:-FAR_PX, FAR_PX:-FAR_PX]
    np.testing.assert_array_equal(inner, total // np.maximum(number, 1))
    assert np.flatnonzero(table)[0] == 41
    assert np.unique(np.diff(table.astype(int))).tolist() == [0, 1]


def grown(image: np.ndarray, limits: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """The tree of an image whose values are both level and amount; what is around is twice that."""
    level = padded(image, tree.OUTSIDE)
    amount = padded(image, 0)
    return level, *tree.regions(
        level.ravel(), amount.ravel(), (2 * amount).ravel(), level.shape[1], limits
    )


reliefs = arrays(np.uint8, sizes, elements=st.integers(0, 4), fill=st.integers(1, 4))


@given(reliefs, st.integers(1, 3), st.integers(3, 40))
def test_the_tree_holds_every_region_that_differs_enough_from_those_inside(
    image: np.ndarray, least: int, most: int
) -> None:
    _, facts, parent, flood = grown(image, (least, most))
    every = []
    for level in range(1, 5):
        labels = label(image >= level, connectivity=1)
        for number in range(1, labels.max() + 1):
            rows, columns = np.nonzero(labels == number)
            inside = image[rows, columns]
            if inside.min() == level and least <= len(rows) <= most:
                wide = image.shape[1] + 2 * FAR_PX
                places = (rows + FAR_PX) * wide + columns + FAR_PX
                every.append((level, int(inside.sum()), frozenset(places.tolist())))
    wanted: set[tuple[int, int, frozenset[int]]] = set()
    for region in sorted(every, key=lambda each: len(each[2])):
        largest = max((len(pixels) for *_, pixels in wanted if pixels < region[2]), default=0)
        if tree.GROWTH * (len(region[2]) - largest) >= largest:
            wanted.add(region)
    found = [
        (
            int(f[tree.LEVEL]),
            int(f[tree.AMOUNT]),
            frozenset(flood[f[tree.FIRST] : f[tree.LAST]].tolist()),
        )
        for f in facts
    ]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    for row, (_, total, pixels) in enumerate(found):
        assert facts[row, tree.AREA] == len(pixels)
        assert facts[row, tree.AROUND] == 2 * total
        assert facts[row, tree.CORNER] == min(pixels)
        around = [(len(p), i) for i, (_, _, p) in enumerate(found) if p > pixels]
        assert parent[row] == (min(around)[1] if around else -1)
        assert parent[row] == -1 or parent[row] > row


@given(reliefs)
def test_one_walk_along_the_rim_measures_the_filled_region(image: np.ndarray) -> None:
    level, facts, _, flood = grown(image, (1, 999))
    shape = image.shape
    amount = np.pad(image * 10, FAR_PX, mode="edge").astype(np.uint8)
    begin = np.ascontiguousarray(facts[:, [tree.CORNER, tree.LEVEL]])
    found = rims.rims(begin, level.ravel(), amount.ravel(), level.shape[1])
    for row in range(len(facts)):
        labels = paint(facts[row : row + 1], found[row : row + 1], flood, shape)
        pixels = flood[facts[row, tree.FIRST] : facts[row, tree.LAST]]
        mask = np.zeros(level.shape, bool)
        mask.ravel()[pixels] = True
        mask = mask[FAR_PX:-FAR_PX, FAR_PX:-FAR_PX]
        full = ndimage.binary_fill_holes(mask, np.ones((3, 3)))
        np.testing.assert_array_equal(labels > 0, ndimage.binary_fill_holes(mask))
        y, x = np.nonzero(full)
        corner = divmod(int(facts[row, tree.CORNER]), level.shape[1])
        y, x = y + FAR_PX - corner[0], x + FAR_PX - corner[1]
        sums = [len(x), x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()]
        assert found[row, : rims.CRACKS].tolist() == sums
        assert found[row, rims.LEFT :].tolist() == [x.min(), x.max() + 1, y.max() + 1]
        box = (slice(0, shape[0]), slice(0, shape[1]))
        cracks, falls, far = reference_rim(full, box, image.astype(int) * 10)
        assert found[row, rims.CRACKS] == cracks
        assert found[row, rims.SEEN] == len(falls)
        assert found[row, rims.FALL] == falls.sum()
        assert found[row, rims.FAR] == far.sum()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 3)), max_size=9))
def test_the_best_set_of_nested_regions_is_found(nodes: list[tuple[int, int]]) -> None:
    count = len(nodes)
    score = np.array([node[0] for node in nodes], float)
    parent = np.array([i + s if s and i + s < count else -1 for i, (_, s) in enumerate(nodes)])
    taken = tree.best(score, parent.astype(np.int32))
    above = [set[int]() for _ in nodes]
    for i in reversed(range(count)):
        if parent[i] >= 0:
            above[i] = {int(parent[i])} | above[parent[i]]
    chosen = set(np.flatnonzero(taken).tolist())
    assert all(not above[i] & chosen for i in chosen)
    totals = [
        sum(score[i] for i in subset)
        for size in range(count + 1)
        for subset in combinations(range(count), size)
        if all(not above[i] & set(subset) for i in subset)
    ]
    assert sum(score[i] for i in chosen) == max(totals)


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
from raysched.imaging.kernels import relief, rims, runs, stains, trace, tree
from numba.core.dispatcher import Dispatcher
found = [f for m in (relief, rims, runs, stains, trace, tree) for f in vars(m).values()
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


@pytest.mark.slow
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
