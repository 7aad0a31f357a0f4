"""Finished results and slides looked at over the real service."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from PIL import Image

from raysched.results.schema import MEASURES
from serve_app.downloads import PICTURE_KEPT
from serve_app.view_handlers import FOR_EVER
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    """A job that has succeeded."""
    made = service.submit("sample.svs", key="viewed")
    return str(service.until(made["id"], "succeeded")["id"])


@pytest.fixture(scope="module")
def folder(service: Service, job: str) -> Path:
    """Its results on the server's disk."""
    return service.config.results / job


def test_the_overlay_is_the_published_labels(service: Service, job: str, folder: Path) -> None:
    view = service.http.get(f"/jobs/{job}/view").raise_for_status().json()
    overlay = view["overlay"]
    assert (view["complete"], overlay["levels"]) == (True, 6)
    assert view["cells"] == sum(1 for _ in pq.read_table(folder / "cells")["id"])
    ids = np.asarray(zarr.open_group(folder / "labels.zarr", mode="r")["0"][:])
    whole = np.zeros_like(ids)
    for x, y in np.ndindex(5, 6):
        path = overlay["href"].format(z=3, x=x, y=y).removeprefix("/api/v1")
        data = service.http.get(path, params={"style": "fill"}).raise_for_status().content
        tile = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
        whole[y * 512 :, x * 512 :][:512, :512] = tile[..., 3]
    assert (whole == np.where(ids > 0, 255, 0)).all()


def test_a_click_tells_the_row_of_the_results(service: Service, job: str, folder: Path) -> None:
    ids = np.asarray(zarr.open_group(folder / "labels.zarr", mode="r")["0"][:])
    rows: Any = pq.read_table(folder / "cells").to_pylist()
    for row in rows[::200]:
        y, x = (int(each[0]) for each in np.nonzero(ids == row["id"]))
        asked = {"x": x + 0.5, "y": y + 0.5}
        cell = service.http.get(f"/jobs/{job}/cells/at", params=asked).json()["cell"]
        assert {each["name"]: each["value"] for each in cell["measures"]} == {
            name: row[name] for name in MEASURES
        }
        assert (cell["id"], cell["tile"], cell["provisional"]) == (row["id"], row["tile"], False)
        assert service.http.get(f"/jobs/{job}/cells/{row['id']}").json() == cell


def test_a_tile_may_be_kept_for_ever_only_under_its_checksum(service: Service, job: str) -> None:
    version = service.http.get(f"/jobs/{job}/view").json()["version"]
    assert version == service.http.get(f"/jobs/{job}").json()["checksum"]
    wanted = {version: FOR_EVER["Cache-Control"], "0": "no-store", "": "no-store"}
    for v, kept in wanted.items():
        answer = service.http.get(f"/jobs/{job}/overlay/0/0/0", params={"v": v})
        assert answer.headers["cache-control"] == kept
    assert service.http.get(f"/jobs/{job}/overlay/0/0/0").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["tiles/0/0/0", "tissue"])
def test_who_logs_in_next_sees_no_picture_that_the_browser_has_kept(
    path: str, service: Service, job: str
) -> None:
    answer = service.http.get(f"/jobs/{job}/{path}").raise_for_status()
    assert {name: answer.headers[name] for name in PICTURE_KEPT} == PICTURE_KEPT


def test_deleted_results_are_gone_at_once(service: Service) -> None:
    made = service.submit("sample.svs", key="viewed-and-deleted", tile_px=512)
    job = service.until(made["id"], "succeeded")["id"]
    for path in ("view", "overlay/0/0/0", "cells/1"):
        assert service.http.get(f"/jobs/{job}/{path}").status_code == 200
    service.http.delete(f"/jobs/{job}/results").raise_for_status()
    for path in ("view", "overlay/0/0/0", "cells/1"):
        answer = service.http.get(f"/jobs/{job}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_slide_of_ones_own_is_seen_as_tiles(service: Service) -> None:
    body = {"folder": 0, "path": "sample.svs"}
    slide = service.http.post("/slides", json=body).raise_for_status().json()["id"]
    while service.http.get(f"/slides/{slide}").json()["state"] == "checking":
        pass
    view = service.http.get(f"/slides/{slide}/view").raise_for_status().json()
    assert (view["width"], view["height"], view["tile_px"], view["levels"]) == (2220, 2967, 256, 5)
    path = view["href"].format(z=4, x=8, y=11).removeprefix("/api/v1")
    tile = Image.open(io.BytesIO(service.http.get(path).raise_for_status().content))
    assert (tile.format, tile.size) == ("JPEG", (2220 - 8 * 256 + 1, 2967 - 11 * 256 + 1))


def test_a_tissue_mask_has_no_cells_to_look_at(service: Service) -> None:
    made = service.submit("sample.svs", key="viewed-mask", kind="tissue_mask")
    job = service.until(made["id"], "succeeded")["id"]
    view = service.http.get(f"/jobs/{job}/view").raise_for_status().json()
    assert (view["complete"], view["overlay"], view["measures"]) == (True, None, [])
    assert view["tissue"]["width"] * view["tissue"]["l0_per_px"] == pytest.approx(2220, rel=0.02)
    assert service.http.get(f"/jobs/{job}/overlay/0/0/0").status_code == 409
