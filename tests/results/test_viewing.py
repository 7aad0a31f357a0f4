"""Cells as a viewer sees them, held to plain computations on the published files."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import zarr
from PIL import Image

from raysched.errors import InvalidSetting, NotFound
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.slide import Slide, open_slide
from raysched.results.manifest import MANIFEST
from raysched.results.mask_picture import mask_size
from raysched.results.schema import CELLS, MEASURES
from raysched.results.staging import TISSUE, load_plan
from raysched.results.viewing import slides
from raysched.results.viewing.density import Counts, Density
from raysched.results.viewing.drawing import (
    FINER,
    Look,
    divided,
    overlay_pyramid,
    overlay_tile,
    region_picture,
)
from raysched.results.viewing.palettes import Palette, Style, colours, ramp
from raysched.results.viewing.png import blank_png
from raysched.results.viewing.running import MOST_EARLY
from raysched.results.viewing.slides import BAND_PX, read_scaled
from raysched.results.viewing.sources import CellSource, cell_at, narrowed
from raysched.results.viewing.viewer import Viewer
from tests.results.conftest import Attempt

LOOKS = {
    "outline": Look(),
    "fill": Look(style=Style.FILL, colour="ff0080"),
    "by area": Look(style=Style.FILL, by="area_um2", low=8.0, high=60.0),
    "outline by stain": Look(by="eosin_od_mean", low=0.0, high=0.3, palette=Palette.COOLWARM),
    "density": Look(style=Style.DENSITY),
}


@dataclass(frozen=True)
class Looked:
    """The sample, segmented: its results, and its staging folder when all chunks were done."""

    attempt: Attempt
    staged: Path

    @property
    def out(self) -> Path:
        return self.attempt.out

    def labels(self) -> list[Any]:
        """All levels of the published labels."""
        group = zarr.open_group(self.out / "labels.zarr", mode="r")
        return [np.asarray(group[str(level)][:]) for level in range(len(group))]

    def rows(self) -> list[dict[str, Any]]:
        """All published cells."""
        found: list[dict[str, Any]] = pq.read_table(self.out / "cells").to_pylist()
        return found


@pytest.fixture(scope="module")
def sample(sample_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Looked:
    folder = tmp_path_factory.mktemp("looked")
    request = SegmentationRequest(
        slide=str(sample_slide), out=str(folder / "out"), tile_px=512, chunk_tiles=3
    )
    attempt = Attempt(request)
    for chunk in range(len(attempt.plan().chunk_tiles)):
        attempt.segment(chunk)
    staged = folder / "staged"
    shutil.copytree(attempt.staging, staged)
    attempt.assemble()
    attempt.publish()
    return Looked(attempt, staged)


def cells_in(folder: Path) -> CellSource:
    source = Viewer().source(folder)
    assert source is not None
    return source


@pytest.fixture(scope="module")
def finished(sample: Looked) -> CellSource:
    return cells_in(sample.out)


@pytest.fixture(scope="module")
def running(sample: Looked) -> CellSource:
    return cells_in(sample.staged)


class Measured:
    """A slide that knows how many pixels were read of it at once."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self.most_px = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slide, name)

    def read_level(self, level: int, x: int, y: int, w: int, h: int) -> Any:
        self.most_px = max(self.most_px, w * h)
        return self._slide.read_level(level, x, y, w, h)


@pytest.mark.parametrize("region", [(0, 0, 360_000, 1), (-5e4, 9.0, 2e5, 40.0), (0, 0, 2220, 2967)])
def test_no_region_takes_more_memory_than_a_band_of_the_slide(
    region: tuple[float, float, float, float], sample_slide: Path
) -> None:
    with open_slide(sample_slide) as slide:
        seen = Measured(slide)
        picture = region_picture(cast("Slide", seen), None, region, 2048)
    assert max(picture.shape) == 2048
    assert seen.most_px <= 2 * BAND_PX


