"""``raysched.Client`` against the real service: every verb, and errors as raised there."""

from __future__ import annotations

import csv
import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysched import Client
from raysched.core.accounts import Role
from raysched.core.model import JobState
from raysched.errors import (
    Conflict,
    Forbidden,
    InvalidSetting,
    NotFound,
    RequestError,
    SlideMissing,
    Unauthorized,
)
from serve_app.models import HttpJob, Job
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[Client]:
    key = service.http.headers["Authorization"].removeprefix("Bearer ")
    with Client(str(service.bare.base_url), key) as client:
        yield client


@pytest.fixture(scope="module")
def ann(admin: Client) -> Iterator[Client]:
    """A client of a user who was taken in by an administrator's client."""
    admin.create_user("ann-client", name="Ann")
    key = admin.make_user_key("ann-client", "laptop").key
    with Client(admin.url, key) as client:
        yield client


@pytest.fixture(scope="module")
def done(ann: Client) -> Job:
    """A job of hers that has succeeded."""
    job = ann.submit("sample.svs", name="client", key="done").jobs[0]
    job = ann.wait(job.id)
    assert job.state is JobState.SUCCEEDED
    return job


def test_the_same_key_is_the_same_workflow_and_another_use_of_it_a_conflict(
    ann: Client, done: Job
) -> None:
    assert ann.submit("sample.svs", name="client", key="done").id == done.workflow
    assert ann.workflow(done.workflow).jobs == (done,)
    with pytest.raises(Conflict):
        ann.cancel(done.id)
    with pytest.raises(Conflict) as raised:
        ann.submit({"slide": "sample.svs", "branch": "b"}, name="client", key="done")
    assert raised.value.facts == {"workflow": done.workflow}


def test_jobs_are_described_by_name_mapping_or_model(ann: Client) -> None:
    made = ann.submit(
        {"slide": "sample.svs", "name": "a", "tile_px": 512},
        HttpJob(slide="sample.svs", branch="b", depends_on=("a",)),
        name="three ways",
    )
    assert [(job.branch, job.tile_px) for job in made.jobs] == [("main", 512), ("b", 1024)]
    last = made.jobs[1].id
    assert last in {job.id for job in ann.jobs(open=True, page=1)}
    assert ann.explain(last).sentence
    assert ann.cancel(last).state.is_final
    assert ann.cancel(last).state.is_final
    with pytest.raises(Conflict):
        ann.retry(last)
    with pytest.raises(Conflict):
        ann.answer_mpp(last, 0.5)
    ann.cancel(made.jobs[0].id)


def test_errors_are_those_that_were_raised_in_the_service(ann: Client, done: Job) -> None:
    with pytest.raises(SlideMissing, match=r"no slide 'none\.svs'") as missing:
        ann.submit("none.svs")
    assert missing.value.remedy
    with pytest.raises(InvalidSetting, match="no_such"):
        ann.submit({"slide": "sample.svs", "params": {"no_such": 1}})
    with pytest.raises(NotFound):
        ann.job("job-of-nobody/../me")
    with pytest.raises(RequestError) as invalid:
        ann.submit()
    assert invalid.value.facts["code"] == "invalid_request"
    with pytest.raises(Forbidden):
        ann.users()
    with Client(ann.url, "rsk_nothing") as stranger, pytest.raises(Unauthorized):
        stranger.job(done.id)


def test_results_are_listed_and_downloaded(ann: Client, done: Job, tmp_path: Path) -> None:
    listed = {file.path: file.size_bytes for file in ann.results(done.id).files}
    told: list[int] = []
    cells = next(path for path in listed if path.startswith("cells/"))
    to = ann.download(done.id, cells, tmp_path / "cells.parquet", lambda at, _: told.append(at))
    assert to.stat().st_size == told[-1] == listed[cells]
    manifest = json.loads(ann.download(done.id, "manifest.json", tmp_path / "m.json").read_text())
    assert manifest["counts"]["cells"] == done.cells
    with zipfile.ZipFile(ann.download_zip(done.id, tmp_path / "all.zip")) as archive:
        assert len(archive.namelist()) == len(listed)
        inside = archive.read(f"{done.id}/{cells}")
    assert hashlib.sha256(inside).digest() == hashlib.sha256(to.read_bytes()).digest()
    with pytest.raises(NotFound):
        ann.download(done.id, "../../journal.duckdb", tmp_path / "stolen")


def test_a_download_of_the_service_is_gone_on_with(ann: Client, done: Job, tmp_path: Path) -> None:
    whole = ann.download(done.id, "preview.png", tmp_path / "whole.png")
    version = ann._wire._http.get(f"/jobs/{done.id}/results/preview.png").headers["etag"]
    tag = hashlib.sha256(version.encode()).hexdigest()[:12]
    begun = tmp_path / f".again.png.{tag}.part"
    begun.write_bytes(whole.read_bytes()[:1000])
    told: list[int] = []
    again = ann.download(
        done.id, "preview.png", tmp_path / "again.png", lambda a, _: told.append(a)
    )
    assert again.read_bytes() == whole.read_bytes()
    assert told[0] > 1000
    assert not begun.exists()


