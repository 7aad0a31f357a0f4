"""Two nodes that share no folder: what one has on its disk, the other does not see.

In the everyday suite, although beside the tests that kill: nothing is killed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from nodes import Machine, Nodes
from small_slides import undisturbed
from standing import until
from walk import Walk

from raysched.cluster.stores import object_store
from raysched.config import load_config
from raysched.imaging.request import SegmentationRequest
from raysched.journal.journal import Journal
from raysched.results.manifest import read_manifest
from raysched.results.remote.bucket import Bucket
from raysched.results.remote.copies import Copies
from raysched.testing import s3_server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

TILE_PX = 256
APART = 'mount -t tmpfs none "$0" && exec "$@"'
"""What runs in a mount namespace of its own sees nothing of the folder ``$0``."""


@dataclass(frozen=True)
class Far:
    """A machine that does not see a folder of this one, and has ``cache`` for itself."""

    hidden: Path
    cache: Path

    @property
    def machine(self) -> Machine:
        apart = ("unshare", "--mount", "--propagation", "private", "sh", "-c", APART)
        own = ("env", f"RAYSCHED_CACHE={self.cache}")
        return Machine(prefix=(*apart, str(self.hidden), *own))


def why_not_apart(folder: Path) -> str:
    """Why a folder cannot be hidden from a process here; "" where it can."""
    command = [*Far(folder, folder).machine.prefix, "ls", "-A", str(folder)]
    asked = subprocess.run(command, check=False, capture_output=True, text=True)
    return asked.stderr or asked.stdout


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """The head's folder is all that it has, and each node finds the same store."""
    head = tmp_path / "head"
    head.mkdir()
    (head / "slides").mkdir()
    if why := why_not_apart(head):
        pytest.skip(f"no folder can be hidden from a process here: {why}")
    with s3_server.running() as server:
        found = {
            **s3_server.CREDENTIALS,
            "RAYSCHED_STORAGE__URL": server.bucket("lab"),
            "RAYSCHED_STORAGE__ENDPOINT": server.endpoint,
            "RAYSCHED_STORAGE__REGION": s3_server.REGION,
            "RAYSCHED_CACHE": str(head / "cache"),
        }
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        with Nodes.in_folder(head) as made:
            yield made


def test_nodes_that_share_no_folder_do_one_job_together(
    nodes: Nodes, sample_slide: Path, tmp_path: Path
) -> None:
    slide = nodes.folder / "slides" / sample_slide.name
    slide.write_bytes(sample_slide.read_bytes())
    out = nodes.folder / "out"
    nodes.head(Machine())
    far = Far(nodes.folder, tmp_path / "far")
    nodes.join(far.machine, "far")
    place = object_store(load_config(state=nodes.folder / "state"))
    assert place is not None
    with nodes.driver(Machine(), str(slide), str(out), "2", str(TILE_PX)) as driver:
        driver.until(lambda said: said.get("lanes") == 2, "a lane on each")
        ended = driver.until(lambda said: said["what"] in ("succeeded", "failed"), "the end")
        # Sent every few seconds, by lanes that end with their driver.
        until(lambda: Bucket(place).sizes(f"logs/{ended['job']}"), "what the far lane has said")
    for node in nodes.made:
        node.kill()
    checksum = undisturbed(sample_slide, tile_px=TILE_PX)
    assert (ended["what"], ended["checksum"], ended["attempt"]) == ("succeeded", checksum, 1)
    check_accepted_once(nodes.folder / "state")

    request = SegmentationRequest(slide=str(slide), out=str(out), stored="slides/x/y")
    assert Copies(place).result(request, ended["job"])
    manifest = read_manifest(out)
    assert manifest is not None
    assert manifest.checksum == checksum

    log = tmp_path / "log"
    Copies(place).log(ended["job"], log)
    (said,) = {path.name.split(".")[0] for path in log.iterdir()}
    assert said.startswith("raysched-lane-"), (
        "the far node's lane, which cannot write to the head's"
    )
    assert "Chunk" in "".join(path.read_text() for path in log.iterdir())
    assert [path.name for path in far.cache.glob("node/slides/*/all/*")] == [slide.name]
    assert not [*far.cache.glob("node/units/*/*")]
    assert Bucket(place).sizes("jobs") == {}


def journal_lines(journal: Journal) -> list[dict[str, Any]]:
    """As ``raysched journal export`` prints it."""
    lines = [asdict(line) for line in journal.lines()]
    return [{**line, "decided": line["decision"]} for line in lines]


def check_accepted_once(state: Path) -> None:
    with Journal.open(state, lock_wait_s=60.0) as journal:
        walk = Walk()
        walk.read(journal_lines(journal))
    assert walk.found == []
    (job,) = walk.jobs.values()
    assert sorted(job.accepted) == [*range(len(job.chunk_tiles))]
