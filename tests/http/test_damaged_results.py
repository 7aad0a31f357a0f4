"""Results that were spoilt on the disk after they were published: said in words at every route."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from raysched.cluster.removals import Removals
from raysched.core.model import JobId, Stage
from raysched.imaging.request import read_request
from raysched.results.bounded import Bounded
from serve_app import view_access
from serve_app.view_access import Looking
from tests.http.by_hand import JOB, MPP, Units, cut_slide
from tests.http.here import Here, run
from tests.http.test_chunks_and_measures import begun, finished

TISSUE_JOB = {"kind": "tissue_mask", "slide": "crop.tif", "mpp": MPP}
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


def junk_inside(path: Path) -> None:
    """As long as it was."""
    data = path.read_bytes()
    third = len(data) // 3
    path.write_bytes(data[:third] + b"\x07" * (len(data) - 2 * third) + data[-third:])


def test_damaged_chunks_of_a_job_that_was_cancelled_are_said_to_be_so(
    tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_slide(sample_slide, tmp_path / "slides")
    monkeypatch.setattr(view_access, "PAUSES_S", (0.0,))  # nothing of this gets whole by waiting

    async def work(here: Here) -> None:
        job, staging = await begun(here, Units(here, monkeypatch))
        await here.http.post(f"/jobs/{job}/cancel")
        sound = tmp_path / "sound"
        shutil.copytree(staging, sound)
        harms: dict[str, tuple[str, Callable[[Path], None]]] = {
            "sound": ("*.arrow", lambda _: None),
            "chunks are junk": ("*.arrow", junk_inside),
            "receipts are junk": ("chunks-*/*.json", spoil),
            "the plan is junk": ("plan.json", spoil),
            "the mask is junk": ("tissue.npz", spoil),
            "the plan's receipt is junk": ("planned.json", spoil),
        }
        wrong = {}
        for name, (pattern, harm) in harms.items():
            shutil.rmtree(staging)
            shutil.copytree(sound, staging)
            each(staging, pattern, harm)
            forget(here)
            for path, answer in await asked(here.http, job):
                if answer.status_code == 500 or (name == "sound" and answer.status_code > 409):
                    wrong[name, path] = answer.text
                assert str(tmp_path) not in answer.text
        assert not wrong

    run(tmp_path, monkeypatch, work)


@pytest.mark.parametrize("kind", ["cell_segmentation", "tissue_mask"])
def test_a_job_of_any_kind_and_state_is_answered_in_words_at_every_route(
    kind: str, tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_slide(sample_slide, tmp_path / "slides")
    job_of: dict[str, object] = {} if kind == "cell_segmentation" else TISSUE_JOB

    async def work(here: Here) -> None:
        units = Units(here, monkeypatch)
        jobs = [(await posted(here, job_of)) for _ in range(2)]
        wrong = {}

        async def ask(state: str, job: str) -> None:
            for path, answer in await asked(here.http, job):
                if answer.status_code >= 500:
                    wrong[state, path] = answer.text

        await ask("waiting", jobs[0])
        await here.http.post(f"/jobs/{jobs[0]}/cancel")
        await ask("cancelled", jobs[0])
        await units.open(1)
        await units.do(Stage.PLAN)
        await ask("planned", jobs[1])
        await units.do_all()
        await ask("succeeded", jobs[1])
        (tmp_path / "slides" / "crop.tif").unlink()
        await ask("without its slide", jobs[1])
        await here.http.delete(f"/jobs/{jobs[1]}/results")
        forget(here)
        for path, answer in await asked(here.http, jobs[1]):
            assert (path, answer.status_code) == (path, 404)
        assert not wrong

    run(tmp_path, monkeypatch, work)


def test_what_was_deleted_is_seen_no_more_though_its_files_are_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_slide: Path
) -> None:
    cut_slide(sample_slide, tmp_path / "slides")

    async def work(here: Here) -> None:
        job = await finished(here, Units(here, monkeypatch))
        assert (await here.http.get(f"/jobs/{job}/view")).status_code == 200
        with monkeypatch.context() as slow:
            slow.setattr(Removals, "start", lambda *_: None)
            await here.http.delete(f"/jobs/{job}/results")
        for path in ("view", "overlay/0/0/0", "cells/1"):
            assert (await here.http.get(f"/jobs/{job}/{path}")).status_code == 404

    run(tmp_path, monkeypatch, work)


async def posted(here: Here, job: dict[str, object]) -> str:
    body = {"jobs": [job or JOB]}
    answer = await here.http.post("/workflows", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobs"][0]["id"])


def forget(here: Here) -> None:
    """As a replica that has just been started."""
    here.app.state.looking = Looking()
    here.app.state.measured, here.app.state.measure_pairs = Bounded(8), Bounded(8)


async def asked(http: httpx.AsyncClient, job: str) -> list[tuple[str, httpx.Response]]:
    answers = [(path, await http.get(f"/jobs/{job}/{path}")) for path in ROUTES]
    for what in ("cells", "tiles"):
        body = {"what": what, "size": 5, "replace": True}
        answers.append((what, await http.post(f"/jobs/{job}/review", json=body)))
    return answers