def test_exports_reports_and_differences(ann: Client, done: Job, tmp_path: Path) -> None:
    rows = csv.reader(ann.export(done.id, "csv", tmp_path / "c.csv").read_text().splitlines())
    assert len(list(rows)) == done.cells + 1
    packed = ann.export(done.id, "geojson", tmp_path / "c.geojson.gz", gzip=True)
    assert packed.read_bytes()[:2] == b"\x1f\x8b"
    assert "<html" in ann.report(done.id, tmp_path / "r.html").read_text()
    same = ann.diff(done.id, done.id)
    assert (same.matched, same.lost, same.gained) == (done.cells, 0, 0)
    assert "<html" in ann.diff_page(done.id, done.id, tmp_path / "d.html").read_text()
    with pytest.raises(InvalidSetting):
        ann.export(done.id, "geoparquet", tmp_path / "c.parquet", gzip=True)


def test_the_example_of_the_document_runs(
    ann: Client, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    Path("biopsy-12.svs").write_bytes((service.slides / "sample.svs").read_bytes())
    example = example.replace("https://raysched.example.org", ann.url)
    key = ann._wire._http.headers["Authorization"].removeprefix("Bearer ")
    exec(compile(example, "docs/client.md", "exec"), {"key": key})
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"biopsy-12.svs", "biopsy-12.geojson.gz", "biopsy-12.png"}


def test_engines_are_listed(ann: Client) -> None:
    assert "classical" in {engine.name for engine in ann.engines().engines}


def test_keys_of_one_s_own(ann: Client) -> None:
    me = ann.me()
    assert (me.id, me.name, me.role) == ("ann-client", "Ann", Role.USER)
    made = ann.make_key("wall", role="read-only", days=1)
    with Client(ann.url, made.key) as wall:
        assert wall.me().role is Role.READ_ONLY
        with pytest.raises(Forbidden):
            wall.submit("sample.svs")
        ann.revoke_key(made.id)
        with pytest.raises(Unauthorized):
            wall.me()
    mine = ann.keys()
    assert {key.id: key.revoked_at for key in mine}[made.id]


def test_an_administrator_looks_after_users_and_acts_for_them(admin: Client, done: Job) -> None:
    key = admin._wire._http.headers["Authorization"].removeprefix("Bearer ")
    with Client(admin.url, key, act_for="ann-client") as behalf:
        assert behalf.job(done.id) == done
    with pytest.raises(NotFound):
        admin.job(done.id)
    admin.create_user("bob-client")
    changed = admin.change_user("bob-client", weight=2, max_jobs=7)
    assert (changed.weight, changed.max_jobs) == (2.0, 7)
    assert admin.user("bob-client") == changed
    made = admin.make_user_key("bob-client")
    admin.revoke_user_key("bob-client", made.id)
    assert [key.id for key in admin.user_keys("bob-client")] == [made.id]
    assert admin.delete_user("bob-client").deleted_at
    assert "bob-client" not in {user.id for user in admin.users()}


def test_a_slide_is_uploaded_used_renamed_and_deleted(
    ann: Client, service: Service, tmp_path: Path
) -> None:
    sample = (service.slides / "sample.svs").read_bytes()
    mine = tmp_path / "mine.svs"
    mine.write_bytes(sample)

    class Killed(Exception):
        """As Ctrl-C in the middle."""

    def killed(done: int, _: int | None) -> None:
        if done:
            raise Killed

    with pytest.raises(Killed):
        ann.upload(mine, progress=killed, piece_bytes=500_000)
    (begun,) = ann.uploads()
    assert (begun.name, begun.offset) == ("mine.svs", 500_000)
    told: list[int] = []
    slide = ann.upload(mine, progress=lambda done, _: told.append(done))
    assert (slide.id, told) == (begun.id, [500_000, len(sample)])
    assert (slide.state, slide.width) == ("ready", 2220)
    assert slide.sha256 == hashlib.sha256(sample).hexdigest()
    assert ann.uploads() == ()
    assert ann.uploaded(mine) == slide
    assert slide in tuple(ann.slides(page=1))
    assert ann.download_slide(slide.id, tmp_path / "back.svs").read_bytes() == sample
    assert ann.thumbnail(slide.id, tmp_path / "t.png").read_bytes()[1:4] == b"PNG"
    job = ann.submit(slide.id).jobs[0]
    assert job.slide_id == slide.id
    with pytest.raises(Conflict):
        ann.delete_slide(slide.id)
    ann.cancel(job.id)
    ann.wait(job.id)
    assert ann.rename_slide(slide.id, "other.svs").name == "other.svs"
    assert ann.uploaded(mine) is None
    ann.delete_slide(slide.id)
    with pytest.raises(NotFound):
        ann.slide(slide.id)


