"""From pixels to measured cells on one core, in Mpx/s, beside the plain reference."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from figures import Figure

from raysched.config import load_config
from raysched.imaging.cells import CellBatch
from raysched.imaging.classical import GLASS, ClassicalEngine
from raysched.imaging.geometry import Rect, Tile
from raysched.imaging.plan import SlidePlan
from raysched.imaging.planning import make_plan
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.samples import sample_slide
from raysched.imaging.segment import segment_tile
from raysched.imaging.slide import open_slide
from raysched.imaging.tissue import TissueMask

TILE_PX = 1024
LEAST_TISSUE = 0.5
REPEATS = 5
TESTS = Path(__file__).parents[2] / "tests" / "imaging"


def measure() -> Iterator[Figure]:
    """CPU time of the best of some repeats per tile, on tiles of the sample mirrored to size."""
    sys.path.insert(0, str(TESTS))
    import plain_classical

    plan, tiles = _tiles()
    engine, params = ClassicalEngine(), ClassicalEngine.Params()
    whole = Rect(0, 0, TILE_PX, TILE_PX)
    grid = plan.grid.model_copy(update={"width": TILE_PX, "height": TILE_PX})
    plan = plan.model_copy(update={"grid": grid})
    tissue = TissueMask(np.ones((1, 1), np.bool_), TILE_PX)
    mpp, context = plan.grid.mpp, plan.context

    def cells(rgb: np.ndarray) -> CellBatch:
        return segment_tile(rgb, plan, tissue, Tile(0, whole, whole), engine)

    plain = _speed(lambda rgb: plain_classical.segment(rgb, mpp, context, params), tiles[:2], 1)
    fast = _speed(lambda rgb: engine.segment(rgb, mpp, context, params), tiles, REPEATS)
    yield Figure("engine classical, 1024 px tiles", fast, "Mpx/s", plain, 25.0, "more")
    full = _speed(cells, tiles, REPEATS)
    yield Figure("pixels to measured cells", full, "Mpx/s", None, 20.0, "more")
    found = [len(cells(rgb)) for rgb in tiles]
    yield Figure("cells a tile", float(np.mean(found)), "", better="more")
    yield Figure("importing the kernels, compiled before", _import_s(), "s")


def _tiles() -> tuple[SlidePlan, list[np.ndarray]]:
    """The sample's plan, and tiles of it and its mirror images that are mostly tissue."""
    config = load_config()
    path = sample_slide(config.samples, config.cache).path
    request = SegmentationRequest(
        slide=str(path),
        out="unused",
        engine="classical",
        params={},
        mpp=None,
        tile_px=TILE_PX,
        chunk_tiles=1,
    )
    with open_slide(path) as slide:
        plan, *_ = make_plan(slide, request)
        pixels = slide.read_level(0, 0, 0, slide.width, slide.height)
    pixels = np.concatenate([pixels, pixels[::-1]])
    pixels = np.concatenate([pixels, pixels[:, ::-1]], axis=1)
    corners = [
        (y, x)
        for y in range(0, pixels.shape[0] - TILE_PX, TILE_PX)
        for x in range(0, pixels.shape[1] - TILE_PX, TILE_PX)
    ]
    tiles = [np.ascontiguousarray(pixels[y : y + TILE_PX, x : x + TILE_PX]) for y, x in corners]
    return plan, [rgb for rgb in tiles if (rgb.min(axis=2) < GLASS).mean() > LEAST_TISSUE]


def _speed(work: Callable[[np.ndarray], object], tiles: list[np.ndarray], repeats: int) -> float:
    """Mpx per second of CPU time."""
    seconds = []
    for rgb in tiles:
        taken = []
        for _ in range(repeats):
            begun = time.process_time()
            work(rgb)
            taken.append(time.process_time() - begun)
        seconds.append(min(taken))
    return TILE_PX**2 / 1e6 / float(np.mean(seconds))


def _import_s() -> float:
    """Wall time until a new process has all kernels, without starting Python and numpy."""
    code = (
        "import time, numpy; begun = time.perf_counter();"
        "import pkgutil; from raysched.imaging import kernels;"
        "each = pkgutil.iter_modules(kernels.__path__, kernels.__name__ + '.');"
        "[__import__(module.name) for module in each];"
        "print(time.perf_counter() - begun)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    return min(runs)
