"""The engine of docs/engines.md, installed as a stranger's package: found, checked, run on Ray."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import USER, Cluster, open_cluster

from raysched.cluster.story import told
from raysched.core.model import JobState
from raysched.errors import InvalidSetting
from raysched.imaging.engine import engine_params, load_engine
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.testing.engines import check_engine

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "example-engine"
FAULTY = """
import ctypes, os, subprocess, threading
from pathlib import Path

from spots_engine import SpotsEngine

KEPT = []

class Raising(SpotsEngine):
    name = "raising"
    def segment(self, *asked):
        raise RuntimeError("out of memory")

class Unready(SpotsEngine):
    name = "unready"
    def prepare(self, *asked):
        raise OSError("no weights")

class Wide(SpotsEngine):
    name = "wide"
    def segment(self, *asked):
        return super().segment(*asked).astype("int64")

class Cropped(SpotsEngine):
    name = "cropped"
    def optical_density(self, rgb, context):
        return super().optical_density(rgb[1:], context)

class Hanging(SpotsEngine):
    name = "hanging"
    def segment(self, *asked):
        child = subprocess.Popen(["sleep", "3600"])
        Path(__file__).with_name("pids").write_text(f"{os.getpid()} {child.pid}")
        while True:
            ctypes.PyDLL(None).sleep(3600)  # holds the interpreter's lock

class Greedy(SpotsEngine):
    name = "greedy"
    batch = 4
    def segment_many(self, rgbs, *asked):
        held = [b"x" * 700_000_000 for _ in rgbs]
        threading.Event().wait(1)  # long enough to be noticed
        return [self.segment(rgb, *asked) for rgb in rgbs]

class Leaking(SpotsEngine):
    name = "leaking"
    def segment(self, *asked):
        while True:
            KEPT.append(bytes(range(256)) * 40_000)
"""
"""A second package, which leans on the first."""
WORDS = {
    "raising": "Engine 'raising' failed on a tile: RuntimeError('out of memory').",
    "unready": "Engine 'unready' failed while preparing a slide: OSError('no weights').",
    "wide": "Engine 'wide' answered with int64 of ",
    "cropped": "Engine 'cropped' answered with float32 of ",
}
ENDED = {
    "hanging": ("work_hung", "After 30 s chunk 0 was not done: "),
    "leaking": ("work_too_large", "The segment stage made its process hold "),
}
"""These do not answer at all."""
OTHERS = ("greedy",)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both packages, on the path of this process and of those it starts."""
    folder = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    pip += ["--disable-pip-version-check", "--no-index", "--target", str(folder), str(EXAMPLE)]
    subprocess.run(pip, check=True, capture_output=True)
    (folder / "faulty.py").write_text(FAULTY)
    metadata = folder / "faulty-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1\n")
    points = [f"{name} = faulty:{name.capitalize()}" for name in (*WORDS, *ENDED, *OTHERS)]
    (metadata / "entry_points.txt").write_text("\n".join(["[raysched.engines]", *points]))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *_python_path()]))
        yield folder
    load_engine.cache_clear()


def _python_path() -> list[str]:
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]


