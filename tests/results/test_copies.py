"""What readers at the service have of the object store: whole, bounded, and never in their way."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from raysched.results.folders import staging_folder
from raysched.results.remote.copies import Copies
from tests.results.far_nodes import JOB, Job, finish, go_on, job, place, receipts, server

__all__ = ["job", "place", "server"]
"""The fixtures."""


def test_readers_see_what_an_unfinished_job_has_so_far(job: Job) -> None:
    assert job.plan() > 2
    job.segment(0)
    copies = Copies(job.place)
    copies.so_far(job.request, JOB)
    staging = staging_folder(job.out, JOB)
    assert [receipt.chunk for receipt in receipts(staging)] == [0]
    job.segment(2)
    copies.so_far(job.request, JOB)
    assert [receipt.chunk for receipt in receipts(staging)] == [0, 2]
    assert all(
        (staging / receipt.file).stat().st_size == receipt.size_bytes
        for receipt in receipts(staging)
    )


def test_removing_a_job_leaves_nothing_of_it(job: Job) -> None:
    finish(job)
    with Copies(job.place).removing(JOB):
        pass
    assert not [name for name in job.bucket.sizes("results") if name.startswith(JOB)]
    assert not job.door.is_published()


def test_copies_at_the_service_go_when_they_are_too_many_and_come_again(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(job)
    monkeypatch.setattr("raysched.results.remote.copies.RECENT_S", -1.0)
    small = replace(job.place, results_bytes=1)
    second = Job(small, job.request.model_copy(update={"out": str(small.results / "job-2")}))
    copies = Copies(small)
    there = second.on("a")
    for chunk in range(len(there.plan_slide(second.request, "job-2", go_on).chunk_tiles)):
        there.segment_chunk(second.request, "job-2", chunk, go_on)
    there.assemble(second.request, "job-2", go_on)
    there.publish(second.request, "job-2")
    assert copies.result(second.request, "job-2")
    assert not job.out.exists(), "the older copy is too much"
    assert copies.result(job.request, JOB)
    assert job.out.exists()


def test_copies_of_jobs_that_never_ended_well_go_as_well_but_not_where_the_store_has_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.plan()
    job.segment(0)
    small = replace(job.place, results_bytes=1)
    copies = Copies(small)
    copies.so_far(job.request, JOB)
    seen = staging_folder(job.out, JOB)
    own = seen.with_name(".job-9.job-9.partial")  # of before there was a store
    shutil.copytree(seen, own)
    other = Job(small, job.request.model_copy(update={"out": str(small.results / "job-2")}))
    other.on("a").plan_slide(other.request, "job-2", go_on)
    copies.so_far(other.request, "job-2")
    assert seen.exists(), "somebody may be looking at it"
    monkeypatch.setattr("raysched.results.remote.copies.RECENT_S", -1.0)
    shutil.rmtree(staging_folder(small.results / "job-2", "job-2"))
    copies.so_far(other.request, "job-2")
    assert (seen.exists(), own.exists()) == (False, True)
    copies.so_far(job.request, JOB)
    assert [receipt.chunk for receipt in receipts(seen)] == [0]


def test_nobody_waits_for_a_lock_of_their_own(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the names of all jobs had one digest."""
    finish(job)
    monkeypatch.setattr("raysched.results.remote.copies.LOCK_DIGITS", 0)
    copies = Copies(job.place)
    assert copies.result(job.request, JOB)
    with copies.removing(JOB):
        pass
