"""Tiles do not show: however a slide is cut, the same cells are published, to the last bit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tiled import moved, reconciled, request

from raysched.imaging.planning import make_plan
from raysched.imaging.slide import open_slide
from raysched.imaging.synthetic import write_synthetic_slide

SYNTHETIC: dict[str, dict[str, Any]] = {
    # Islands of tissue with glass between them; no tile ends with the slide.
    "islands": {"width_px": 1511, "height_px": 1301, "mpp": 0.5},
    # Reduced by two from an odd size; tissue and nuclei up to and over the borders; JPEG.
    "fine": {
        "width_px": 3001, "height_px": 2603, "mpp": 0.25, "tissue": "full", "edge_nuclei": True,
        "jpeg_quality": 80, "seed": 1,
    },
    # Twice as dense as usual, and nuclei overlap; interpolated from another pixel size.
    "crowded": {
        "width_px": 2203, "height_px": 1409, "mpp": 0.4, "tissue": "full", "nuclei": 4000,
        "gap_um": -2.0, "seed": 2,
    },
}  # fmt: skip
SIZES = (256, 512, 777, 1024, 2048)


class Uncut:
    """A slide, and its cells when one tile holds all of it."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.folder = folder
        with open_slide(path) as slide:
            self.plan, self.tissue, _ = make_plan(slide, request(path, 4096))
            assert self.plan.chunks == ((0,),)
            self.cells = reconciled(slide, self.plan, self.tissue, folder)

    def cut(self, tile_px: int, *origins: tuple[int, int], halo_px: int | None = None) -> list[Any]:
        """The cells when it is cut into tiles, once for each place where the first one begins."""
        with open_slide(self.path) as slide:
            plan, tissue, _ = make_plan(slide, request(self.path, tile_px))
            if halo_px is not None:
                plan = plan.model_copy(update={"halo_px": halo_px})
            return [
                reconciled(slide, moved(plan, tissue, origin), tissue, self.folder)
                for origin in origins
            ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Uncut:
    folder = tmp_path_factory.mktemp("small")
    path = folder / "slide.tif"
    write_synthetic_slide(
        path, width_px=701, height_px=523, tissue="full", nuclei=300, gap_um=-1.0, seed=3
    )
    return Uncut(path, folder)


@pytest.fixture(scope="module", params=["sample", *SYNTHETIC])
def uncut(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Uncut:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sample":
        return Uncut(request.getfixturevalue("sample_slide"), folder)
    path = folder / "slide.tif"
    write_synthetic_slide(path, **SYNTHETIC[request.param])
    return Uncut(path, folder)


def lost_and_gained(cells: Any, wanted: Any) -> tuple[list[str], list[str]]:
    """Which outlines are there too seldom and which too often, by where they lie."""
    found, there = (
        Counter(
            f"{x:.1f} {y:.1f} {outline.hex()}"
            for x, y, outline in zip(
                table["centroid_x_px"].to_pylist(),
                table["centroid_y_px"].to_pylist(),
                table["geometry"].to_pylist(),
                strict=True,
            )
        )
        for table in (cells, wanted)
    )
    return [key[:60] for key in there - found], [key[:60] for key in found - there]


def differing(cells: Any, wanted: Any) -> list[str]:
    """The columns that are not the same, value for value."""
    return [name for name in wanted.column_names if not cells[name].equals(wanted[name])]


@pytest.mark.parametrize("tile_px", SIZES)
def test_every_cell_of_the_uncut_image_is_published_once_and_exactly(
    uncut: Uncut, tile_px: int
) -> None:
    # At the corner; with a seam at (601, 433); with tiles half a tile wide and one px high.
    origins = ((0, 0), (-601 % tile_px, -433 % tile_px), (tile_px // 2, tile_px - 1))
    assert uncut.cells.num_rows > 600
    for cells in uncut.cut(tile_px, *origins):
        assert lost_and_gained(cells, uncut.cells) == ([], [])
        assert differing(cells, uncut.cells) == []


def test_tiles_smaller_than_their_halo_do_not_show_either(small: Uncut) -> None:
    """64 px is the least that may be asked for."""
    assert small.plan.halo_px == 68
    for cells in small.cut(64, (0, 0), (31, 63)):
        assert lost_and_gained(cells, small.cells) == ([], [])
        assert differing(cells, small.cells) == []


def test_a_halo_that_is_too_small_shows_and_what_it_cuts_is_no_cell(small: Uncut) -> None:
    """That the comparison above can fail: 4 um cuts nuclei that a tile owns."""
    (cells,) = small.cut(128, (0, 0), halo_px=8)
    lost, _ = lost_and_gained(cells, small.cells)
    assert len(lost) > 10
    for x, runs in zip(cells["centroid_x_px"].to_pylist(), cells["runs"].to_pylist(), strict=True):
        left = x // 128 * 128
        assert left - 8 < min(runs[1::3])
        assert max(runs[2::3]) < left + 128 + 8
