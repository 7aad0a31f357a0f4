"""Runs, moments, outlines and means against scikit-image and shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.draw import ellipse
from skimage.measure import label, regionprops

from raysched.imaging.measure import hull_area, means, moments, ring_area, ring_length
from raysched.imaging.outline import SIMPLIFY_PX, mask_runs, outlines

images = arrays(
    np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)
)


def shapes() -> np.ndarray:
    """Three ellipses and a single px."""
    labels = np.zeros((80, 100), np.int32)
    for number, (y, x, a, b, turn) in enumerate(
        [(20, 20, 6, 12, 0.3), (50, 60, 15, 10, 1.0), (30, 80, 5, 5, 0.0)], start=1
    ):
        labels[ellipse(y, x, a, b, rotation=turn)] = number
    labels[70, 5] = 4
    return labels


def rings_of(labels: np.ndarray) -> list[np.ndarray]:
    count = int(labels.max())
    return outlines(labels, ndimage.find_objects(labels), np.arange(1, count + 1, dtype=np.int32))


@given(images)
def test_runs_paint_the_image_again(labels: np.ndarray) -> None:
    runs, owner = mask_runs(labels)
    again = np.zeros_like(labels)
    for (y, x0, x1), value in zip(runs, owner, strict=True):
        assert x0 < x1
        assert (again[y, x0:x1] == 0).all(), "two runs overlap"
        again[y, x0:x1] = value
    np.testing.assert_array_equal(again, labels)
    keys = [(int(value), *map(int, run)) for value, run in zip(owner, runs, strict=True)]
    assert keys == sorted(keys)


@given(images)
def test_moments_are_those_of_the_pixels(labels: np.ndarray) -> None:
    runs, owner = mask_runs(labels)
    found = moments(runs, owner, 3)
    for value in range(1, 4):
        y, x = np.nonzero(labels == value)
        i = value - 1
        assert found.area[i] == len(x)
        if len(x):
            np.testing.assert_allclose((found.x[i], found.y[i]), (x.mean(), y.mean()))
            seconds = (found.xx[i], found.yy[i], found.xy[i])
            wanted = (x.var(), y.var(), ((x - x.mean()) * (y - y.mean())).mean())
            np.testing.assert_allclose(seconds, wanted, atol=1e-9)


def test_axes_are_those_of_regionprops_with_the_pixels_own_extent() -> None:
    labels = shapes()
    found = moments(*mask_runs(labels), 4)
    wanted = regionprops(labels)
    own = 16 / 12  # scikit-image takes pixels for points
    short, long = found.axes
    np.testing.assert_allclose(long**2 - own, [r.axis_major_length**2 for r in wanted], atol=1e-6)
    np.testing.assert_allclose(short**2 - own, [r.axis_minor_length**2 for r in wanted], atol=1e-6)
    np.testing.assert_allclose(found.eccentricity, [r.eccentricity for r in wanted], atol=0.01)
    np.testing.assert_allclose(found.ellipse_fill[:3], 1.0, atol=0.03)


def test_an_outline_is_a_valid_polygon_near_its_mask() -> None:
    labels = shapes()
    for ring, region in zip(rings_of(labels), regionprops(labels), strict=True):
        polygon = shapely.Polygon(ring)
        assert polygon.is_valid
        np.testing.assert_array_equal(ring[0], ring[-1])
        edge = polygon.length
        assert abs(polygon.area - region.area) <= 0.5 + SIMPLIFY_PX * edge
        y, x = region.centroid
        centroid = polygon.centroid
        assert (centroid.x, centroid.y) == pytest.approx((x + 0.5, y + 0.5), abs=0.2)
        # Nothing of the mask lies more than half a px outside.
        grown = polygon.buffer(0.75)
        rows, columns = np.nonzero(labels == region.label)
        assert shapely.contains_xy(grown, columns + 0.5, rows + 0.5).all()


@given(arrays(np.bool_, (9, 9)))
def test_every_connected_mask_has_a_simple_outline(mask: np.ndarray) -> None:
    labels = label(mask, connectivity=2).astype(np.int32)
    for ring in rings_of(labels):
        assert shapely.LinearRing(ring).is_simple
        assert ring_area(ring) > 0


def test_length_area_and_hull_of_a_ring() -> None:
    notched = np.array([(0, 0), (4, 0), (4, 4), (2, 2), (0, 4), (0, 0)], np.float64)
    assert ring_length(notched) == pytest.approx(12 + 2 * np.sqrt(8))
    assert ring_area(notched) == 12.0
    assert hull_area(notched) == 16.0
    assert ring_area(notched[::-1]) == 12.0


@given(images)
def test_means_are_those_of_the_pixels(labels: np.ndarray) -> None:
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    found = means(image, labels, 3)
    for value in range(1, 4):
        inside = image[labels == value]
        assert found[value - 1] == pytest.approx(inside.mean() if inside.size else 0.0)