def test_a_wide_region_is_the_same_however_it_is_read(
    sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_slide(sample_slide) as slide:
        whole = read_scaled(slide, (0, 0), 8.0, (256, 64))
        monkeypatch.setattr(slides, "BAND_PX", 2048)
        assert (read_scaled(slide, (0, 0), 8.0, (256, 64)) == whole).all()


def tiles(source: CellSource, z: int, look: Look) -> Iterator[tuple[int, int, bytes]]:
    width, height = overlay_pyramid(source.frame).size(z)
    for x in range(-(-width // 512)):
        for y in range(-(-height // 512)):
            yield x, y, overlay_tile(source, (z, x, y), look)


def picture(source: CellSource, z: int, look: Look) -> Any:
    """A whole level, put together from its tiles: (h, w, 4)."""
    width, height = overlay_pyramid(source.frame).size(z)
    whole = np.zeros((height, width, 4), np.uint8)
    for x, y, data in tiles(source, z, look):
        tile = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
        whole[y * 512 :, x * 512 :][:512, :512] = tile
    return whole


def outlined(ids: Any, far: int = 1) -> Any:
    """Which pixels of cells have one at most so far in a row or column that is not of theirs."""
    around = np.pad(ids, far)
    height, width = ids.shape
    steps = [step for step in range(-far, far + 1) if step]
    shifts = [(far + step, far) for step in steps] + [(far, far + step) for step in steps]
    parts = [around[dy : dy + height, dx : dx + width] for dy, dx in shifts]
    return (ids > 0) & np.any([part != ids for part in parts], axis=0)


# --- drawing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
def test_outline_and_fill_are_those_of_the_labels(
    level: int, sample: Looked, finished: CellSource
) -> None:
    ids = sample.labels()[level]
    z = overlay_pyramid(finished.frame).levels - 1 - FINER - level
    for look, wanted in ((LOOKS["outline"], outlined(ids)), (LOOKS["fill"], ids > 0)):
        drawn = picture(finished, z, look)
        assert (drawn[..., 3] == np.where(wanted, 255, 0)).all()
        colour = tuple(bytes.fromhex(look.colour))
        assert {tuple(each) for each in drawn[wanted][:, :3]} == {colour}


def test_a_measure_colours_each_cell_by_its_row(sample: Looked, finished: CellSource) -> None:
    ids, look = sample.labels()[0], LOOKS["by area"]
    drawn = picture(finished, overlay_pyramid(finished.frame).levels - 1 - FINER, look)
    palette = colours(Palette.VIRIDIS)
    wanted = np.zeros((len(sample.rows()) + 1, 4), np.uint8)
    for row in sample.rows():
        share = (float(narrowed([row["area_um2"]])[0]) - 8.0) / (60.0 - 8.0)
        wanted[row["id"]] = palette[1 + int(np.floor(min(max(share, 0), 1) * 254 + 0.5))]
    assert (drawn == wanted[ids]).all()


def test_the_finest_levels_divide_the_pixels_of_the_labels(
    sample: Looked, finished: CellSource
) -> None:
    ids = np.pad(sample.labels()[0], 2)  # beyond the slide there are no cells
    z = overlay_pyramid(finished.frame).levels - 1 - FINER
    for finer in (1, 2):
        ids, beyond = divided(ids), 2 << finer
        drawn = picture(finished, z + finer, LOOKS["outline"])
        wanted = outlined(ids, far=finer)[beyond:-beyond, beyond:-beyond]
        assert ((drawn[..., 3] > 0) == wanted).all()


def test_a_density_fades_to_nothing_without_an_edge() -> None:
    for palette in Palette:
        alpha = ramp(palette)[:, 3].astype(int)
        assert (alpha[0], alpha[1], alpha[-1]) == (0, 0, 205)
        assert np.diff(alpha).min() >= 0
        assert np.diff(alpha).max() <= 3


def test_dividing_pixels_rounds_corners_and_keeps_everything_else() -> None:
    ids = np.random.default_rng(3).integers(0, 3, (17, 23)).astype(np.uint32)
    ids[4:12, 5:15] = 7
    around = np.pad(ids, 1, mode="edge")
    made = divided(ids)
    for y in range(17):
        for x in range(23):
            p, up, down = around[y + 1, x + 1], around[y, x + 1], around[y + 2, x + 1]
            left, right = around[y + 1, x], around[y + 1, x + 2]
            wanted = [[p, p], [p, p]]
            if left == up and left != down and up != right:
                wanted[0][0] = up
            if up == right and up != left and right != down:
                wanted[0][1] = right
            if down == left and down != right and left != up:
                wanted[1][0] = left
            if right == down and right != up and down != left:
                wanted[1][1] = down
            assert made[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].tolist() == wanted


def test_where_cells_are_too_small_every_style_is_their_density(finished: CellSource) -> None:
    for look in (LOOKS["outline"], LOOKS["fill"]):
        assert overlay_tile(finished, (0, 0, 0), look) == overlay_tile(
            finished, (0, 0, 0), LOOKS["density"]
        )
    assert overlay_tile(finished, (1, 0, 0), LOOKS["fill"]) != overlay_tile(
        finished, (1, 0, 0), LOOKS["density"]
    )


def test_density_counts_every_cell_where_it_is(sample: Looked) -> None:
    xy = np.array([[row["centroid_x_px"], row["centroid_y_px"]] for row in sample.rows()])
    counts = Counts(2220, 2967)
    for part in np.array_split(xy, 5):
        counts.add(part[:, 0], part[:, 1])
    rows, columns = counts.bins.shape
    edges = [np.arange(n + 1) * counts.bin_px for n in (rows, columns)]
    wanted, _, _ = np.histogram2d(xy[:, 1], xy[:, 0], bins=edges)
    assert (counts.bins == wanted).all()


def test_an_even_density_is_even_and_in_cells_per_mm2() -> None:
    counts = Counts(6400, 6400)
    every = np.arange(8, 6400, 16.0)
    x, y = (each.ravel() for each in np.meshgrid(every, every))
    counts.add(x, y)
    density = Density.of(counts, 0.5)
    assert density.high == pytest.approx(1 / (16 * 0.5 / 1000) ** 2, rel=0.01)
    assert (density.places[5:-5, 5:-5] >= 254).all()
    assert Density.of(Counts(6400, 6400), 0.5).places.max() == 0


def test_a_tile_without_cells_is_nothing_at_all(finished: CellSource) -> None:
    z = overlay_pyramid(finished.frame).levels - 1
    assert overlay_tile(finished, (z, 0, 0), LOOKS["fill"]) == blank_png(512, 512)


def test_there_is_no_tile_beyond_the_edges_and_no_measure_of_another_name(
    finished: CellSource,
) -> None:
    levels = overlay_pyramid(finished.frame).levels
    for at in ((levels, 0, 0), (0, 1, 0), (0, 0, 1), (levels - 1, 10**6, 0), (-1, 0, 0)):
        with pytest.raises(NotFound, match="There is no tile"):
            overlay_tile(finished, at, Look())
    for look in (Look(by="weight"), Look(low=2.0, high=2.0)):
        with pytest.raises(InvalidSetting):
            look.check()


# --- while it runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOOKS)
def test_a_job_whose_chunks_are_done_looks_as_its_result_will(
    name: str, finished: CellSource, running: CellSource
) -> None:
    assert not running.complete
    assert finished.complete
    seen = 0
    for z in range(overlay_pyramid(finished.frame).levels - 1):
        wanted = dict(tiles_by_place(finished, z, LOOKS[name]))
        assert dict(tiles_by_place(running, z, LOOKS[name])) == wanted
        seen += sum(len(data) > 200 for data in wanted.values())
    assert seen > 20


def tiles_by_place(source: CellSource, z: int, look: Look) -> Iterator[tuple[Any, bytes]]:
    return (((x, y), data) for x, y, data in tiles(source, z, look))


def test_a_cell_of_a_running_job_has_the_numbers_that_it_will_have(
    sample: Looked, running: CellSource
) -> None:
    ids, viewer, compared = sample.labels()[0], Viewer(), 0
    for row in sample.rows()[::25]:
        y, x = (int(each[0]) for each in np.nonzero(ids == row["id"]))
        number = cell_at(running, x + 0.5, y + 0.5)
        found = viewer.cell(running, number)
        assert found is not None
        assert (found.id, found.provisional) == (number, True)
        assert {each.name: each.value for each in found.measures} == {
            name: row[name] for name in MEASURES
        }
        assert found.outline == ring_of(row)
        compared += 1
    assert compared > 50


def test_a_new_chunk_is_added_to_what_was_read_before(sample: Looked, tmp_path: Path) -> None:
    folder = tmp_path / "staged"
    shutil.copytree(sample.staged, folder)
    (chunks,) = folder.glob("chunks-*")
    late = max(chunks.glob("*.json"))
    late.rename(tmp_path / "late.json")
    viewer = Viewer()
    source: Any = viewer.source(folder)
    before = source.version, source.cells, source.density().places.copy()
    early = {path for path in chunks.glob("*.arrow") if not path.name.startswith(late.stem)}
    pyramid = overlay_pyramid(source.frame)
    z = pyramid.levels - 1 - FINER
    drawn = dict(tiles_by_place(source, z, LOOKS["fill"]))
    shutil.copy(tmp_path / "late.json", late)
    source._looked_at = -math.inf  # as if some time had passed
    for path in early:
        path.write_bytes(b"")  # whoever reads them again fails
    assert viewer.source(folder) is source
    assert source.version != before[0]
    assert source.cells > before[1]
    assert source.density().places.sum() != before[2].sum()
    again = dict(tiles_by_place(source, z, LOOKS["fill"]))
    assert again != drawn
    assert sum(again[at] == drawn[at] for at in drawn) > 0


def test_what_another_process_has_shown_is_there_without_a_wait(
    sample: Looked, tmp_path: Path
) -> None:
    other, source, end = two_who_look(sample, tmp_path)
    early = source.version
    end()
    plan, _, tiles = other.version.rpartition("-")
    untrue = ("", "-", f"{plan}-", f"{plan}-\u00b2", f"another-{tiles}", f"{plan}-0{tiles}")
    for version in (*untrue, early):
        source.reach(version)
        assert source.version == early
    source.reach(other.version)
    assert (source.version, source.cells) == (other.version, other.cells)


def test_who_tells_of_what_is_not_there_has_it_looked_for_a_few_times_only(
    sample: Looked, tmp_path: Path
) -> None:
    other, source, end = two_who_look(sample, tmp_path)
    plan, _, tiles = other.version.rpartition("-")
    for more in range(MOST_EARLY):
        source.reach(f"{plan}-{int(tiles) + more}")
    end()
    source.reach(other.version)
    assert source.version != other.version
    source._looked_at = -math.inf  # as if some time had passed
    source.look()
    assert source.version == other.version


def two_who_look(sample: Looked, tmp_path: Path) -> tuple[CellSource, Any, Callable[[], object]]:
    """One who has seen all chunks of a job, one who has looked before the last was done and looks
    no more, whatever time passes; and how the last one comes to its end."""
    folder = tmp_path / "staged"
    shutil.copytree(sample.staged, folder)
    other = cells_in(folder)
    last = max(folder.glob("chunks-*/*.json"))
    aside = last.rename(tmp_path / last.name)
    source: Any = cells_in(folder)
    source._looked_at = math.inf
    return other, source, lambda: aside.rename(last)


def test_the_tissue_mask_is_known_of_a_plan_and_of_results_that_keep_it(
    sample: Looked, tmp_path: Path
) -> None:
    plan = load_plan(sample.staged)
    height, width = plan.tissue.mask.shape
    wanted = width, height, plan.tissue.w_per_px * plan.plan.grid.l0_per_w
    assert mask_size(sample.staged) == wanted
    (tmp_path / MANIFEST).write_bytes((sample.out / MANIFEST).read_bytes())
    assert mask_size(tmp_path) is None
    (tmp_path / TISSUE).write_bytes((sample.staged / TISSUE).read_bytes())
    assert mask_size(tmp_path) == wanted


# --- clicks ---------------------------------------------------------------------------------------


def ring_of(row: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    shape = shapely.from_wkb(row["geometry"])
    return tuple((x, y) for x, y in shapely.get_coordinates(shape))


def test_a_click_finds_the_row_of_the_cell_and_nothing_beside_it(
    sample: Looked, finished: CellSource
) -> None:
    ids, viewer = sample.labels()[0], Viewer()
    rows = {row["id"]: row for row in sample.rows()}
    rng = np.random.default_rng(5)
    inside = np.argwhere(ids > 0)
    for y, x in inside[rng.integers(0, len(inside), 60)]:
        found = viewer.cell(finished, cell_at(finished, x + 0.9, y + 0.1))
        row = rows[int(ids[y, x])]
        assert found is not None
        assert (found.id, found.provisional, found.tile) == (row["id"], False, row["tile"])
        assert (found.x, found.y) == (row["centroid_x_px"], row["centroid_y_px"])
        assert {each.name: each.value for each in found.measures} == {
            name: row[name] for name in MEASURES
        }
        units = {name: CELLS.field(name).metadata[b"unit"].decode() for name in MEASURES}
        assert {each.name: each.unit for each in found.measures} == units
        assert found.outline == ring_of(row)
    for y, x in np.argwhere(ids == 0)[:: ids.size // 50]:
        assert cell_at(finished, x + 0.5, y + 0.5) == 0
    for x, y in ((-1.0, 5.0), (5.0, -0.001), (1e9, 5.0), (5.0, 2967.0)):
        assert cell_at(finished, x, y) == 0


@pytest.mark.parametrize("number", [0, 10**6, 2**32 - 1])
def test_there_is_no_cell_of_another_id(
    number: int, finished: CellSource, running: CellSource
) -> None:
    assert Viewer().cell(finished, number) is None
    assert Viewer().cell(running, number) is None


def test_ranges_are_percentiles_of_the_rows(sample: Looked, finished: CellSource) -> None:
    ranges = {each.name: each for each in finished.ranges()}
    assert tuple(ranges) == MEASURES
    for name, each in ranges.items():
        values = [row[name] for row in sample.rows()]
        low, high = np.percentile(values, (2, 98))
        assert (each.low, each.high) == pytest.approx((low, high), rel=2e-3, abs=2e-3)


# --- pictures -------------------------------------------------------------------------------------


def test_a_picture_has_the_slide_and_the_outlines_of_the_labels(
    sample: Looked, sample_slide: Path, finished: CellSource
) -> None:
    ids = sample.labels()[0]
    row = sample.rows()[100]
    x, y = int(row["centroid_x_px"]) - 50, int(row["centroid_y_px"]) - 40
    with open_slide(sample_slide) as slide:
        plain = slide.read_level(0, x, y, 100, 80)
        bare = region_picture(slide, None, (x, y, 100, 80), 100)
        drawn = region_picture(slide, finished, (x, y, 100, 80), 100)
        large = region_picture(slide, finished, (x, y, 100, 80), 768)
        beyond = region_picture(slide, None, (-50, -50, 100, 100), 100)
    assert (bare == plain).all()
    edge = outlined(ids)[y : y + 80, x : x + 100]
    assert edge.any()
    assert ((drawn != plain).any(axis=2) == edge).all()
    assert large.shape == (320, 400, 3)
    assert (beyond[:50] == 255).all()
    assert (beyond[:, :50] == 255).all()


def test_where_cells_are_too_small_a_picture_has_no_outlines(
    sample_slide: Path, finished: CellSource
) -> None:
    with open_slide(sample_slide) as slide:
        whole = (0, 0, slide.width, slide.height)
        pictures = [region_picture(slide, each, whole, 200) for each in (None, finished)]
    assert (pictures[0] == pictures[1]).all()