def test_what_is_no_slide_is_refused_with_the_reason(ann: Client, tmp_path: Path) -> None:
    text = tmp_path / "text.svs"
    text.write_text("no slide" * 1000)
    with pytest.raises(RequestError) as raised:
        ann.upload(text)
    assert raised.value.remedy


def test_a_server_s_file_is_registered(ann: Client, service: Service) -> None:
    folders = ann.slide_folders().folders
    number = next(each.folder for each in folders if each.name == service.slides.name)
    assert "sample.svs" in {entry.path for entry in ann.slide_folders(number).entries}
    slide = ann.register(number, "sample.svs")
    assert (slide.source, slide.state) == ("server", "ready")
    ann.delete_slide(slide.id)


def test_workflows_are_listed_cancelled_and_deleted_whole(ann: Client) -> None:
    made = [ann.submit("sample.svs", name=f"whole {number}") for number in range(3)]
    named = tuple(ann.workflows(page=1, name="whole"))
    assert [each.id for each in named] == [each.id for each in reversed(made)]
    assert all(
        job.state.is_final or job.state == "cancelling"
        for job in ann.cancel_workflow(made[0].id).jobs
    )
    assert ann.cancel_all() >= 0
    for each in made:
        ann.wait(each.jobs[0].id)
    ann.delete_workflow(made[0].id)
    with pytest.raises(NotFound):
        ann.workflow(made[0].id)
    assert ann.delete_results(made[1].jobs[0].id).results_deleted_at


def test_a_workflow_has_all_its_jobs_however_many(ann: Client) -> None:
    jobs = [{"slide": "sample.svs", "kind": "tissue_mask", "name": f"n{i}"} for i in range(45)]
    made = ann.submit(*jobs, name="many")
    first = next(ann.jobs(workflow=made.id, page=1)).id
    assert len(tuple(ann.jobs(workflow=made.id, page=20))) == 45
    whole = ann.workflow(made.id)
    assert len({job.id for job in whole.jobs}) == 45
    assert first in {job.id for job in whole.jobs}
    ann.cancel_workflow(made.id)


def test_changes_are_told_as_they_happen(ann: Client) -> None:
    changes = ann.changes()
    first = next(changes)
    assert (first.job, first.deleted) == (None, None)
    job = ann.submit("sample.svs", name="told").jobs[0].id
    ann.cancel(job)
    told = next(change.job for change in changes if change.job and change.job.id == job)
    assert told.workflow
    changes.close()


def test_an_administrator_holds_the_cluster(admin: Client, ann: Client) -> None:
    assert admin.pause().paused_at
    assert admin.drain().draining_at
    gates = admin.resume()
    assert (gates.paused_at, gates.draining_at) == (None, None)
    with pytest.raises(Forbidden):
        ann.pause()


def test_what_a_job_said_and_what_was_used_is_told(admin: Client, ann: Client, done: Job) -> None:
    first = ann.log(done.id, page=2)
    assert (first.job, len(first.lines), first.complete) == (done.id, 2, False)
    rest = ann.log(done.id, cursor=first.next)
    assert rest.complete and first.lines[-1].at <= rest.lines[0].at
    assert [day.user for day in ann.my_usage().days] == ["ann-client"]
    assert {day.user for day in admin.usage(user="ann-client").days} == {"ann-client"}
    with pytest.raises(Forbidden):
        ann.usage()
    assert len(admin.cluster(limit=1).lanes) <= 1


def test_the_queue_and_the_last_hour_are_told_after_real_work(
    admin: Client, ann: Client, done: Job
) -> None:
    queue = ann.queue()
    assert (queue.lanes_open, queue.me.rank) == (2, None)
    assert {each.user for each in queue.held if not each.mine} <= {None}
    minutes = admin.cluster_minutes().minutes
    assert sum(each.tiles for each in minutes) >= done.tiles_done > 0
    assert sum(each.cells for each in minutes) >= done.cells
    busy = [each for each in minutes if each.chunks]
    assert all(0 < each.chunk_median_s <= each.chunk_p90_s for each in busy)
    assert all(0 < each.lanes_busy <= 1 for each in busy)
    started = [each for each in minutes if each.jobs_started]
    assert started and all(each.wait_p90_s is not None for each in started)
    info = ann.info()
    assert (info.dashboard_url, info.limits.max_running_jobs) == (None, 4)
    with pytest.raises(Forbidden):
        ann.cluster_minutes()


def test_what_a_workflow_would_be_is_told_and_nothing_is_submitted(ann: Client, done: Job) -> None:
    before = [job.id for job in ann.jobs()]
    told = ann.estimate("sample.svs", {"slide": "sample.svs", "branch": "b", "tile_px": 512})
    assert told.jobs[0].tiles == done.tiles_total
    assert [job.branch for job in told.jobs] == ["main", "b"]
    assert told.jobs[1].tiles > told.jobs[0].tiles
    assert told.lane_s == pytest.approx(sum(job.lane_s for job in told.jobs), abs=0.01)
    assert [job.id for job in ann.jobs()] == before
    with pytest.raises(SlideMissing):
        ann.estimate("absent.svs")
