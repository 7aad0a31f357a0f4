"""What a job costs that an earlier one of the same user has done, beside doing it again."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from segment import Bench, warm_bench
from slides import bench_slide

from raysched.core.views import JobView

GATE_S = 0.5
RING = {"ring_um": 3.0}
TIMES = 3


def measure() -> Iterator[Figure]:
    """Slide M on a warm cluster: computed, equal, measured otherwise. About two minutes."""
    path = bench_slide("M")
    with warm_bench() as bench:
        alone, _ = min(bench.run(path) for _ in range(TIMES))
        mask_alone, _ = min(bench.run(path, kind="tissue_mask") for _ in range(TIMES))
    with warm_bench(reuse={"most_gb_per_user": 20.0}) as bench:
        first, view = bench.run(path)
        yield Figure("slide M, computed and kept for later jobs", first, "s", alone)
        equal = [_checked(bench, view, reused=True) for _ in range(TIMES)]
        yield Figure("slide M, an equal job", min(equal), "s", alone, GATE_S)
        other, _ = bench.run(path, measure=RING)
        yield Figure("slide M, only measured otherwise", other, "s", alone)
        mask, _ = min(bench.run(path, kind="tissue_mask") for _ in range(TIMES))
        yield Figure("slide M, its tissue mask", mask, "s", mask_alone)


def _checked(bench: Bench, first: JobView, *, reused: bool) -> float:
    seconds, view = bench.run(bench_slide("M"))
    if (view.reused, view.checksum) != (reused, first.checksum):
        raise SystemExit(f"an equal job ended as {view}")
    return seconds
