"""Two results of 1,000,000 made-up cells compared: cells a second, peak RSS, beside geopandas."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_up
import numpy as np
from figures import Figure
from PIL import Image

from raysched.results.cells import GROUP_CELLS, CellParts
from raysched.results.difference.difference import Difference
from raysched.results.manifest import MANIFEST
from raysched.results.schema import Digest
from raysched.results.staging import PICTURE
from raysched.results.storage import Disk

COUNT = int(os.environ.get("RAYSCHED_BENCH_CELLS", "1000000"))
PLAIN_COUNT = min(COUNT, 100_000)
"""So many cells take the plain way: all of them would need gigabytes."""
GATE_RSS_MB = 600.0
GATE_S = 300.0
TILES = (40, 17)
"""Cells along the edge of a tile of the first and of the second result: ids follow tiles."""
KEPT = 0.95
"""Share of the grid that each result has a cell at."""
SHIFT_PX = 2.0
"""Standard deviation of how far a cell of the second result lies from its place on the grid."""


def measure() -> Iterator[Figure]:
    """The numbers, then all files, each in a process of its own. About four minutes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many = _pair(folder / "many", COUNT)
        few = _pair(folder / "few", PLAIN_COUNT)
        mine, small, plain = (
            _alone(_numbers, *many), _alone(_numbers, *few), _alone(_plain, *few),
        )  # fmt: skip
        whole = _alone(_everything, *many)
        rate, plain_rate = COUNT / mine.cpu_s, PLAIN_COUNT / plain.cpu_s
        yield Figure("the numbers", mine.seconds, "s", None, GATE_S)
        yield Figure(
            "places of the grid a second of CPU", rate, "cells/s", plain_rate, None, "more"
        )
        yield Figure("the numbers, peak RSS", mine.peak_mb, "MB", None, GATE_RSS_MB)
        yield Figure(f"peak RSS at {PLAIN_COUNT:,} cells", small.peak_mb, "MB", plain.peak_mb)
        off = float(abs(small.matched - plain.matched))
        yield Figure(f"matches of {plain.matched:,} that differ from it", off, "cells", None, 0)
        yield Figure("the numbers and every file", whole.seconds, "s")
        yield Figure("the numbers and every file, peak RSS", whole.peak_mb, "MB", None, GATE_RSS_MB)


# --- measuring ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    cpu_s: float
    peak_mb: float
    matched: int


def _alone(work: Callable[[Path, Path], int], first: Path, second: Path) -> _Run:
    """Run one comparison in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, first, second))


def _timed(work: Callable[[Path, Path], int], first: Path, second: Path) -> _Run:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    matched = work(first, second)
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return _Run(seconds, cpu_s, int(peak) / 1000, matched)


def _numbers(first: Path, second: Path) -> int:
    return int(Difference(first, second).numbers()["matched"])


def _everything(first: Path, second: Path) -> int:
    difference = Difference(first, second)
    difference.folder(first.parent / "diff")
    return int(difference.numbers()["matched"])


def _plain(first: Path, second: Path) -> int:
    """Both tables in memory, joined by geopandas; the changes of what is matched."""
    import geopandas

    from raysched.results.schema import MEASURES

    one, other = (geopandas.read_parquet(side / "cells") for side in (first, second))
    pairs = one.sjoin(other[["geometry"]], predicate="intersects")
    mine = geopandas.GeoSeries(pairs.geometry.array)
    theirs = geopandas.GeoSeries(other.geometry.loc[pairs["index_right"]].array)
    shared = mine.intersection(theirs).area
    iou = shared / (mine.area + theirs.area - shared)
    matched = pairs[(iou > 0.5).to_numpy()]
    measured = list(MEASURES)
    change = other.loc[matched["index_right"], measured].to_numpy() - matched[measured].to_numpy()
    np.quantile(change, (0.05, 0.5, 0.95), axis=0)
    return len(matched)


# --- the results ----------------------------------------------------------------------------------


def _pair(folder: Path, count: int) -> tuple[Path, Path]:
    """Two results of about ``count`` cells on one grid, cut into other tiles, each with gaps."""
    folder.mkdir()
    first, second = folder / "first", folder / "second"
    _make(first, count, TILES[0], 0.0)
    _make(second, count, TILES[1], SHIFT_PX)
    return first, second


def _make(folder: Path, count: int, tile: int, shift_px: float) -> None:
    rng = np.random.default_rng(tile)
    places = np.arange(count)[rng.random(count) < KEPT]
    row, column = places // made_up.ACROSS, places % made_up.ACROSS
    places = places[np.lexsort((column, row, column // tile, row // tile))]
    (folder / "cells").mkdir(parents=True)
    digest, outlines = Digest(), made_up.shapes()
    with CellParts(folder / "cells", Disk()) as parts:
        for at in range(0, len(places), GROUP_CELLS):
            some = places[at : at + GROUP_CELLS]
            cells = _cells(at, some, outlines, rng.normal(0, shift_px, (len(some), 2)))
            digest.add(cells, np.zeros((0, 3), np.int32), np.zeros(1, np.int32))
            parts.add(cells)
    rows = -(-count // made_up.ACROSS)
    size = made_up.ACROSS, max(1, rows)
    Image.new("RGB", size, (230, 220, 230)).save(folder / PICTURE)
    manifest = made_up.manifest(folder, len(places), rows, digest)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))


def _cells(at: int, places: Any, outlines: list[Any], shifts: Any) -> Any:
    ids = np.arange(at + 1, at + 1 + len(places), dtype=np.uint32)
    return made_up.cells(ids, made_up.on_the_grid(places) + shifts, outlines)
