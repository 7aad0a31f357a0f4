"""Nodes by ``ray start``: cut off from each other, killed whole, started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from nodes import Cable, Machine, Nodes, two_machines, why_no_namespaces
from small_slides import undisturbed
from standing import until
from walk import Walk

from raysched.journal.journal import Journal
from raysched.results.manifest import read_manifest

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.timeout(900)]

EARLY = 5
"""Chunks of which is waited for before something is broken."""


@pytest.fixture(scope="module")
def checksum(sample_slide: Path) -> str:
    """What the same job finds in this process."""
    return undisturbed(sample_slide, tile_px=64)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Nodes.in_folder(tmp_path) as made:
        yield made


@pytest.fixture
def cable() -> Iterator[Cable]:
    if why := why_no_namespaces():
        pytest.skip(why)
    with two_machines() as made:
        yield made


def on_both_nodes(said: dict[str, Any]) -> bool:
    return said.get("lanes") == 2 and bool(said["chunks"] >= EARLY)


def report(figure: str) -> None:
    """Told with ``pytest -s``; a loaded machine proves no figure."""
    print(figure)


def journal_of(state: Path) -> list[dict[str, Any]]:
    """As ``raysched journal export`` prints it; whoever was killed may hold it for a moment yet."""
    with Journal.open(state, lock_wait_s=60.0) as journal:
        lines = [asdict(line) for line in journal.lines()]
    return [{**line, "decided": line["decision"]} for line in lines]


def check_once(nodes: Nodes, out: Path, checksum: str) -> None:
    """No rule was broken, each chunk was accepted once, and the result is published once and is the
    undisturbed one."""
    walk = Walk()
    walk.read(journal_of(nodes.folder / "state"))
    assert walk.found == []
    (job,) = walk.jobs.values()
    assert sorted(job.accepted) == [*range(len(job.chunk_tiles))]
    assert job.published == [checksum]
    manifest = read_manifest(out)
    assert manifest is not None
    assert (manifest.checksum, [*manifest.chunk_tiles]) == (checksum, job.chunk_tiles)
    assert [path.name for path in out.parent.iterdir() if "out" in path.name] == [out.name]


def test_a_node_that_is_cut_off_costs_its_chunk_and_never_speaks_again(
    nodes: Nodes, cable: Cable, sample_slide: Path, checksum: str
) -> None:
    out = nodes.folder / "out"
    nodes.head(cable.left)
    far = nodes.join(cable.right, "far")
    asked = (str(sample_slide), str(out), "2")
    with nodes.driver(cable.left, *asked) as driver:
        driver.until(on_both_nodes, "work on both")
        nodes.remember(far)
        began = time.time()
        cable.cut()
        lost = driver.until(
            lambda said: said.get("lanes") == 1 and said["at"] > began, "its lane is given up"
        )
        report(f"cut off: its lane is given up after {lost['at'] - began:.1f} s")
        after = lost["chunks"] + 2
        driver.until(lambda said: said.get("chunks", 0) >= after, "chunks go on elsewhere")
        cable.mend()
        until(far.has_ended, "the node that was given up ends by itself")
        nodes.join(cable.right, "again")
        ended = driver.until(lambda said: said["what"] in ("succeeded", "failed"), "the end")
    assert (ended["what"], ended["checksum"], ended["attempt"]) == ("succeeded", checksum, 1)
    for node in nodes.made:
        node.kill()
    check_once(nodes, out, checksum)


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_node_whose_raylet_is_gone_or_hangs_costs_its_chunk(
    nodes: Nodes, sample_slide: Path, checksum: str, how: str
) -> None:
    out = nodes.folder / "out"
    nodes.head(Machine())
    other = nodes.join(Machine(), "other")
    with nodes.driver(Machine(), str(sample_slide), str(out), "2") as driver:
        before = driver.until(on_both_nodes, "work on both")
        nodes.remember(other)
        (raylet,) = other.named("raylet")
        began = time.time()
        os.kill(raylet.pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        lost = driver.until(
            lambda said: said.get("lanes") == 1 and said["at"] > began, "its lane is given up"
        )
        driver.until(lambda said: said.get("chunks", 0) > lost["chunks"], "chunks go on elsewhere")
        report(f"raylet {how}: its lane is given up after {lost['at'] - began:.1f} s")
        ended = driver.until(lambda said: said["what"] in ("succeeded", "failed"), "the end")
    assert before["attempt"] == ended["attempt"] == 1
    assert (ended["what"], ended["checksum"]) == ("succeeded", checksum)
    for node in nodes.made:
        node.kill()
    check_once(nodes, out, checksum)


def test_a_head_that_is_started_again_on_the_same_state_folder_goes_on(
    nodes: Nodes, sample_slide: Path, checksum: str
) -> None:
    out = nodes.folder / "out"
    asked = (str(sample_slide), str(out), "2")
    head, other = nodes.head(Machine()), nodes.join(Machine(), "other")
    with nodes.driver(Machine(), *asked) as driver:
        before = driver.until(on_both_nodes, "work on both")
        for node in (head, other):
            nodes.remember(node)
        head.kill()
        other.kill()
    nodes.head(Machine())
    began = time.time()
    nodes.join(Machine(), "other")
    with nodes.driver(Machine(), *asked) as driver:
        first = driver.until(lambda said: "chunks" in said, "it is known")
        assert first["job"] == before["job"]
        assert first["chunks"] >= before["chunks"]
        more = driver.until(
            lambda said: said.get("chunks", 0) > first["chunks"] or said["what"] == "succeeded",
            "it goes on",
        )
        report(f"head started again: a new chunk after {more['at'] - began:.1f} s")
        ended = driver.until(lambda said: said["what"] in ("succeeded", "failed"), "the end")
    assert ended["epoch"] == before["epoch"] + 1
    assert (ended["what"], ended["checksum"]) == ("succeeded", checksum)
    for node in nodes.made:
        node.kill()
    check_once(nodes, out, checksum)