@pytest.fixture(scope="module")
def cluster(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A lane whose process sees the packages; what fails is not tried again."""
    folder = tmp_path_factory.mktemp("cluster")
    limits = {"unit_limit_s": 30.0, "lane_gb": 2.0}
    with open_cluster(folder, scheduling={"max_retries": 0}, lanes=1, **limits) as opened:
        yield opened


@pytest.mark.parametrize("file", ["spots_engine.py", "pyproject.toml"])
def test_the_documentation_shows_the_very_files_that_are_tested(file: str) -> None:
    text = (DOCS / "engines.md").read_text()
    shown = re.search(rf"`{re.escape(file)}`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    assert shown[1] == (EXAMPLE / file).read_text()


@pytest.mark.usefixtures("installed")
def test_a_strangers_engine_is_listed_with_the_schema_of_its_parameters() -> None:
    command = [sys.executable, "-c", "from raysched.cli.main import main; main()", "engines"]
    done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    listed = {each["name"]: each for each in json.loads(done.stdout)["engines"]}
    spots = listed["spots"]
    assert (spots["version"], spots["package"]) == ("1", "spots-engine 1.0")
    assert (spots["target_mpp"], spots["halo_um"]) == (0.5, 24.0)
    assert spots["parameters"]["properties"]["darkness"] == {
        "default": 0.5,
        "description": "least darkness of a cell",
        "maximum": 1.0,
        "minimum": 0.1,
        "title": "Darkness",
        "type": "number",
    }
    assert spots["parameters"]["additionalProperties"] is False
    assert "classical" in listed


@pytest.mark.usefixtures("installed")
def test_a_strangers_engine_keeps_the_contract() -> None:
    check_engine(load_engine("spots"))
    check_engine(load_engine("spots"), {"darkness": 0.4, "longest_um": 15})


@pytest.mark.usefixtures("installed")
def test_parameters_outside_its_schema_are_refused_by_name() -> None:
    with pytest.raises(InvalidSetting, match=r"'spots' does not take .*darkness: .*colour: "):
        engine_params("spots", {"darkness": 7, "colour": "blue"})


@pytest.mark.ray
@pytest.mark.slow
def test_a_strangers_engine_runs_through_the_scheduler_beside_ones_that_fail(
    cluster: Cluster, installed: Path, tmp_path: Path
) -> None:
    slide = tmp_path / "slide.tif"
    write_synthetic_slide(slide, width_px=900, height_px=700, nuclei=60)
    faulty = {name: cluster.submit(slide, engine=name, branch=name).job for name in WORDS}
    ended_by_us = {name: cluster.submit(slide, engine=name, branch=name).job for name in ENDED}
    good = cluster.submit(slide, engine="spots", branch="good")
    for name, job in faulty.items():
        ended = cluster.until(job, lambda view: view.state.is_final)
        assert ended.state is JobState.FAILED and ended.failure is not None
        assert ended.failure.code == "engine_failed"
        assert ended.failure.message.startswith(WORDS[name])
        assert ended.failure.remedy
    for name, job in ended_by_us.items():
        ended = cluster.until(job, lambda view: view.state.is_final)
        assert ended.state is JobState.FAILED and ended.failure is not None
        code, words = ENDED[name]
        assert (ended.failure.code, ended.failure.message[: len(words)]) == (code, words)
    for pid in (installed / "pids").read_text().split():  # also what the engine had started
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(pid)).wait(timeout=60)
    ended = cluster.finish(good.job)
    manifest = json.loads((Path(json.loads(ended.request)["out"]) / "manifest.json").read_text())
    assert (manifest["engine"], manifest["engine_version"]) == ("spots", "1")
    assert manifest["counts"]["cells"] == ended.cells > 30


@pytest.mark.ray
@pytest.mark.slow
def test_a_chunk_that_was_too_large_is_done_again_one_tile_at_a_time(
    cluster: Cluster, tmp_path: Path
) -> None:
    slide = tmp_path / "slide.tif"
    write_synthetic_slide(slide, width_px=900, height_px=700, nuclei=60)
    small = {"tile_px": 512, "chunk_tiles": 4}
    usual = cluster.finish(cluster.submit(slide, engine="spots", **small).job)
    greedy = cluster.finish(cluster.submit(slide, engine="greedy", **small).job)
    assert (greedy.cells, greedy.attempt) == (usual.cells, 1)
    assert greedy.tiles_total == 4
    story = asyncio.run(cluster.gateway.story(USER, greedy.job, after=0, most=100))
    said = [told(event, greedy.job, 0) for event in story.events]
    (lost,) = [line.message for lines in said for line in lines if "was lost" in line.message]
    assert re.fullmatch(
        "The process of a unit was lost, and the unit goes again alone and one tile at a time: "
        r"The segment stage made its process hold \d\.\d GB, more than the 2\.0 GB of a lane\.",
        lost,
    )
