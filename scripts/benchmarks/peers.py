"""Slide M on a warm cluster, beside HistomicsTK's NucleiDetection, which finds nuclei as well.

HistomicsTK cannot live in ``.venv``: see ``peers.txt``, from which an environment of its own is
made beside the bench's slides, once. Its command line runs as published, in its own processes,
with its defaults but for the workers: one for each core instead of one fewer.

The two do not find the same. HistomicsTK's threshold follows from a random sample of pixels, so
its nuclei differ from run to run; and its time includes its start, which takes seconds, as its
users wait for it, while the cluster is warm. The aim is 30 times as fast, the gate half of that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from segment import WORKERS, warm_bench
from slides import bench_folder, bench_slide

SLIDES = os.environ.get("RAYSCHED_BENCH_SLIDES", "M").split(",")
GATES = {"M": 15.0}
OUR_TIMES, THEIR_TIMES = 3, 2
PINS = Path(__file__).with_name("peers.txt")
MODULE = "histomicstk.cli.NucleiDetection.NucleiDetection"


def measure() -> Iterator[Figure]:
    """Ours three times, theirs twice, the best of each counted. About eight minutes."""
    peer = _Peer(bench_folder() / "histomicstk")
    peer.make()
    with warm_bench() as bench:
        ours = {
            slide: min(
                (bench.run(bench_slide(slide)) for _ in range(OUR_TIMES)), key=lambda run: run[0]
            )
            for slide in SLIDES
        }
    # The cluster has ended: it takes neither memory nor time from the other.
    for slide, (seconds, view) in ours.items():
        theirs, nuclei = min(peer.run(bench_slide(slide)) for _ in range(THEIR_TIMES))
        yield Figure(f"slide {slide}, submit to published", seconds, "s", theirs)
        yield Figure(f"slide {slide}, HistomicsTK", theirs, "s")
        times, gate = theirs / seconds, GATES.get(slide)
        yield Figure(f"slide {slide}, times as fast as HistomicsTK", times, "x", 1.0, gate, "more")
        yield Figure(f"slide {slide}, cells", view.cells, "", nuclei)


class _Peer:
    """HistomicsTK in an environment of its own in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._python = folder / "bin" / "python"
        self._log = folder.with_suffix(".log")

    def make(self) -> None:
        """The environment from the pins, unless these have made it already; then its first start,
        so that what it loads is compiled and in memory, as ours is."""
        # HistomicsTK 1.4 has wheels up to Python 3.12.
        python = sys.executable if sys.version_info < (3, 13) else "3.12"
        stamp, wanted = self._folder / "made-from", f"{python}\n{PINS.read_text()}"
        if not stamp.exists() or stamp.read_text() != wanted:
            _say(f"making {self._folder}: HistomicsTK and what it needs, 1 GB (once)")
            shutil.rmtree(self._folder, ignore_errors=True)
            self._uv("venv", "--python", python, str(self._folder))
            self._uv(
                *("pip", "install", "--python", str(self._python), "--no-deps", "--no-build"),
                *("--compile-bytecode", "--requirement", str(PINS)),
            )
            stamp.write_text(wanted)
        self._start("--help")

    def run(self, slide: Path) -> tuple[float, int]:
        """Seconds from the start of its process to the end, and the nuclei that it wrote."""
        with tempfile.TemporaryDirectory() as name:
            out = Path(name) / "nuclei.anot"
            begun = time.perf_counter()
            self._start(str(slide), str(out), "--num_workers", str(WORKERS))
            seconds = time.perf_counter() - begun
            return seconds, len(json.loads(out.read_text())["elements"])

    def _start(self, *arguments: str) -> None:
        command = [str(self._python), "-m", MODULE, *arguments]
        # It writes scratch files where it is started.
        with tempfile.TemporaryDirectory() as here, self._log.open("w") as log:
            ended = subprocess.run(command, cwd=here, stdout=log, stderr=log, check=False)
        if ended.returncode != 0:
            _fail(
                f"HistomicsTK ended with {ended.returncode}",
                f"see {self._log}; delete {self._folder} to have it made anew",
            )

    def _uv(self, *arguments: str) -> None:
        uv = Path(sys.executable).with_name("uv")
        with self._log.open("w") as log:
            ended = subprocess.run(
                [str(uv), "--no-progress", *arguments], stdout=log, stderr=log, check=False
            )
        if ended.returncode != 0:
            _fail(
                f"HistomicsTK could not be installed into {self._folder}: see {self._log}",
                "check the network and the room on the disk, then run this again",
            )


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _fail(what: str, remedy: str) -> None:
    raise SystemExit(f"error: {what}\n  do: {remedy}")
