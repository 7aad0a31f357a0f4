"""What is published opens in the readers people have, and its parts agree with each other."""

from __future__ import annotations

import errno
import hashlib
import json
import resource
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import zarr
from ome_zarr_models.v05.image_label import ImageLabel
from PIL import Image

from raysched.results.cells import GROUP_CELLS, CellParts
from raysched.results.labels import PIPELINE, SHARD_PX, Pyramid, level_sizes, z_order
from raysched.results.manifest import Manifest, read_manifest
from raysched.results.schema import CELLS, COVERING, Digest
from raysched.results.storage import Disk
from tests.results.conftest import CROP_PX, MPP, Attempt, DyingDisk, crop_attempt


@pytest.fixture(scope="module")
def manifest(done: Attempt) -> Manifest:
    found = read_manifest(done.out)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def cells(done: Attempt) -> Any:
    return geopandas.read_parquet(done.out / "cells")


@pytest.fixture(scope="module")
def labels(done: Attempt) -> Any:
    return zarr.open_group(done.out / "labels.zarr", mode="r")


def test_geopandas_reads_the_cells_with_dense_ids_and_valid_polygons(
    cells: Any, manifest: Manifest
) -> None:
    assert len(cells) == manifest.counts.cells
    assert cells["id"].tolist() == list(range(1, len(cells) + 1))
    assert cells["tile"].is_monotonic_increasing
    assert cells.crs is None
    assert cells.geometry.is_valid.all()
    assert set(cells.geom_type) == {"Polygon"}
    assert not cells.drop(columns="geometry").isna().any().any()
    part = cells.total_bounds
    assert (part >= 0).all()
    assert (part <= CROP_PX).all()


def test_the_cells_of_a_region_can_be_read_alone(done: Attempt, cells: Any) -> None:
    region = (100, 100, 200, 180)
    found = geopandas.read_parquet(done.out / "cells", bbox=region)
    assert found["id"].tolist() == cells[cells.intersects(shapely.box(*region))]["id"].tolist()


def test_every_column_says_its_unit(done: Attempt) -> None:
    schema = pq.read_schema(done.out / "cells" / "part-00000.parquet")
    assert schema.equals(CELLS, check_metadata=True)
    assert schema.field("area_um2").metadata[b"unit"] == b"um2"


def test_areas_of_outlines_agree_with_areas_of_masks(cells: Any) -> None:
    outlined = cells.geometry.area.to_numpy() * MPP**2
    assert np.allclose(outlined, cells["area_um2"], rtol=0.03)
    centres = cells["centroid_x_px"].to_numpy(), cells["centroid_y_px"].to_numpy()
    assert shapely.contains_xy(cells.geometry.to_numpy(), *centres).mean() > 0.9


def test_the_label_image_holds_the_same_cells(labels: Any, cells: Any) -> None:
    painted = labels["0"][:]
    count = np.bincount(painted.ravel(), minlength=len(cells) + 1)[1:]
    want = np.round(cells["area_um2"].to_numpy() / MPP**2).astype(int)
    assert painted.max() == len(cells)
    assert (count <= want).all()
    assert (count == want).mean() > 0.98
    inside = painted[
        cells["centroid_y_px"].astype(int).to_numpy(), cells["centroid_x_px"].astype(int).to_numpy()
    ]
    assert (inside == cells["id"]).mean() > 0.9


def test_the_label_image_is_a_valid_ome_zarr_image_label(labels: Any) -> None:
    image = ImageLabel.from_zarr(labels)
    (multiscale,) = image.attributes.ome.multiscales
    assert [axis.unit for axis in multiscale.axes] == ["micrometer", "micrometer"]
    scales = [dataset.coordinateTransformations[0].scale for dataset in multiscale.datasets]
    assert scales == [[MPP * 2**level] * 2 for level in range(len(scales))]


def test_each_level_takes_every_second_pixel_of_the_finer_one(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "pyramid.zarr")
    rng = np.random.default_rng(3)
    base = rng.integers(0, 9, (4500, 6500)).astype(np.uint32)
    base[:2048, 2048:4096] = 0  # a shard without cells is not given to the pyramid at all
    sizes = level_sizes(*base.shape)
    assert sizes == [(4500, 6500), (2250, 3250), (1125, 1625), (563, 813), (282, 407)]
    levels = [
        group.create_array(str(n), shape=size, dtype="uint32", chunks=(512, 512))
        for n, size in enumerate(sizes)
    ]
    asked: list[None] = []
    pyramid = Pyramid(levels, lambda: asked.append(None))
    shards = {(row, column) for row in range(3) for column in range(4)} - {(0, 1)}
    for row, column in sorted(shards, key=z_order):
        y, x = row * SHARD_PX, column * SHARD_PX
        pyramid.add(0, row, column, base[y : y + SHARD_PX, x : x + SHARD_PX])
    pyramid.finish()
    for level in levels:
        assert np.array_equal(level[:], base)
        base = base[::2, ::2]
    assert len(asked) == 11 + 4 + 4 + 1 + 1


