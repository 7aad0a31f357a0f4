"""What the scheduler's process loads at each start, and so before anything goes on. Without Ray."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"numpy", "pyarrow", "pandas", "zarr", "tifffile", "cv2", "openslide", "numba", "skimage"}
LOOK = "import sys, raysched.cluster.actor, raysched.results.outcomes; print(*sys.modules)"


def test_the_scheduler_loads_nothing_that_only_the_work_needs() -> None:
    ran = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    assert HEAVY & {*ran.stdout.split()} == set()
