"""Every export opened by the readers people have: equal counts, equal cells, the right frame."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydantic_zarr.v2
import pytest
import shapely
import tifffile
import zarr
from ome_zarr_models.v04.image import Image as ImageV04
from ome_zarr_models.v04.image_label import ImageLabel as ImageLabelV04
from ome_zarr_models.v05.image_label import ImageLabel

from raysched.imaging.request import SegmentationRequest
from raysched.results.exports.export import Export, export_files
from raysched.results.exports.formats import KINDS, Format
from raysched.results.manifest import MANIFEST
from raysched.results.schema import CELLS, MEASURES
from tests.results.conftest import CROP_PX, LEICA_AT, LEICA_NM, LEICA_SIZE, Attempt

MPP = LEICA_NM / 1000
# The readers warn of what has become of their own dependencies.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@dataclass(frozen=True)
class Exported:
    """All formats of one folder, and the cells as they were published."""

    folder: Path
    source: Path
    cells: Any

    def __getitem__(self, wanted: Format) -> Path:
        return self.folder / f"x{KINDS[wanted].suffix}"


@pytest.fixture(scope="module")
def exported(bounded_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The results of a slide with bounds in all formats."""
    out = tmp_path_factory.mktemp("bounded") / "out"
    request = SegmentationRequest(slide=str(bounded_slide), out=str(out), tile_px=512)
    Attempt(request).run()
    made = Exported(tmp_path_factory.mktemp("exported"), out, geopandas.read_parquet(out / "cells"))
    for wanted in set(Format) - {Format.CSV_POLYGONS}:  # those come with the CSV
        export_files(out, made[wanted], wanted)
    return made


