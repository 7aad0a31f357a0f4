"""A scheduler that has served for long: old jobs have left memory, its disk fills up, it starts."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from driving import USER, Cluster, open_cluster

from raysched.cluster.gateway import ACTOR_NAME, Gateway
from raysched.core.model import JobId, JobState, UserId
from raysched.errors import Conflict, NotFound, StorageFull
from raysched.journal.snapshots import paths

pytestmark = [pytest.mark.ray, pytest.mark.slow]
FEW = {"max_ended_jobs_per_user": 2}
NEVER_OPENS = {"lanes": 1, "lane_cpus": 64.0}
"""A lane that asks for more than the machine has: jobs wait, and end by being cancelled."""


def end_some(cluster: Cluster, slide: Path, number: int) -> list[JobId]:
    jobs = []
    for each in range(number):
        job = cluster.submit(slide, key=f"key-{each}", name=f"job-{each}").job
        ended = asyncio.run(cluster.gateway.cancel(USER, job))
        assert ended.state is JobState.CANCELLED
        jobs.append(job)
    return jobs


async def ask_for_old_ones(gateway: Gateway, jobs: list[JobId]) -> None:
    """Of five jobs two are kept in memory; the others are answered for from the archive."""
    page = await gateway.jobs(USER)
    assert ([view.job for view in page.items], page.next) == (jobs[::-1], None)
    old = await gateway.job(USER, jobs[0])
    assert old == page.items[-1]
    assert (await gateway.workflow(USER, old.workflow)).jobs == (old,)
    assert await gateway.cancel(USER, jobs[0]) == old
    assert (await gateway.watch(USER, jobs[0], -1))[1] == old
    with pytest.raises(Conflict, match="is in the archive"):
        await gateway.retry(USER, jobs[0])
    for ask_of_another in (gateway.job, gateway.cancel, gateway.retry):
        with pytest.raises(NotFound):
            await ask_of_another(UserId("eve"), jobs[0])


def test_old_jobs_leave_memory_and_they_and_their_keys_are_answered_for_also_after_a_restart(
    tmp_path: Path, sample_slide: Path
) -> None:
    with open_cluster(tmp_path, scheduling=FEW, **NEVER_OPENS) as cluster:
        jobs = end_some(cluster, sample_slide, 5)
        asyncio.run(ask_for_old_ones(cluster.gateway, jobs))
    assert len(paths(tmp_path / "state")) == 1
    with open_cluster(tmp_path, scheduling=FEW, **NEVER_OPENS) as cluster:
        asyncio.run(ask_for_old_ones(cluster.gateway, jobs))
        old = asyncio.run(cluster.gateway.job(USER, jobs[0]))
        assert cluster.submit(sample_slide, key="key-0", name="job-0") == old
        with pytest.raises(Conflict, match="used for another workflow"):
            cluster.submit(sample_slide, key="key-0", name="something else")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """2 MB of real file system."""
    with tempfile.TemporaryDirectory(prefix="raysched-small-disk-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", name]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount command to make a small disk with")
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
        yield Path(name)
        subprocess.run(["umount", "--lazy", name], check=True)


def test_a_full_disk_pauses_the_scheduler_with_a_reason_and_it_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, sample_slide: Path
) -> None:
    with open_cluster(small_disk, **NEVER_OPENS) as cluster:
        cluster.folder = tmp_path
        (job, *_) = end_some(cluster, sample_slide, 1)
        filling = (small_disk / "filling").open("wb", buffering=0)
        with filling, pytest.raises(OSError, match="No space left"):
            while True:
                filling.write(bytes(4096))

        async def fill() -> None:
            async with asyncio.timeout(60):
                while True:
                    await asyncio.gather(*(submit(number) for number in range(20)))

        async def submit(number: int) -> None:
            await asyncio.to_thread(cluster.submit, sample_slide, key=f"more-{number}")

        with pytest.raises(StorageFull, match="There is no room to write the journal"):
            asyncio.run(fill())
        (small_disk / "filling").unlink()

        async def wait_until_ready() -> None:
            async with asyncio.timeout(60):
                while not (await cluster.gateway.health()).ready:
                    await asyncio.sleep(0.1)

        asyncio.run(wait_until_ready())
        assert asyncio.run(cluster.gateway.job(USER, job)).state is JobState.CANCELLED


def test_a_scheduler_killed_in_the_middle_of_many_requests_has_all_that_it_acknowledged(
    tmp_path: Path, sample_slide: Path
) -> None:
    roomy = {"max_jobs_per_user": 1000}
    with open_cluster(tmp_path, scheduling=roomy, **NEVER_OPENS) as cluster:
        handle = ray.get_actor(ACTOR_NAME, namespace=cluster.config.cluster.namespace)
        acknowledged: list[JobId] = []

        async def submit(number: int) -> None:
            view = await asyncio.to_thread(cluster.submit, sample_slide, key=f"key-{number}")
            acknowledged.append(view.job)
            if len(acknowledged) == 20:
                ray.kill(handle, no_restart=False)

        async def submit_all() -> None:
            await asyncio.gather(*(submit(number) for number in range(60)))

        asyncio.run(submit_all())
        known = [view.job for view in asyncio.run(cluster.gateway.jobs(USER)).items]
        assert sorted(known) == sorted(acknowledged)
        assert len(set(known)) == 60
