"""CSV and GeoJSON of finished and unfinished jobs, against the rules of their readers."""

from __future__ import annotations

import csv
import gzip
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import geopandas
import numpy as np
import pytest
import shapely

from raysched.errors import InvalidSetting, NotReady, StorageFailed
from raysched.results.export import MEASURES, export, export_file
from raysched.results.manifest import MANIFEST, read_manifest
from raysched.results.reading import CellFolder, open_cells
from raysched.results.schema import CELLS
from tests.results.conftest import Attempt


def geojson(folder: Path) -> dict[str, Any]:
    buffer = io.BytesIO()
    export(folder, "geojson", buffer)
    found: dict[str, Any] = json.loads(buffer.getvalue(), parse_constant=pytest.fail)
    return found


def outlines(folder: Path) -> list[bytes]:
    """WKB of all cells, in id order."""
    return [wkb for cells in open_cells(folder) for wkb in cells.column("geometry").to_pylist()]


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


def test_coordinates_are_short(done: Attempt) -> None:
    buffer = io.BytesIO()
    export(done.out, "geojson", buffer)
    rings = json.loads(buffer.getvalue(), parse_float=str)["features"]
    texts = [
        str(side) for f in rings for point in f["geometry"]["coordinates"][0] for side in point
    ]
    assert max(len(text.partition(".")[2]) for text in texts) <= 2


def test_geojson_tells_where_it_comes_from(done: Attempt) -> None:
    manifest = read_manifest(done.out)
    assert manifest is not None
    told = geojson(done.out)["raysched"]
    assert (told["job"], told["complete"], told["checksum"]) == (
        "job-1",
        True,
        manifest.checksum,
    )
    assert geojson(done.out) == geojson(done.out)


def test_csv_has_one_row_per_cell_and_no_outline(done: Attempt) -> None:
    cells = geopandas.read_parquet(done.out / "cells")
    buffer = io.BytesIO()
    export(done.out, "csv", buffer)
    rows = list(csv.DictReader(io.StringIO(buffer.getvalue().decode())))
    assert list(rows[0]) == [name for name in CELLS.names if name not in {"geometry", "bbox"}]
    assert [int(row["id"]) for row in rows] == cells["id"].tolist()
    assert np.allclose([float(row["area_um2"]) for row in rows], cells["area_um2"])


def test_a_name_that_ends_in_gz_is_compressed_and_reproducible(
    done: Attempt, tmp_path: Path
) -> None:
    first, second = tmp_path / "a.geojson.gz", tmp_path / "b.geojson.gz"
    export_file(done.out, first)
    export_file(done.out, second)
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(gzip.decompress(first.read_bytes())) == geojson(done.out)
    read = geopandas.read_file(io.BytesIO(gzip.decompress(first.read_bytes())))
    assert len(read) == read["id"].nunique() == len(geojson(done.out)["features"])


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
    assert collection["raysched"]["complete"] is False
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


def test_a_measurement_that_is_no_number_is_left_out() -> None:
    import pyarrow as pa

    from raysched.results.export import _measure

    got = _measure("Solidity", pa.array([0.5, float("nan"), float("inf")], pa.float32()))
    assert got.to_pylist() == [',"Solidity":0.5', "", ""]


def test_an_unknown_format_is_refused_before_anything_is_written(
    done: Attempt, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match="'xlsx'"):
        export_file(done.out, tmp_path / "cells.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_damaged_cells_are_named(done: Attempt, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / MANIFEST).write_bytes((done.out / MANIFEST).read_bytes())
    (tmp_path / "cells" / "part-00000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StorageFailed, match=r"part-00000\.parquet are damaged"):
        list(open_cells(tmp_path))


def test_outlines_are_read_back_exactly(done: Attempt) -> None:
    cells = geopandas.read_parquet(done.out / "cells")
    shapes = shapely.from_wkb(outlines(done.out))
    assert shapely.equals_exact(shapes, cells.geometry.to_numpy()).all()