@pytest.fixture(scope="module")
def spatial(exported: Exported) -> Any:
    """The SpatialData object; its library warns of its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spatialdata

        return spatialdata.read_zarr(exported[Format.SPATIALDATA])


def told(exported: Exported, wanted: Format) -> dict[str, Any]:
    """What an export of the folder says of itself."""
    return {
        "raysched": "0.1.0",
        "format": wanted.value,
        "frame": KINDS[wanted].frame.value,
        "origin_px": list(LEICA_AT) if wanted is Format.GEOJSON else [0, 0],
        "job": "job-1",
        "slide": "bounded.scn",
        "complete": True,
        "cells": len(exported.cells),
        "um_per_px": MPP,
    }


def test_every_format_tells_the_same_cells_and_its_own_frame(
    exported: Exported, spatial: Any
) -> None:
    def of(image: Any) -> Any:
        return zarr.open_group(image, mode="r").attrs["raysched"]

    schema = pq.read_schema(exported[Format.GEOPARQUET])
    zipped = zarr.storage.ZipStore(exported[Format.OME_ZARR_ZIP], mode="r")
    said = {
        Format.GEOJSON: json.loads(exported[Format.GEOJSON].read_bytes())["raysched"],
        Format.GEOPARQUET: json.loads(schema.metadata[b"raysched"]),
        Format.H5AD: json.loads(anndata.read_h5ad(exported[Format.H5AD]).uns["raysched"]),
        Format.SPATIALDATA: spatial.attrs["raysched"],
        Format.OME_ZARR: of(exported[Format.OME_ZARR]),
        Format.OME_ZARR_04: of(exported[Format.OME_ZARR_04]),
        Format.OME_ZARR_ZIP: of(zipped),
        Format.MANIFEST: json.loads(exported[Format.MANIFEST].read_bytes()),
    }  # fmt: skip
    zipped.close()
    manifest = json.loads((exported.source / MANIFEST).read_text())
    for wanted, found in said.items():
        want = told(exported, wanted)
        assert {name: found[name] for name in want} == want
        assert found["manifest"] == manifest
    beside = json.loads((exported.folder / "x.csv.manifest.json").read_text())
    assert beside["manifest"] == manifest


def test_geojson_alone_is_without_the_bounds_offset_of_the_slide(
    exported: Exported, crop: Path
) -> None:
    shown = geopandas.read_file(exported[Format.GEOJSON])
    moved = exported.cells.geometry.translate(-LEICA_AT[0], -LEICA_AT[1])
    assert shapely.equals_exact(shown.geometry.to_numpy(), moved.to_numpy(), tolerance=0.0051).all()
    assert len(shown) > 100
    whole = shapely.box(0, 0, CROP_PX, CROP_PX)
    assert shapely.contains(whole, shown.geometry.to_numpy()).all()
    at = shapely.get_coordinates(shapely.centroid(shown.geometry.to_numpy())).astype(int)
    brightness = tifffile.imread(crop).mean(axis=2)
    assert brightness[at[:, 1], at[:, 0]].mean() < np.percentile(brightness, 25)
    polygons = pd.read_csv(exported.folder / "x.polygons.csv")
    assert shapely.equals_exact(
        shapely.from_wkt(polygons["polygon"]), exported.cells.geometry.to_numpy(), tolerance=0.0051
    ).all()


def test_pandas_reads_the_csv_with_all_digits(exported: Exported) -> None:
    table = pd.read_csv(exported[Format.CSV], engine="pyarrow")  # the exact engine
    want = exported.cells.drop(columns="geometry")
    assert list(table.columns) == list(want.columns)
    for name in table.columns:
        kind = want[name].dtype
        assert np.array_equal(table[name].astype(kind).to_numpy(), want[name].to_numpy()), name


def test_geopandas_and_pyarrow_read_one_geoparquet_file(exported: Exported) -> None:
    path = exported[Format.GEOPARQUET]
    cells = geopandas.read_parquet(path)
    assert cells.equals(exported.cells)
    assert cells.crs is None
    assert cells.geometry.is_valid.all()
    assert pq.read_schema(path).equals(CELLS)
    assert pq.read_schema(path).field("area_um2").metadata[b"unit"] == b"um2"
    region = (400, 300, 500, 400)
    assert len(geopandas.read_parquet(path, bbox=region)) == len(
        exported.cells[exported.cells.intersects(shapely.box(*region))]
    )


def test_anndata_reads_the_h5ad(exported: Exported) -> None:
    table = anndata.read_h5ad(exported[Format.H5AD])
    cells = exported.cells
    assert table.shape == (len(cells), len(MEASURES))
    assert list(table.var_names) == list(MEASURES)
    assert list(table.var["unit"])[:2] == ["um2", "um"]
    assert table.obs_names.tolist() == [str(cell) for cell in cells["id"]]
    assert table.obs["cell_id"].tolist() == cells["id"].tolist()
    assert table.obs["tile"].tolist() == cells["tile"].tolist()
    assert np.array_equal(table.X, cells[list(MEASURES)].to_numpy(np.float32))
    centroids = cells[["centroid_x_px", "centroid_y_px"]].to_numpy()
    assert np.array_equal(table.obsm["spatial"], centroids)


def test_an_h5ad_that_was_read_can_be_written_again(exported: Exported, tmp_path: Path) -> None:
    table = anndata.read_h5ad(exported[Format.H5AD])
    table.write_h5ad(tmp_path / "again.h5ad")
    again = anndata.read_h5ad(tmp_path / "again.h5ad")
    assert np.array_equal(again.X, table.X)
    assert again.obs.equals(table.obs)


def test_spatialdata_reads_polygons_masks_and_table_as_one(
    exported: Exported, spatial: Any
) -> None:
    import spatialdata

    cells = exported.cells
    shapes, table, masks = spatial["cells"], spatial["table"], spatial["cell_masks"]
    assert shapes.index.tolist() == cells["id"].tolist()
    assert shapely.equals_exact(shapes.geometry.to_numpy(), cells.geometry.to_numpy()).all()
    assert table.obs["cell_id"].tolist() == cells["id"].tolist()
    assert np.array_equal(table.X, cells[list(MEASURES)].to_numpy(np.float32))
    assert table.uns["spatialdata_attrs"] == {
        "region": "cells",
        "region_key": "region",
        "instance_key": "cell_id",
    }
    painted = zarr.open_group(exported.source / "labels.zarr", mode="r")["0"][:]
    assert np.array_equal(spatialdata.get_pyramid_levels(masks, n=0).to_numpy(), painted)


def test_spatialdata_places_polygons_and_masks_alike(exported: Exported, spatial: Any) -> None:
    from spatialdata import get_extent, join_spatialelement_table

    for system, scale in (("global", 1.0), ("micrometers", MPP)):
        drawn = get_extent(spatial["cells"], coordinate_system=system)
        whole = get_extent(spatial["cell_masks"], coordinate_system=system)
        want = exported.cells.total_bounds * scale
        assert np.allclose([*drawn["x"], *drawn["y"]], want[[0, 2, 1, 3]])
        assert np.allclose(
            [*whole["x"], *whole["y"]], np.array([0, LEICA_SIZE[0], 0, LEICA_SIZE[1]]) * scale
        )
    elements, table = join_spatialelement_table(
        sdata=spatial, spatial_element_names="cells", table_name="table"
    )
    assert len(elements["cells"]) == len(table) == len(exported.cells)


def test_a_spatialdata_object_that_was_read_is_valid_and_can_be_written_again(
    spatial: Any, tmp_path: Path
) -> None:
    import spatialdata
    from spatialdata.models import get_model

    for name in ("cells", "cell_masks", "table"):
        get_model(spatial[name])().validate(spatial[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spatial.write(tmp_path / "again.zarr", update_sdata_path=False)
        again = spatialdata.read_zarr(tmp_path / "again.zarr")
    assert len(again["cells"]) == len(again["table"]) == len(spatial["cells"])


def test_ome_zarr_models_accept_0_5_as_a_folder_and_as_a_zip(exported: Exported) -> None:
    zipped = zarr.storage.ZipStore(exported[Format.OME_ZARR_ZIP], mode="r")
    painted = zarr.open_group(exported.source / "labels.zarr", mode="r")
    for store in (exported[Format.OME_ZARR], zipped):
        group = zarr.open_group(store, mode="r")
        image = ImageLabel.from_zarr(group)
        assert image.attributes.ome.version == "0.5"
        for level in painted:
            assert np.array_equal(group[level][:], painted[level][:])
        assert group["0"][:].max() == len(exported.cells)
    zipped.close()


def test_ome_zarr_models_accept_0_4_with_the_same_pixels(exported: Exported) -> None:
    for model in (ImageV04, ImageLabelV04):  # its annotations name what it does not import
        model.model_rebuild(_types_namespace=vars(pydantic_zarr.v2))
    group = zarr.open_group(exported[Format.OME_ZARR_04], mode="r")
    assert group.metadata.zarr_format == 2
    image = ImageLabelV04.from_zarr(group)
    (multiscale,) = image.attributes.multiscales
    assert (multiscale.version, image.attributes.image_label.version) == ("0.4", "0.4")
    scales = [dataset.coordinateTransformations[0].scale for dataset in multiscale.datasets]
    assert scales == [[MPP * 2**level] * 2 for level in range(len(scales))]
    painted = zarr.open_group(exported.source / "labels.zarr", mode="r")
    assert sorted(group) == sorted(painted)
    for level in painted:
        assert np.array_equal(group[level][:], painted[level][:])


def test_ome_zarr_reads_both_versions(exported: Exported, spatial: Any) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    for wanted in (Format.OME_ZARR, Format.OME_ZARR_04):
        (node,) = Reader(parse_url(exported[wanted]))()
        assert int(node.data[0].max().compute()) == len(exported.cells)


def test_the_zip_has_its_metadata_first_and_says_so(exported: Exported) -> None:
    with zipfile.ZipFile(exported[Format.OME_ZARR_ZIP]) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
        comment = json.loads(archive.comment)
    names = [entry.filename for entry in entries]
    assert names[0] == "zarr.json"
    metadata = [name.endswith("zarr.json") for name in names]
    assert metadata == sorted(metadata, reverse=True)
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert comment == {
        "ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}
    }


@pytest.mark.parametrize("wanted", [Format.SPATIALDATA, Format.OME_ZARR, Format.OME_ZARR_04])
def test_a_folder_comes_as_a_zip_where_there_can_be_no_folder(
    wanted: Format, exported: Exported, tmp_path: Path
) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError("a pipe cannot tell")

    pipe = Pipe()
    Export(exported.source, wanted).stream(pipe)
    export_files(exported.source, tmp_path / "x.zip", wanted)
    for archive in (io.BytesIO(pipe.getvalue()), tmp_path / "x.zip"):
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
            names = sorted(opened.namelist())
        folder = exported[wanted]
        assert names == sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )


def test_an_unfinished_job_is_read_by_the_same_readers(attempt: Attempt, tmp_path: Path) -> None:
    import spatialdata

    attempt.plan()
    attempt.segment(1)
    made = Exported(tmp_path, attempt.staging, None)
    for wanted in (Format.CSV, Format.GEOJSON, Format.GEOPARQUET, Format.H5AD, Format.SPATIALDATA):
        export_files(attempt.staging, made[wanted], wanted)
    spatial = spatialdata.read_zarr(made[Format.SPATIALDATA])
    counts = {
        len(pd.read_csv(made[Format.CSV])),
        len(pd.read_csv(tmp_path / "x.polygons.csv")),
        len(geopandas.read_file(made[Format.GEOJSON])),
        len(geopandas.read_parquet(made[Format.GEOPARQUET])),
        len(anndata.read_h5ad(made[Format.H5AD])),
        len(spatial["cells"]),
        len(spatial["table"]),
    }
    assert len(counts) == 1
    assert counts.pop() > 0
    assert list(spatial.labels) == []
    assert spatial.attrs["raysched"]["complete"] is False


def test_no_cells_at_all_is_an_export_too(attempt: Attempt, tmp_path: Path) -> None:
    attempt.plan()
    made = Exported(tmp_path, attempt.staging, None)
    for wanted in (Format.CSV, Format.GEOJSON, Format.GEOPARQUET, Format.H5AD, Format.SPATIALDATA):
        export_files(attempt.staging, made[wanted], wanted)
    assert len(pd.read_csv(made[Format.CSV])) == 0
    assert json.loads(made[Format.GEOJSON].read_bytes())["features"] == []
    assert len(geopandas.read_parquet(made[Format.GEOPARQUET])) == 0
    assert anndata.read_h5ad(made[Format.H5AD]).shape == (0, len(MEASURES))
    assert zarr.open_group(made[Format.SPATIALDATA], mode="r")["tables/table/X"].shape == (0, 8)
