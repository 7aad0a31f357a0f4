"""The engine ``held``: ``classical``, but it waits where a test says so, by files.

``RAYSCHED_BARRIERS`` names a folder. A job gives the name of its barrier as a parameter; while the
file ``BARRIER.plan`` or ``BARRIER.segment`` is there the engine waits, and says so in
``BARRIER.plan.here``. Each file ``BARRIER.segment.pass.N`` lets one tile through, and
``BARRIER.stubborn`` makes it deaf to an interrupt. Changes of files are held by the job's id: see
``STEPS``.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from raysched.imaging.classical import ClassicalEngine, ClassicalParams

LOOK_S = 0.02


class HeldParams(ClassicalParams):
    """Those of ``classical``, and which barrier to wait at."""

    barrier: str = Field(default="", pattern=r"^[\w-]*$", description="files to wait for")


class HeldEngine(ClassicalEngine):
    """Finds what ``classical`` finds."""

    name: ClassVar[str] = "held"
    Params: ClassVar[type[HeldParams]] = HeldParams

    def prepare(self, overview: Any, mpp: float, params: Any) -> dict[str, Any]:
        """Wait at ``BARRIER.plan``; the barrier goes along to the tiles."""
        wait_at(params.barrier, "plan")
        return super().prepare(overview, mpp, params)

    def segment(self, rgb: Any, mpp: float, context: dict[str, Any], params: Any) -> Any:
        """Wait at ``BARRIER.segment``."""
        wait_at(params.barrier, "segment")
        return super().segment(rgb, mpp, context, params)


def wait_at(barrier: str, what: str) -> None:
    """Return when the barrier is open or has let this one pass."""
    folder = os.environ.get("RAYSCHED_BARRIERS")
    if not barrier or not folder:
        return
    closed = Path(folder) / f"{barrier}.{what}"
    while closed.exists() and not _passed(closed):
        closed.with_name(f"{closed.name}.here").touch()
        try:
            threading.Event().wait(LOOK_S)
        except KeyboardInterrupt:
            if not closed.with_name(f"{barrier}.stubborn").exists():
                raise


def _passed(closed: Path) -> bool:
    for ticket in closed.parent.glob(f"{closed.name}.pass.*"):
        try:
            ticket.unlink()
        except FileNotFoundError:
            continue  # another tile was faster
        return True
    return False


STEPS = {
    "assemble": lambda what, path: (path.parent, what == "rename" and path.name == "result"),
    "publish": lambda what, path: (path, what == "rename" and path.parent.name == "results"),
    "published": lambda what, path: (path, what == "remove" and path.suffix == ".partial"),
}
"""Before the assembled result has its name; before the results folder has; when it is there but
nobody has heard of it. Each says of a change whose folder it is in, and whether it is the one."""


def hold_steps() -> None:
    """From now on changes of files in this process wait at ``JOB.assemble``, ``JOB.publish`` and
    ``JOB.published``."""
    from raysched.results.storage import Disk

    usual = Disk.step

    def step(self: Disk, what: str, path: Path) -> None:
        for name, is_it in STEPS.items():
            folder, found = is_it(what, path)
            if found:
                job = folder.name.removesuffix(".partial").rpartition(".")[2]
                wait_at(job, name)
        usual(self, what, path)

    Disk.step = step  # type: ignore[method-assign]
