"""The grid of tiles: every pixel, every piece of tissue and every border is owned exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tiled import cells_of

from raysched.imaging.geometry import Rect
from raysched.imaging.plan import SlideFacts, SlidePlan, WorkingGrid
from raysched.imaging.planning import chunks_with_tissue
from raysched.imaging.request import MeasureParams, TissueParams
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.imaging.tissue import TissueMask


def plan_of(width: int, height: int, tile_px: int, halo_px: int = 0) -> SlidePlan:
    facts = SlideFacts(
        path="", sha256="", size_bytes=0, vendor="", width=width, height=height,
        bounds_x=0, bounds_y=0, mpp=0.5, mpp_source="user",
    )  # fmt: skip
    return SlidePlan(
        slide=facts,
        grid=WorkingGrid(
            level=0, box=1, scale=1.0, l0_per_w=1.0, mpp=0.5, width=width, height=height
        ),
        engine="classical",
        engine_version="",
        params={},
        context={},
        tile_px=tile_px,
        halo_px=halo_px,
        seam_px=0,
        tissue=TissueParams(),
        tissue_fraction=1.0,
        measure=MeasureParams(),
        chunks=(),
    )


def all_tiles(plan: SlidePlan) -> range:
    return range(plan.columns * plan.rows)


sizes = st.integers(1, 70)


@given(width=sizes, height=sizes, tile_px=st.integers(1, 80), halo_px=st.integers(0, 20))
def test_owned_rectangles_partition_any_rectangle_and_lie_in_what_is_read(
    width: int, height: int, tile_px: int, halo_px: int
) -> None:
    plan = plan_of(width, height, tile_px, halo_px)
    owners = np.zeros((height, width), int)
    for index in all_tiles(plan):
        tile = plan.tile(index)
        owned, read = tile.owned, tile.read
        assert owned.width > 0
        assert owned.height > 0
        owners[owned.y0 : owned.y1, owned.x0 : owned.x1] += 1
        assert read == owned.grow(halo_px, Rect(0, 0, width, height))
    assert (owners == 1).all()


@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    w_per_px=st.sampled_from((1.0, 3.0, 7.3, 16.0)),
    tile_px=st.integers(1, 60),
    size=st.integers(1, 5),
)
def test_every_piece_of_tissue_is_in_exactly_one_chunk_and_chunks_are_full_and_in_order(
    mask: np.ndarray, w_per_px: float, tile_px: int, size: int
) -> None:
    rows, columns = mask.shape
    width, height = int(np.ceil(columns * w_per_px)), int(np.ceil(rows * w_per_px))
    plan = plan_of(width, height, tile_px)
    tissue = TissueMask(mask, w_per_px)
    chunks = chunks_with_tissue(plan, tissue, size)
    tiles = [index for chunk in chunks for index in chunk]
    assert tiles == sorted(set(tiles))
    assert all(len(chunk) == size for chunk in chunks[:-1])
    owners = np.zeros((height, width), int)
    for index in tiles:
        owned = plan.tile(index).owned
        owners[owned.y0 : owned.y1, owned.x0 : owned.x1] += 1
    y, x = np.mgrid[:height, :width]
    assert (owners[tissue.at(x + 0.5, y + 0.5)] == 1).all()


def test_nuclei_at_the_very_edges_of_a_slide_are_all_found(tmp_path: Path) -> None:
    path = tmp_path / "edges.tif"
    truth = write_synthetic_slide(
        path, width_px=900, height_px=700, nuclei=0, tissue="full", edge_nuclei=True
    )
    _, _, found = cells_of(path, tile_px=256)
    x = np.concatenate([batch.ref_x[batch.inside] for batch in found])
    y = np.concatenate([batch.ref_y[batch.inside] for batch in found])
    lost = [
        (float(a), float(b)) for a, b in truth.centres_l0_px if np.hypot(x - a, y - b).min() > 8
    ]
    assert truth.nuclei > 40
    assert lost == []