def test_pictures_open_and_show_the_slide(done: Attempt) -> None:
    for name in ("preview.png", "tissue.png"):
        with Image.open(done.out / name) as picture:
            picture.load()
            assert picture.mode == "RGB"
            assert picture.height >= CROP_PX
    with Image.open(done.out / "preview.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    green = (pixels[..., 1] > 200) & (pixels[..., 0] < 100)
    assert green.mean() > 0.005


def test_the_manifest_tells_what_made_the_result(manifest: Manifest, crop: Path) -> None:
    assert manifest.slide.name == "crop.tif"
    assert manifest.slide.sha256 == hashlib.sha256(crop.read_bytes()).hexdigest()
    assert (manifest.slide.mpp, manifest.slide.mpp_source) == (MPP, "user")
    assert manifest.grid.columns * manifest.grid.rows == manifest.counts.tiles == 9
    assert sum(manifest.chunk_tiles) == manifest.counts.tissue_tiles
    assert {"raysched", "python", "numpy", "zarr"} <= set(manifest.versions)
    assert manifest.timings.segment_s > 0
    assert (manifest.slide.reader, manifest.slide.reader_note) == (
        "openslide",
        "level 0: its tiles are compressed as NONE, not JPEG",
    )


def test_a_manifest_of_before_there_were_two_readers_is_read(
    manifest: Manifest, tmp_path: Path
) -> None:
    old = manifest.model_dump(mode="json")
    for name in ("reader", "reader_note"):
        del old["slide"][name]
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    found = read_manifest(tmp_path)
    assert found is not None
    assert (found.slide.reader, found.slide.reader_note) == ("openslide", "")


def test_the_manifest_lists_every_file_with_its_hash(done: Attempt, manifest: Manifest) -> None:
    listed = {note.path: note for note in manifest.files}
    there = {path.name for path in done.out.iterdir()} - {"manifest.json", "cells"}
    assert set(listed) == there | {"cells/part-00000.parquet"}
    for name, note in listed.items():
        if note.files is None:
            data = (done.out / name).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (note.size_bytes, note.sha256)
    json.loads((done.out / "manifest.json").read_text())


def test_the_checksums_of_columns_can_be_verified_from_the_published_cells(
    done: Attempt, manifest: Manifest
) -> None:
    table = pq.read_table(done.out / "cells")
    again = Digest()
    for start in range(0, table.num_rows, 7):
        again.add(table.slice(start, 7), np.zeros((0, 3), np.int32), np.zeros(1, np.int32))
    masks = {"mask", "mask_runs"}
    want = {k: v for k, v in manifest.column_checksums.items() if k not in masks}
    assert {k: v for k, v in again.columns().items() if k not in masks} == want


def test_another_pixel_size_is_another_checksum(
    crop: Path, tmp_path: Path, manifest: Manifest
) -> None:
    attempt = crop_attempt(crop, tmp_path / "out")
    request = attempt.request.model_copy(update={"mpp": 0.5})
    assert Attempt(request).run().checksum != manifest.checksum


def many(count: int) -> Any:
    """Published cells without meaning."""
    numbers = np.arange(1, count + 1)
    wkb = shapely.to_wkb(shapely.box(numbers, 0, numbers + 1, 1))
    box = pa.StructArray.from_arrays(
        [pa.array(numbers.astype(float))] * 4, fields=list(CELLS.field(COVERING).type)
    )
    columns = {
        name: numbers.astype(CELLS.field(name).type.to_pandas_dtype())
        for name in CELLS.names
        if name not in {"geometry", COVERING}
    }
    return pa.table({**columns, "geometry": wkb, COVERING: box}).select(CELLS.names).cast(CELLS)


def test_parts_do_not_depend_on_the_sizes_in_which_cells_come(tmp_path: Path) -> None:
    table = many(2 * GROUP_CELLS + 77)
    written = []
    for step in (1000, 5077, 3 * GROUP_CELLS):
        folder = tmp_path / str(step)
        folder.mkdir()
        with CellParts(folder, Disk()) as parts:
            for start in range(0, table.num_rows, step):
                parts.add(table.slice(start, step))
        (part,) = folder.iterdir()
        with pq.ParquetFile(part) as file:
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        assert groups == [GROUP_CELLS, GROUP_CELLS, 77]
        written.append(part.read_bytes())
    assert written[0] == written[1] == written[2]


def test_a_long_result_is_cut_into_parts_that_read_as_one(tmp_path: Path) -> None:
    disk = DyingDisk()
    with CellParts(tmp_path, disk) as parts:
        parts.add(many(16 * GROUP_CELLS + 5))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert disk.steps == 4  # create and sync, twice
    assert geopandas.read_parquet(tmp_path)["id"].tolist() == list(range(1, 16 * GROUP_CELLS + 6))


def test_a_disk_without_room_for_a_shard_is_told_from_a_fault_of_ours(tmp_path: Path) -> None:
    with zarr.config.set(PIPELINE):
        level = zarr.create_array(
            tmp_path / "level", shape=(600, 600), dtype="uint32", chunks=(512, 512)
        )
    block = np.random.default_rng(5).integers(0, 2**32, (600, 600)).astype(np.uint32)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            Pyramid([level], lambda: None).add(0, 0, 0, block)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
