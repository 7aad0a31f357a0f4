"""The rules of CSV and GeoJSON, and what holds of every export: checked, whole or not there."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import struct
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from raysched.errors import InternalError, InvalidSetting, NotReady, StorageFailed
from raysched.results.exports import digits
from raysched.results.exports.ahead import ahead
from raysched.results.exports.export import Export, export_files, paths_of
from raysched.results.exports.formats import KINDS, Format, named
from raysched.results.exports.geojson import CELL_NAMES, MEASURES, _measure, uuids
from raysched.results.exports.rings import RING_HEAD, rings, valid_rings
from raysched.results.exports.simple import surely_simple
from raysched.results.manifest import MANIFEST, read_manifest
from raysched.results.reading import CellFolder
from raysched.results.schema import CELLS
from tests.results.conftest import Attempt

WHOLE = [each for each in KINDS if KINDS[each].whole]


def streamed(folder: Path, wanted: Format, *, gzipped: bool = False) -> bytes:
    buffer = io.BytesIO()
    Export(folder, wanted).stream(buffer, gzipped=gzipped)
    return buffer.getvalue()


def geojson(folder: Path) -> dict[str, Any]:
    text = streamed(folder, Format.GEOJSON)
    found: dict[str, Any] = json.loads(text, parse_constant=pytest.fail)
    return found


def outlines(folder: Path) -> list[bytes]:
    """WKB of all cells, in id order."""
    return [
        wkb
        for cells in CellFolder(folder).batches()
        for wkb in cells.column("geometry").to_pylist()
    ]


def copied(done: Attempt, to: Path) -> Path:
    """A results folder that a test may spoil."""
    shutil.copytree(done.out, to)
    return to


def rewritten(folder: Path, change: Any) -> None:
    """The cells of a folder after ``change(table)``."""
    path = folder / "cells" / "part-00000.parquet"
    pq.write_table(change(pq.read_table(path)).cast(CELLS), path)


def test_geojson_follows_the_rules_of_qupath(done: Attempt) -> None:
    cells = geopandas.read_parquet(done.out / "cells")
    collection = geojson(done.out)
    assert collection["type"] == "FeatureCollection"
    features = collection["features"]
    assert len(features) == len(cells)
    assert len({UUID(feature["id"]) for feature in features}) == len(cells)
    assert {UUID(feature["id"]).version for feature in features} == {5}
    for feature, cell in zip(features, cells.itertuples(), strict=True):
        assert set(feature) == {"type", "id", "geometry", "properties"}
        assert feature["type"] == "Feature"
        assert set(feature["properties"]) == {"objectType", "measurements"}
        assert feature["properties"]["objectType"] == "detection"
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert len(ring) >= 4
        assert np.allclose(ring, cell.geometry.exterior.coords, rtol=0, atol=0.0051)
        measured = feature["properties"]["measurements"]
        assert measured["Cell ID"] == cell.id
        assert measured.keys() <= {"Cell ID", *MEASURES}
        for name, column in MEASURES.items():
            assert measured[name] == pytest.approx(getattr(cell, column), abs=1e-4)
    assert shapely.is_valid([shapely.geometry.shape(f["geometry"]) for f in features]).all()


def test_coordinates_are_short(done: Attempt) -> None:
    rings_ = json.loads(streamed(done.out, Format.GEOJSON), parse_float=str)["features"]
    texts = [
        str(side) for f in rings_ for point in f["geometry"]["coordinates"][0] for side in point
    ]
    assert max(len(text.partition(".")[2]) for text in texts) <= 2


def test_geojson_tells_where_it_comes_from(done: Attempt) -> None:
    manifest = read_manifest(done.out)
    assert manifest is not None
    told = geojson(done.out)["raysched"]
    assert (told["job"], told["complete"], told["cells"], told["checksum"]) == (
        "job-1",
        True,
        manifest.counts.cells,
        manifest.checksum,
    )
    assert told["manifest"] == json.loads((done.out / MANIFEST).read_text())
    assert geojson(done.out) == geojson(done.out)


def test_csv_has_one_row_per_cell_and_no_outline(done: Attempt) -> None:
    cells = geopandas.read_parquet(done.out / "cells")
    rows = list(csv.DictReader(io.StringIO(streamed(done.out, Format.CSV).decode())))
    assert list(rows[0]) == [name for name in CELLS.names if name not in {"geometry", "bbox"}]
    assert [int(row["id"]) for row in rows] == cells["id"].tolist()
    assert np.allclose([float(row["area_um2"]) for row in rows], cells["area_um2"])


def test_the_polygons_of_a_csv_are_in_a_second_file_and_the_manifest_in_a_third(
    done: Attempt, tmp_path: Path
) -> None:
    written = export_files(done.out, tmp_path / "cells.csv.gz")
    assert [path.name for path in written.beside] == [
        "cells.polygons.csv.gz",
        "cells.csv.manifest.json",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        path.name for path in [written.path, *written.beside]
    }
    with gzip.open(written.beside[0], "rt") as file:
        rows = list(csv.DictReader(file))
    cells = geopandas.read_parquet(done.out / "cells")
    assert [int(row["id"]) for row in rows] == cells["id"].tolist()
    shapes = shapely.from_wkt([row["polygon"] for row in rows])
    assert shapely.is_valid(shapes).all()
    assert shapely.equals_exact(shapes, cells.geometry.to_numpy(), tolerance=0.0051).all()
    told = json.loads(written.beside[1].read_text())
    assert (told["cells"], told["frame"]) == (len(cells), "level-0 px of the slide")


@pytest.mark.parametrize(
    ("name", "wanted", "beside"),
    [
        ("a.csv", Format.CSV, ["a.polygons.csv", "a.csv.manifest.json"]),
        ("a.polygons.csv", Format.CSV_POLYGONS, ["a.polygons.csv.manifest.json"]),
        ("a.v04.ome.zarr", Format.OME_ZARR_04, []),
        ("a.b.ome.zarr", Format.OME_ZARR, []),
        ("a.spatialdata.zarr", Format.SPATIALDATA, []),
        ("a.h5ad", Format.H5AD, []),
    ],
)
def test_the_longest_ending_of_a_name_says_the_format(
    name: str, wanted: Format, beside: list[str]
) -> None:
    assert named(name) is wanted
    assert [path.name for path in paths_of(Path(name), wanted)] == [name, *beside]


def test_a_name_that_ends_in_gz_is_compressed_and_reproducible(
    done: Attempt, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.geojson.gz", tmp_path / "b.geojson.gz"
    export_files(done.out, first)
    export_files(done.out, second)
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(gzip.decompress(first.read_bytes())) == geojson(done.out)
    read = geopandas.read_file(io.BytesIO(gzip.decompress(first.read_bytes())))
    assert len(read) == read["id"].nunique() == len(geojson(done.out)["features"])


@pytest.mark.parametrize("wanted", [Format.GEOPARQUET, Format.H5AD, Format.OME_ZARR])
def test_what_is_compressed_already_is_not_gzipped(
    wanted: Format, done: Attempt, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match="compressed already"):
        streamed(done.out, wanted, gzipped=True)
    with pytest.raises(InvalidSetting, match="compressed already"):
        export_files(done.out, tmp_path / f"x{KINDS[wanted].suffix}.gz")
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_job_can_be_exported_and_says_so(attempt: Attempt) -> None:
    planned = attempt.plan()
    with pytest.raises(NotReady):
        CellFolder(attempt.out)
    assert geojson(attempt.staging)["features"] == []
    attempt.segment(0)
    partial = CellFolder(attempt.staging).contents
    assert (partial.complete, partial.checksum) == (False, None)
    assert 0 < partial.tiles_done < partial.tiles == sum(planned.chunk_tiles)
    collection = geojson(attempt.staging)
    told = collection["raysched"]
    assert (told["complete"], told["tiles"]) == (False, [partial.tiles_done, partial.tiles])
    assert (told["manifest"]["engine"], told["manifest"]["slide"]["name"]) == (
        "classical",
        "crop.tif",
    )
    assert len(collection["features"]) == partial.cells > 0
    for chunk in range(1, len(planned.chunk_tiles)):
        attempt.segment(chunk)
    whole = outlines(attempt.staging)
    before = geojson(attempt.staging)
    attempt.assemble()
    attempt.publish()
    assert outlines(attempt.out) == whole
    ids = [{f["id"] for f in found["features"]} for found in (before, geojson(attempt.out))]
    assert ids[0].isdisjoint(ids[1])


def test_cells_that_are_settled_while_a_job_runs_are_in_its_result(attempt: Attempt) -> None:
    planned = attempt.plan()
    settled: list[set[bytes]] = []
    for chunk in range(len(planned.chunk_tiles)):
        attempt.segment(chunk)
        batches = CellFolder(attempt.staging).batches(settled=True)
        settled.append({wkb for cells in batches for wkb in cells.column("geometry").to_pylist()})
    attempt.assemble()
    attempt.publish()
    everything = set(outlines(attempt.out))
    assert settled[-1] == everything
    assert all(early < late for early, late in pairwise(settled))
    assert len(settled) > 2
    assert 0 < len(settled[0]) < len(everything)


def test_what_is_written_beside_holds_the_same_cells_though_the_job_goes_on(
    attempt: Attempt,
) -> None:
    attempt.plan()
    attempt.segment(0)
    export = Export(attempt.staging, Format.CSV)
    cells, polygons, manifest = io.BytesIO(), io.BytesIO(), io.BytesIO()
    attempt.segment(1)
    for each, to in zip([export, *export.beside()], (cells, polygons, manifest), strict=True):
        each.stream(to)
    assert json.loads(manifest.getvalue())["cells"] == export.contents.cells
    for table in (cells, polygons):
        rows = csv.DictReader(io.StringIO(table.getvalue().decode()))
        assert [int(row["id"]) for row in rows] == list(range(1, export.contents.cells + 1))
    assert Export(attempt.staging, Format.CSV).contents.cells > export.contents.cells


def test_a_job_that_is_published_while_it_is_exported_says_so(attempt: Attempt) -> None:
    attempt.plan()
    attempt.segment(0)
    export = Export(attempt.staging, Format.GEOJSON)
    for chunk in (1, 2):
        attempt.segment(chunk)
    attempt.assemble()
    attempt.publish()
    with pytest.raises(StorageFailed, match="cannot be read any more") as caught:
        export.stream(io.BytesIO())
    assert "read its results" in caught.value.remedy


@pytest.mark.parametrize("wanted", WHOLE)
def test_a_label_image_of_an_unfinished_job_is_refused(wanted: Format, attempt: Attempt) -> None:
    attempt.plan()
    with pytest.raises(NotReady, match="label image") as caught:
        Export(attempt.staging, wanted)
    assert "geojson" in caught.value.remedy


def test_a_measurement_that_is_no_number_is_left_out() -> None:
    got = _measure("Solidity", pa.array([0.5, float("nan"), float("inf")], pa.float32()))
    assert got.to_pylist() == [',"Solidity":0.5', "", ""]


def test_a_name_of_no_format_is_refused_before_anything_is_written(
    done: Attempt, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match=r"cells\.xlsx"):
        export_files(done.out, tmp_path / "cells.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_format_whose_library_is_missing_says_how_to_install_it(
    done: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.delitem(sys.modules, "raysched.results.exports.hdf5", raising=False)
    with pytest.raises(InvalidSetting, match="h5py") as caught:
        Export(done.out, Format.H5AD)
    assert "pip install 'raysched[spatial]'" in caught.value.remedy


def test_damaged_cells_are_named(done: Attempt, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / MANIFEST).write_bytes((done.out / MANIFEST).read_bytes())
    (tmp_path / "cells" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StorageFailed, match=r"part-00000\.parquet are damaged"):
        list(CellFolder(tmp_path).batches())


def without_the_last(table: Any) -> Any:
    return table.slice(0, table.num_rows - 1)


def without_the_third(table: Any) -> Any:
    return pa.concat_tables([table.slice(0, 2), table.slice(3)])


def with_another_area(table: Any) -> Any:
    areas = table.column("area_um2").to_numpy().copy()
    areas[3] += 1e-9
    return table.set_column(table.column_names.index("area_um2"), "area_um2", pa.array(areas))


@pytest.mark.parametrize("wanted", [Format.CSV, Format.GEOJSON, Format.GEOPARQUET, Format.H5AD])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (without_the_last, "cells instead of"),
        (without_the_third, "id 3 is not in its place"),
        (with_another_area, "the checksum of area_um2 differs"),
    ],
)
def test_cells_that_are_not_those_of_the_manifest_leave_no_file(
    change: Any, what: str, wanted: Format, done: Attempt, tmp_path: Path
) -> None:
    folder = copied(done, tmp_path / "spoilt")
    rewritten(folder, change)
    (tmp_path / "to").mkdir()
    with pytest.raises(StorageFailed, match=what):
        export_files(folder, tmp_path / "to" / f"x{KINDS[wanted].suffix}")
    assert list((tmp_path / "to").iterdir()) == []
    assert [thread for thread in threading.enumerate() if thread.name == "ahead"] == []


BOW_TIE = [[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [0.0, 4.0], [0.0, 0.0]]
NOWHERE = [[0.0, 0.0], [float("nan"), 4.0], [4.0, 4.0], [0.0, 0.0]]


@pytest.mark.parametrize("ring", [BOW_TIE, NOWHERE])
def test_an_outline_that_is_no_valid_polygon_is_named(
    ring: list[list[float]], done: Attempt, tmp_path: Path
) -> None:
    def spoil(table: Any) -> Any:
        wkb = table.column("geometry").to_pylist()
        wkb[4] = RING_HEAD.tobytes() + struct.pack("<I", len(ring)) + np.array(ring).tobytes()
        return table.set_column(1, "geometry", pa.array(wkb, pa.binary()))

    folder = copied(done, tmp_path / "spoilt")
    rewritten(folder, spoil)
    with pytest.raises(InternalError, match="The outline of cell 5 is no valid polygon"):
        streamed(folder, Format.GEOJSON)
    with pytest.raises(StorageFailed, match="the checksum of geometry differs"):
        streamed(folder, Format.CSV)


@pytest.mark.parametrize(
    "other",
    [
        shapely.Point(1, 2),
        shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 2, 2),
        shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]),
    ],
)
def test_wkb_of_anything_but_one_ring_is_refused(other: Any) -> None:
    with pytest.raises(InternalError):
        rings(pa.array([shapely.to_wkb(shapely.box(0, 0, 1, 1), byte_order=1),
                        shapely.to_wkb(other, byte_order=1)], pa.binary()))  # fmt: skip


def test_rings_of_a_slice_are_those_of_its_polygons() -> None:
    shapes = [shapely.Point(9 * n, n).buffer(3, quad_segs=n) for n in range(1, 7)]
    wkb = pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary()).slice(2, 3)
    points, at = rings(wkb)
    want = [shapely.get_coordinates(shape) for shape in shapes[2:5]]
    assert np.array_equal(points, np.concatenate(want))
    assert np.diff(at).tolist() == [len(each) for each in want]


corner = st.tuples(st.integers(0, 8), st.integers(0, 8))


@given(st.lists(st.lists(corner, min_size=3, max_size=9), min_size=1, max_size=9))
def test_rings_are_valid_where_geos_says_so(corners: list[list[tuple[int, int]]]) -> None:
    closed = [np.array([*ring, ring[0]], np.float64) * 0.5 + 40_000.25 for ring in corners]
    at = np.cumsum([0, *(len(ring) for ring in closed)])
    want = shapely.is_valid([shapely.Polygon(ring) for ring in closed])
    points = np.concatenate(closed)
    assert valid_rings(points, at).tolist() == want.tolist()
    assert (want | ~surely_simple(points, at)).all()


def test_outlines_as_they_are_found_need_no_second_opinion(done: Attempt) -> None:
    points, at = rings(pa.array(outlines(done.out), pa.binary()))
    assert surely_simple(points, at).mean() > 0.95
    backwards = np.ascontiguousarray(points[::-1])
    assert surely_simple(backwards, at[-1] - at[::-1]).mean() > 0.95
    turns = np.linspace(0, 4 * np.pi, 25)
    twice = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (3 + turns)[:, None]
    twice[-1] = twice[0]
    assert surely_simple(twice, np.array([0, 25])).tolist() == [False]


@given(st.lists(st.integers(-(10**15), 10**15)), st.integers(0, 4))
def test_numbers_are_written_in_their_shortest_exact_form(values: list[int], decimals: int) -> None:
    text, ends = digits.numbers(np.array(values, np.int64), decimals)
    got = [bytes(text[a:b]).decode() for a, b in pairwise(ends)]
    assert [round(float(each) * 10**decimals) for each in got] == values
    assert [each for each in got if "." in each and each.endswith(("0", "."))] == []
    assert [each for each in got if each.lstrip("-")[:2] in {"00", "01"}] == []


def test_the_uuid_of_a_cell_is_version_5_of_job_and_id() -> None:
    ids = np.array([1, 9, 10, 4_000_000_000], np.uint32)
    assert uuids("job-7", ids).to_pylist() == [
        str(uuid5(CELL_NAMES, f"job-7/{cell}")) for cell in ids
    ]


def test_outlines_are_read_back_exactly(done: Attempt) -> None:
    cells = geopandas.read_parquet(done.out / "cells")
    shapes = shapely.from_wkb(outlines(done.out))
    assert shapely.equals_exact(shapes, cells.geometry.to_numpy()).all()


def test_what_is_made_ahead_comes_in_order_and_its_error_last() -> None:
    def failing() -> Any:
        yield from range(5)
        raise ValueError("no more")

    got: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        for item in ahead(failing()):
            got.append(item)  # noqa: PERF402 - what came before the error is kept
    assert got == [0, 1, 2, 3, 4]
    got.clear()
    for item in (items := ahead(range(10**9), depth=2)):
        got.append(item)
        if item == 3:
            items.close()
            break
    assert got == [0, 1, 2, 3]
    assert [thread for thread in threading.enumerate() if thread.name == "ahead"] == []


def test_a_reader_that_goes_away_ends_the_export(done: Attempt) -> None:
    class Gone(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 0:
                raise BrokenPipeError
            return super().write(data)

    for gzipped in (False, True):
        with pytest.raises(BrokenPipeError):
            Export(done.out, Format.GEOJSON).stream(Gone(), gzipped=gzipped)
    assert [thread for thread in threading.enumerate() if thread.name == "ahead"] == []
