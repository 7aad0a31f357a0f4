"""What holds of every engine at the seams: each cell is published once, wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from tiled import moved, reconciled, request

from raysched.errors import UnknownEngine
from raysched.imaging.engine import engine_names, load_engine
from raysched.imaging.planning import make_plan
from raysched.imaging.rehearsal import rehearse
from raysched.imaging.slide import open_slide
from raysched.imaging.synthetic import write_synthetic_slide

INSTALLED = engine_names()
WITHOUT_A_MODEL = [name for name in INSTALLED if name != "instanseg"]
"""``instanseg`` needs weights and aligned tiles: test_instanseg.py has the same for it."""
# Tile and origin; where a tile begins is no multiple of the rough engine's blocks.
SEAMS = [
    (64, (0, 0)), (67, (29, 37)), (79, (5, 70)), (101, (13, 77)), (255, (0, 0)), (256, (9, 255)),
]  # fmt: skip


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    write_synthetic_slide(
        path, width_px=911, height_px=727, tissue="full", nuclei=250, gap_um=6.0, seed=5
    )
    return path


@pytest.fixture(scope="module", autouse=True)
def rough_is_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """As pip would do it: the metadata of a package that names an entry point."""
    folder = tmp_path_factory.mktemp("site-packages")
    metadata = folder / "rough-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rough\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[raysched.engines]\nrough = rough:RoughEngine\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield
    load_engine.cache_clear()


def cut(path: Path, engine: str, tile_px: int, origin: tuple[int, int], folder: Path) -> Any:
    with open_slide(path) as slide:
        plan, tissue, _ = make_plan(slide, request(path, tile_px, engine))
        return reconciled(slide, moved(plan, tissue, origin), tissue, folder)


def centroids(cells: Any) -> np.ndarray:
    return np.stack([cells["centroid_x_px"], cells["centroid_y_px"]], axis=1)


def unpaired(cells: Any, wanted: Any) -> tuple[list[Any], list[Any]]:
    """Wanted cells without exactly one cell within 8 px, and cells without exactly one wanted."""
    here, there = centroids(cells), centroids(wanted)
    near = shapely.STRtree(shapely.points(here)).query(
        shapely.points(there), "dwithin", distance=8.0
    )
    return tuple(
        places[np.bincount(members, minlength=len(places)) != 1].tolist()
        for members, places in zip(near, (there, here), strict=True)
    )  # type: ignore[return-value]


@pytest.mark.parametrize("engine", [*WITHOUT_A_MODEL, "rough"])
def test_every_cell_that_an_engine_finds_is_published_once(
    engine: str, slide: Path, tmp_path: Path
) -> None:
    whole = cut(slide, engine, 1024, (0, 0), tmp_path)
    assert whole.num_rows > 230
    for tile_px, origin in SEAMS:
        assert unpaired(cut(slide, engine, tile_px, origin, tmp_path), whole) == ([], [])


def test_the_rough_engine_is_rough_and_some_cells_have_no_owner(
    slide: Path, tmp_path: Path
) -> None:
    """Else it would say nothing about reconciliation."""
    whole = set(cut(slide, "rough", 1024, (0, 0), tmp_path)["geometry"].to_pylist())
    cells = [cut(slide, "rough", tile_px, origin, tmp_path) for tile_px, origin in SEAMS]
    outlines = [outline for each in cells for outline in each["geometry"].to_pylist()]
    assert sum(outline not in whole for outline in outlines) > len(outlines) / 2
    without_owner = [each["inside"].to_pylist().count(False) for each in cells]
    assert sum(without_owner) > 10


def test_an_engine_of_another_package_is_known_by_its_name() -> None:
    assert engine_names() == tuple(sorted([*INSTALLED, "rough"]))
    assert rehearse(load_engine("rough")) == 1
    with pytest.raises(UnknownEngine, match="no engine named 'smooth'") as caught:
        load_engine("smooth")
    assert "rough" in caught.value.remedy
