"""Results that were spoilt on the disk after they were published: said in words at every route."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from raysched.core.model import JobId
from raysched.imaging.request import read_request
from raysched.results.measures import Newest
from serve_app.view_access import Looking
from tests.http.by_hand import Units, cut_slide
from tests.http.here import Here, run
from tests.http.test_chunks_and_measures import finished

JUNK = b"\x07" * 300
ROUTES = (
    *("view", "tiles/0/0/0", "overlay/0/0/0", "overlay/2/0/0?style=fill&by=area_um2", "cells/1"),
    *("overlay/0/0/0?style=density", "cells/at?x=240&y=240", "chunks", "tissue", "measures"),
    *("picture?x=0&y=0&width=480&height=480", "measures/area_um2/by/perimeter_um", "review"),
)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    path.write_bytes(JUNK)


def each(folder: Path, pattern: str, harm: Callable[[Path], None]) -> None:
    paths = [path for path in folder.rglob(pattern) if path.is_file()]
    assert paths
    for path in paths:
        harm(path)


HARMS: dict[str, Callable[[Path], None]] = {
    "no manifest": lambda out: (out / "manifest.json").unlink(),
    "manifest is junk": lambda out: spoil(out / "manifest.json"),
    "no labels": lambda out: shutil.rmtree(out / "labels.zarr"),
    "labels' description is junk": lambda out: each(out, "labels.zarr/**/zarr.json", spoil),
    "labels' chunks are junk": lambda out: each(out, "labels.zarr/*/c/**/*", spoil),
    "labels' chunks are cut": lambda out: each(out, "labels.zarr/*/c/**/*", cut),
    "no cells": lambda out: shutil.rmtree(out / "cells"),
    "cells are junk": lambda out: each(out, "part-*.parquet", spoil),
    "cells are cut": lambda out: each(out, "part-*.parquet", cut),
    "cells are empty": lambda out: each(out, "part-*.parquet", lambda path: path.write_bytes(b"")),
    "no tissue": lambda out: (out / "tissue.npz").unlink(),
    "tissue is junk": lambda out: spoil(out / "tissue.npz"),
    "tissue is cut": lambda out: cut(out / "tissue.npz"),
    "tissue is empty": lambda out: (out / "tissue.npz").write_bytes(b""),
    "no receipts": lambda out: (out / "receipts.json").unlink(),
    "receipts are junk": lambda out: spoil(out / "receipts.json"),
}


def test_damaged_results_are_said_to_be_so_at_every_route(
    tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_slide(sample_slide, tmp_path / "slides")

    async def work(here: Here) -> None:
        job = await finished(here, Units(here, monkeypatch))
        view = await here.gateway.job(here.job(job).user, JobId(job))
        out, sound = Path(read_request(view.kind, view.request).out), tmp_path / "sound"
        shutil.copytree(out, sound)
        wrong = {}
        for name, harm in HARMS.items():
            shutil.rmtree(out)
            shutil.copytree(sound, out)
            harm(out)
            forget(here)
            for path, answer in await asked(here.http, job):
                if answer.status_code == 500:
                    wrong[name, path] = answer.text
                assert str(tmp_path) not in answer.text
        assert not wrong

    run(tmp_path, monkeypatch, work)


def forget(here: Here) -> None:
    """As a replica that has just been started."""
    here.app.state.looking = Looking()
    here.app.state.measured, here.app.state.measure_pairs = Newest(), Newest()


async def asked(http: httpx.AsyncClient, job: str) -> list[tuple[str, httpx.Response]]:
    answers = [(path, await http.get(f"/jobs/{job}/{path}")) for path in ROUTES]
    for what in ("cells", "tiles"):
        body = {"what": what, "size": 5, "replace": True}
        answers.append((what, await http.post(f"/jobs/{job}/review", json=body)))
    return answers
