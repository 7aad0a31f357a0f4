"""The stages through a real S3-compatible server: two nodes that share nothing else."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raysched.errors import ChunksMissing, SlideMissing, StorageFailed
from raysched.imaging.request import TissueRequest
from raysched.imaging.slide import slide_sha256
from raysched.results import stages
from raysched.results.manifest import read_manifest
from raysched.results.outcomes import Stopped
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.copies import Copies
from raysched.results.remote.place import StorePlace
from raysched.results.remote.slides import NodeSlides, keep_slide
from raysched.results.remote.units import RemoteStages
from raysched.testing import s3_server
from tests.results.conftest import Attempt, crop_attempt
from tests.results.far_nodes import (
    JOB,
    Job,
    finish,
    go_on,
    job,
    node,
    place,
    publish,
    server,
)

__all__ = ["job", "place", "server"]
"""The fixtures."""


class _Heedless(BaseHTTPRequestHandler):
    """A way to the server on which conditions are lost, as with stores that do not know them."""

    endpoint: str

    def do_any(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        kept = {k: v for k, v in self.headers.items() if not k.lower().startswith("if-")}
        kept["Content-Type"] = "application/octet-stream"
        ask = urllib.request.Request(
            self.endpoint + self.path, self.rfile.read(size), kept, method=self.command
        )
        try:
            answer = urllib.request.urlopen(ask)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
            self.send_response(answer.status)
            for name in ("ETag", "Last-Modified", "Content-Type"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def heedless(server: s3_server.S3Server) -> Iterator[str]:
    handler = type("Handler", (_Heedless,), {"endpoint": server.endpoint})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as between:
        threading.Thread(target=between.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{between.server_port}"
        between.shutdown()


@pytest.fixture
def usual(crop: Path, tmp_path: Path) -> Attempt:
    """The same work in one folder: what must come out."""
    made = crop_attempt(crop, tmp_path / "usual", 4)
    attempt = Attempt(made.request.model_copy(update={"tile_px": 96}))
    attempt.run()
    return attempt


def test_nodes_that_share_no_folder_make_what_one_folder_makes(job: Job, usual: Attempt) -> None:
    expected = read_manifest(usual.out)
    assert expected is not None
    assert finish(job) == expected.checksum
    made = {str(path.relative_to(job.out)) for path in job.out.rglob("*") if path.is_file()}
    assert made == {
        str(path.relative_to(usual.out)) for path in usual.out.rglob("*") if path.is_file()
    }


def test_of_a_published_job_the_store_keeps_the_result_alone(job: Job) -> None:
    finish(job)
    assert job.bucket.sizes(f"jobs/{JOB}") == {}
    kept = {name.split("/")[0] for name in job.bucket.sizes(f"results/{JOB}")}
    stands = job.door.standing()
    assert stands is not None
    assert kept == {"result.json", stands.folder}
    assert not [*job.place.folder.parent.glob("*/units/*/*")], "what a unit worked in stays"


def test_a_chunk_that_is_done_is_not_done_again_on_another_node(job: Job) -> None:
    job.plan()
    first = job.segment(1, "a")
    assert job.segment(1, "b") == first, "its seconds would differ"


def test_a_receipt_without_its_file_does_not_count(job: Job) -> None:
    job.plan()
    first = job.segment(1)
    job.bucket.drop([f"jobs/{JOB}/{first.file}"])
    assert job.segment(1).seconds != first.seconds
    assert job.bucket.size(f"jobs/{JOB}/{first.file}") == first.size_bytes


def test_a_result_that_was_taken_back_is_not_published(job: Job) -> None:
    for chunk in range(job.plan()):
        job.segment(chunk)
    job.assemble()
    job.door.hand_over("run-1")
    job.door.take_back()
    with pytest.raises(StorageFailed, match="for this run"):
        job.on("b").publish(job.request, JOB, "run-1")
    assert not Copies(job.place).result(job.request, JOB)
    assert publish(job, "run-2")


def test_a_late_run_cannot_publish_what_another_has_in_its_hands(job: Job) -> None:
    for chunk in range(job.plan()):
        job.segment(chunk)
    job.assemble()
    job.door.hand_over("run-1")
    job.door.hand_over("run-2")
    with pytest.raises(StorageFailed, match="for this run"):
        job.on("a").publish(job.request, JOB, "run-1")
    job.on("b").publish(job.request, JOB, "run-2")
    job.door.take_back()
    assert job.door.is_published(), "what is published stays so"
    assert job.on("a").publish(job.request, JOB, "run-1").checksum, "it answers what is there"


def test_a_late_assembly_changes_nothing_once_the_job_has_gone_on(job: Job) -> None:
    for chunk in range(job.plan()):
        job.segment(chunk)
    job.assemble()
    job.door.hand_over("run-1")
    before = job.door.standing()
    job.assemble("late")
    assert job.door.standing() == before
    folders = {name.split("/")[0] for name in job.bucket.sizes(f"results/{JOB}")}
    assert before is not None
    assert folders == {"result.json", before.folder}, "what it made is left behind"


def test_what_a_twin_assembled_of_an_older_plan_is_not_published(job: Job) -> None:
    for chunk in range(job.plan()):
        job.segment(chunk)
    job.assemble()
    wider = job.request.model_copy(update={"tile_px": 128})
    job.on("a").plan_slide(wider, JOB, go_on)
    job.door.hand_over("run-1")
    with pytest.raises(StorageFailed, match="of another plan"):
        job.on("a").publish(wider, JOB, "run-1")


def test_a_late_result_with_holes_does_not_take_the_place_of_a_whole_one(job: Job) -> None:
    whole = job.door.settle("whole", "plan", 0)
    assert job.door.settle("with-holes", "plan", 2) == whole
    assert job.door.settle("a-twin", "plan", 0) == whole
    assert job.door.settle("of-another-plan", "other", 3).folder == "of-another-plan"
    assert job.door.settle("read-since", "other", 1).folder == "read-since"


def test_a_chunk_that_was_damaged_in_the_store_is_done_again(job: Job, usual: Attempt) -> None:
    first = [job.segment(chunk) for chunk in range(job.plan())][1]
    key = f"jobs/{JOB}/{first.file}"
    content = job.bucket.read(key)
    assert content is not None
    job.bucket.write(key, content[:-9] + b"\0" + content[-8:])
    with pytest.raises(ChunksMissing) as missing:
        job.assemble()
    assert missing.value.chunks == (1,)
    job.segment(1)
    job.assemble()
    expected = read_manifest(usual.out)
    assert expected is not None
    assert publish(job) == expected.checksum


def test_a_receipt_that_cannot_be_read_does_not_count(job: Job) -> None:
    job.plan()
    first = job.segment(0)
    (name,) = [each for each in job.bucket.sizes(f"jobs/{JOB}") if each.endswith("/000000.json")]
    job.bucket.write(f"jobs/{JOB}/{name}", b"{")
    assert job.segment(0).checksum == first.checksum
    assert job.bucket.read(f"jobs/{JOB}/{name}") != b"{"


def test_plans_of_other_jobs_come_and_go_on_a_node(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raysched.results.remote.units.PLANS_KEPT", 1)
    for name in ("job-1", "job-2"):
        job.on("a").plan_slide(job.request, name, go_on)
    for chunk in range(2):
        for name in ("job-1", "job-2"):
            job.on("a").segment_chunk(job.request, name, chunk, go_on)
    assert len([*job.place.folder.with_name("a").glob("plans/*")]) == 1


def test_a_tissue_mask_goes_the_same_way(job: Job, crop: Path, tmp_path: Path) -> None:
    asked = TissueRequest(slide=str(crop), out=str(tmp_path / "mask"), mpp=0.499)
    usual = Attempt(asked)
    usual.plan()
    stages.assemble(asked, usual.job, go_on)
    expected = stages.publish(asked, usual.job).checksum
    there = asked.model_copy(
        update={"out": str(job.place.results / JOB), "stored": job.request.stored}
    )
    mask = Job(job.place, there)
    mask.on("a").plan_slide(there, JOB, go_on)
    mask.assemble("b")
    mask.door.hand_over("run-1")
    assert mask.on("a").publish(there, JOB, "run-1").checksum == expected
    assert Copies(job.place).result(there, JOB)
    assert (mask.out / "manifest.json").exists()


def test_what_a_killed_unit_has_left_on_its_node_goes(job: Job) -> None:
    job.plan("a")
    (units,) = job.place.folder.with_name("a").glob("units/*")
    left = units / "unit-of-one-that-was-killed"
    left.mkdir()
    (left / "lock").touch()
    job.segment(0, "a")
    assert [*units.iterdir()] == []


def test_every_step_of_a_published_job_answers_from_the_result(job: Job) -> None:
    finish(job)
    first = job.door.standing()
    chunks = job.plan("late")
    assert job.segment(chunks - 1, "late").chunk == chunks - 1
    job.assemble("late")
    assert job.door.standing() == first
    assert job.bucket.sizes(f"jobs/{JOB}") == {}, "a late plan is in the way of nobody"


def test_a_slide_comes_onto_a_node_once(job: Job, crop: Path) -> None:
    here = node(job.place, "a")
    slides = NodeSlides(job.bucket, here)
    assert job.request.stored is not None
    with slides.held(job.request.stored, lambda: None) as first:
        assert slide_sha256(first) == slide_sha256(crop)
        inode = first.stat().st_ino
    job.bucket.remove("slides")
    with slides.held(job.request.stored, lambda: None) as again:
        assert again.stat().st_ino == inode


def test_a_node_keeps_slides_up_to_its_bound_and_none_in_use_goes(job: Job, crop: Path) -> None:
    size = crop.stat().st_size
    here = replace(node(job.place, "a"), slides_bytes=2 * size + size // 2)
    slides = NodeSlides(job.bucket, here)
    keys = [keep_slide(edited(crop, number), job.bucket, job.place) for number in range(4)]
    with slides.held(keys[0], lambda: None) as first:
        for key in keys[1:]:
            with slides.held(key, lambda: None):
                pass
        assert first.exists(), "it is in use"
    there = {path.parent.parent.name for path in (here.folder / "slides").glob("*/all/*")}
    assert there == {keys[0].split("/")[1], keys[3].split("/")[1]}


def edited(crop: Path, number: int) -> Path:
    """Another slide: the same with a few bytes more."""
    path = crop.with_name(f"slide-{number}{crop.suffix}")
    path.write_bytes(crop.read_bytes() + bytes([number]))
    return path


def test_one_content_under_two_names_is_two_slides(job: Job, crop: Path, tmp_path: Path) -> None:
    other = tmp_path / f"other{crop.suffix}"
    other.write_bytes(crop.read_bytes())
    keys = [keep_slide(path, job.bucket, job.place) for path in (crop, other)]
    slides = NodeSlides(job.bucket, node(job.place, "a"))
    for key, path in zip(keys, (crop, other), strict=True):
        with slides.held(key, lambda: None) as held:
            assert held.name == path.name
            assert held.read_bytes() == path.read_bytes()


def test_a_slide_of_several_files_comes_whole(job: Job, tmp_path: Path) -> None:
    main, beside = tmp_path / "lung.mrxs", tmp_path / "lung"
    main.write_bytes(b"main")
    beside.mkdir()
    for number in range(3):
        (beside / f"Data{number}.dat").write_bytes(bytes([number]) * 1000)
    key = keep_slide(main, job.bucket, job.place)
    with NodeSlides(job.bucket, node(job.place, "a")).held(key, lambda: None) as held:
        assert held.read_bytes() == b"main"
        there = {path.name: path.read_bytes() for path in held.with_suffix("").iterdir()}
        assert there == {path.name: path.read_bytes() for path in beside.iterdir()}


def test_fetching_a_slide_stops_where_it_is_told_to(job: Job) -> None:
    with pytest.raises(Stopped):
        job.on("a").plan_slide(job.request, JOB, lambda: True)
    assert not [*job.place.folder.with_name("a").glob("slides/*/all")]


def test_a_slide_that_arrives_damaged_is_refused(job: Job) -> None:
    assert job.request.stored is not None
    content = job.bucket.read(job.request.stored)
    assert content is not None
    job.bucket.write(job.request.stored, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StorageFailed, match="has not arrived"):
        job.plan()


def test_a_slide_that_has_left_the_store_is_said_to_be_missing(job: Job) -> None:
    job.bucket.remove("slides")
    with pytest.raises(SlideMissing, match="no longer in the object store"):
        job.plan()


def test_a_store_that_does_not_do_as_told_is_said_so_in_one_line(job: Job) -> None:
    with pytest.raises(StorageFailed) as refused:
        Bucket(replace(job.place, url="s3://no-such-bucket/lab")).write("x", b"")
    assert refused.value.message == (
        "The object store has not done as told with x: there is no such bucket or object."
    )
    assert "storage.url" in refused.value.remedy


def test_a_store_that_is_not_there_is_said_so(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysched.results.remote.bucket.PATIENCE", timedelta(0))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and never listens
        gone = replace(job.place, endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(StorageFailed, match="it does not answer"):
            RemoteStages(gone).plan_slide(job.request, JOB, go_on)


def test_a_store_that_does_all_that_it_must_passes(place: StorePlace) -> None:
    Bucket(place).check()
    assert Bucket(place).sizes("checks") == {}


def test_a_store_that_replaces_whatever_is_there_is_refused(
    place: StorePlace, heedless: str
) -> None:
    with pytest.raises(StorageFailed, match="does not heed If-Match and If-None-Match"):
        Bucket(replace(place, endpoint=heedless)).check()
