"""Runs, moments, outlines and means against scikit-image and shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from plain_classical import ring as reference_ring
from skimage.draw import ellipse
from skimage.measure import label, regionprops
from skimage.morphology import dilation, footprint_rectangle

from raysched.imaging.kernels import runs as kernel
from raysched.imaging.kernels import trace
from raysched.imaging.measure import hull_areas, means, moments, ring_areas, ring_lengths
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


def masks_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of an image whose labels are 1..n, all there, and where each begins."""
    runs, owner = mask_runs(labels)
    at = np.searchsorted(owner, np.arange(1, int(labels.max(initial=0)) + 2))
    return runs, at.astype(np.int32)


def rings_of(labels: np.ndarray) -> list[np.ndarray]:
    xy, at = outlines(labels, *masks_of(labels))
    return np.split(xy, at[1:-1])


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


@given(images, st.integers(0, 90_000), st.integers(0, 90_000))
def test_a_mask_elsewhere_has_the_same_shape_to_the_last_bit(
    labels: np.ndarray, x: int, y: int
) -> None:
    runs, owner = mask_runs(labels)
    here, there = (moments(each, owner, 3) for each in (runs, runs + np.array([y, x, x], np.int32)))
    for name in ("area", "xx", "yy", "xy"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))


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


masks = arrays(np.bool_, st.tuples(st.integers(1, 10), st.integers(1, 10)))


def cyclic(ring: np.ndarray) -> list[tuple[float, float]]:
    """A closed ring as points clockwise on the screen, from the smallest: comparable."""
    points = [tuple(map(float, point)) for point in ring[:-1]]
    x, y = ring.T
    if x[:-1] @ y[1:] - x[1:] @ y[:-1] < 0:
        points.reverse()
    first = points.index(min(points))
    return points[first:] + points[:first]


@given(masks)
def test_the_tracer_walks_the_contour_of_marching_squares(mask: np.ndarray) -> None:
    labels = label(mask, connectivity=2).astype(np.int32)
    xy, at = trace.rings(labels, *masks_of(labels))
    for number in range(1, labels.max() + 1):
        ring = xy[at[number - 1] : at[number]]
        np.testing.assert_array_equal(ring[0], ring[-1])
        assert cyclic(ring) == cyclic(reference_ring(labels == number))


@given(masks)
def test_a_cell_in_pieces_gets_its_longest_outline(mask: np.ndarray) -> None:
    labels = mask.astype(np.int32)
    if not mask.any():
        return
    xy, _ = trace.rings(labels, *masks_of(labels))
    assert len(xy) == len(reference_ring(mask))


@given(masks)
def test_every_connected_mask_has_a_simple_outline(mask: np.ndarray) -> None:
    labels = label(mask, connectivity=2).astype(np.int32)
    xy, at = outlines(labels, *masks_of(labels))
    assert len(at) == labels.max() + 1
    for ring in np.split(xy, at[1:-1]) if len(xy) else []:
        assert shapely.LinearRing(ring).is_simple
        assert shapely.Polygon(ring).is_valid
        assert shapely.Polygon(ring).area > 0


rings = st.lists(
    st.lists(
        st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=9, unique=True
    ),
    max_size=4,
)


@given(rings)
def test_lengths_areas_and_hulls_are_those_of_shapely(points: list[list[tuple[int, int]]]) -> None:
    closed = [np.array([*ring, ring[0]], np.float64) for ring in points]
    xy = np.concatenate([np.zeros((0, 2)), *closed])
    at = np.cumsum([0, *map(len, closed)]).astype(np.int32)
    polygons = [shapely.Polygon(ring) for ring in closed]
    np.testing.assert_allclose(ring_lengths(xy, at), [p.length for p in polygons])
    np.testing.assert_allclose(ring_areas(xy, at), [p.area for p in polygons], atol=1e-9)
    hulls = [p.convex_hull.area for p in polygons]
    np.testing.assert_allclose(hull_areas(xy, at), hulls, atol=1e-9)


@given(images)
def test_means_are_those_of_the_pixels(labels: np.ndarray) -> None:
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    runs, owner = mask_runs(labels)
    found = means(image, runs, owner, moments(runs, owner, 3).area)
    for value in range(1, 4):
        inside = image[labels == value]
        assert found[value - 1] == pytest.approx(inside.mean() if inside.size else 0.0)


@given(images, st.integers(0, 3))
def test_the_mean_around_a_cell_is_that_of_the_background_near_it(
    labels: np.ndarray, reach: int
) -> None:
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    runs, owner = mask_runs(labels)
    at = np.searchsorted(owner, np.arange(1, 5)).astype(np.int32)
    found = kernel.means_around(image, labels, runs, at, reach)
    for value in range(1, 4):
        near = dilation(labels == value, footprint_rectangle((2 * reach + 1,) * 2))
        outside = image[near & (labels == 0)]
        assert found[value - 1] == pytest.approx(outside.mean() if outside.size else 0.0)
