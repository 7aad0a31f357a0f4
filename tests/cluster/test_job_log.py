"""The log of a job on real Ray: what a stranger's engine says, and what the system did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import USER, Cluster, open_cluster

from raysched.cluster.job_log import LogAsk, LogLevel, LogPage, delete_logs, prune_logs, read_log
from raysched.core.model import JobId, JobState, UserId
from raysched.errors import InvalidSetting, NotFound
from raysched.results.logbook import Line, folder_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SPEAKING = """
import logging, sys, warnings
from raysched.imaging.classical import ClassicalEngine

class Speaking(ClassicalEngine):
    name = "speaking"
    def segment(self, *asked):
        print("looking at a tile")
        logging.getLogger("speaking.inner").warning("the stain is faint")
        warnings.warn("too dark")
        return super().segment(*asked)

class Failing(ClassicalEngine):
    name = "failing"
    def segment(self, *asked):
        raise RuntimeError("no such weights")
"""
SPEAKS = {
    ("info", "engine", "stdout", "looking at a tile"),
    ("warning", "engine", "speaking.inner", "the stain is faint"),
}


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose processes find the engines above, as if they were installed."""
    packages = tmp_path_factory.mktemp("packages")
    (packages / "speaking_engine.py").write_text(SPEAKING)
    facts = packages / "speaking_engine-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: speaking-engine\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[raysched.engines]\n"
        "speaking = speaking_engine:Speaking\n"
        "failing = speaking_engine:Failing\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(packages))
        patch.syspath_prepend(str(packages))
        with open_cluster(
            tmp_path_factory.mktemp("speaking"), scheduling={"max_retries": 1, "retry_backoff_s": 0}
        ) as cluster:
            yield cluster


def page(cluster: Cluster, job: JobId, user: UserId = USER, **asked: object) -> LogPage:
    ask = LogAsk(**asked)  # type: ignore[arg-type]
    return asyncio.run(read_log(cluster.gateway, cluster.config, user, job, ask))


def whole(cluster: Cluster, job: JobId, limit: int = 500) -> list[Line]:
    lines: list[Line] = []
    found = page(cluster, job, limit=limit)
    while True:
        assert len(found.lines) <= limit
        lines += found.lines
        if found.complete:
            return lines
        found = page(cluster, job, limit=limit, cursor=found.next)


@pytest.fixture(scope="module")
def job(speaking: Cluster, sample_slide: Path) -> JobId:
    view = speaking.submit(sample_slide, engine="speaking", tile_px=512, chunk_tiles=4)
    return speaking.finish(view.job).job


def test_a_log_has_what_the_engine_said_and_what_the_system_did_in_order(
    speaking: Cluster, job: JobId
) -> None:
    view = asyncio.run(speaking.gateway.job(USER, job))
    lines = whole(speaking, job)
    said = {(line.level, line.source, line.logger, line.message) for line in lines}
    assert said >= SPEAKS
    assert any(line.logger == "py.warnings" and "too dark" in line.message for line in lines)
    printed = [line for line in lines if line.logger == "stdout"]
    assert len(printed) == view.tiles_total
    assert {line.chunk for line in printed} == {*range(view.chunks_total or 0)}
    assert {(line.attempt, line.stage) for line in printed} == {(1, "segment")}
    system = [line.message for line in lines if line.logger == "raysched.scheduler"]
    assert system[0] == "Submitted on branch main."
    assert system[1].startswith("Sent plan to raysched-lane-")
    assert system[2].startswith("Planned in ")
    assert system[-1] == f"Published: {view.cells:,} cells, checksum {view.checksum}."
    sent = " ".join(each for each in system if each.startswith("Sent "))
    assert all(f"chunk {chunk} to" in sent for chunk in range(view.chunks_total or 0))
    assert [line.at for line in lines] == sorted(line.at for line in lines)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_pages_of_any_size_make_up_the_same_log(speaking: Cluster, job: JobId, limit: int) -> None:
    assert whole(speaking, job, limit) == whole(speaking, job)


def test_only_lines_from_a_level_on_are_given(speaking: Cluster, job: JobId) -> None:
    wanted = [line for line in whole(speaking, job) if line.level in ("warning", "error")]
    assert list(page(speaking, job, limit=500, level=LogLevel.WARNING).lines) == wanted != []


def test_the_cursor_at_the_end_gives_what_came_since(speaking: Cluster, sample_slide: Path) -> None:
    asked = speaking.submit(sample_slide, engine="failing", tile_px=512)
    lines: list[Line] = []
    found = page(speaking, asked.job)
    while not (found.complete and found.state.is_final):
        lines += found.lines
        found = page(speaking, asked.job, cursor=found.next)
    lines += found.lines
    assert found.state is JobState.FAILED
    assert sorted(lines, key=lambda line: line.at) == whole(speaking, asked.job)
    failures = [line for line in lines if line.message.startswith("Failed (")]
    assert "RuntimeError('no such weights')" in failures[0].message
    assert lines[-1].message.startswith("Failed: ")
    traces = [line for line in lines if "Traceback (most recent call last)" in line.message]
    assert {line.attempt for line in traces} == {1, 2}
    assert 'raise RuntimeError("no such weights")' in traces[0].message
    assert page(speaking, asked.job, cursor=found.next).lines == ()


def test_another_users_log_is_not_there(speaking: Cluster, job: JobId) -> None:
    with pytest.raises(NotFound):
        page(speaking, job, user=UserId("bob"))


@pytest.mark.parametrize("cursor", ["x", "eJwDAAAAAAE", "é", "AAAA" * 100])
def test_what_is_no_cursor_is_refused(speaking: Cluster, job: JobId, cursor: str) -> None:
    with pytest.raises(InvalidSetting):
        page(speaking, job, cursor=cursor)


def test_a_log_that_was_removed_still_has_what_the_system_did(
    speaking: Cluster, sample_slide: Path
) -> None:
    job = speaking.finish(speaking.submit(sample_slide, kind="tissue_mask").job).job
    other = speaking.finish(speaking.submit(sample_slide, kind="tissue_mask").job).job
    system = [line for line in whole(speaking, job) if line.logger == "raysched.scheduler"]
    assert system != whole(speaking, job)
    delete_logs(speaking.config, job)
    assert whole(speaking, job) == system
    logging = speaking.config.logging.model_copy(update={"most_gb": 1e-9})
    prune_logs(speaking.config.model_copy(update={"logging": logging}))
    assert not folder_of(speaking.config.logs, other).exists()
