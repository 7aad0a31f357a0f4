"""What runs inside a lane: one Ray task that does one unit and returns a small outcome.

Nothing is raised through Ray on purpose: an exception becomes ``Failed``, so that what Ray itself
raises always means that a process or node died. Pixels and cells never leave the task; they are
on disk when it returns.

The scheduler imports this module at each start to order work, and loads nothing that only doing
it needs: those imports are inside of the functions that run in a lane, 3 s on a busy machine.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import ray

from raysched.cluster.capture import LogPlace, captured
from raysched.cluster.guard import Kernel, Watch, guarded, kernel_here
from raysched.cluster.log_post import Letter, post
from raysched.cluster.note_post import NotePost
from raysched.cluster.processes import end_with_raylet
from raysched.cluster.stores import order_here, stages_of
from raysched.core.model import Failure, RunId, Stage, Unit
from raysched.errors import (
    ChunksMissing,
    EngineFailed,
    InternalError,
    MppMissing,
    RayschedError,
    RequestError,
    SlideError,
)
from raysched.logs import LogFormat, about, write_logs
from raysched.results.outcomes import Assembled, Planned, Published, Receipt, Stopped
from raysched.results.remote.place import StorePlace

if TYPE_CHECKING:
    from raysched.imaging.request import SlideRequest

log = logging.getLogger(__name__)

LANE_NICE = 19
"""A lane takes what CPU time is left by the scheduler and the service on the same machine: people
who ask, or cancel, wait for milliseconds; a chunk takes seconds in any case. Ray gives all of its
workers 15, also the scheduler and the replicas, unless told otherwise (``cluster/session.py``)."""

_warm: set[str] = set()
"""Engines that this process has loaded."""


# An order is a tuple of tuples: as dataclasses they take Ray ten times as long to pickle.


class ShelfPlace(NamedTuple):
    """Where a user's shelf is, and how much it may hold; 0: nothing is used again."""

    folder: Path
    most_bytes: int


class Names(NamedTuple):
    """Whose work it is, and how processes write their logs."""

    user: str
    workflow: str | None
    form: LogFormat
    level: str


class Order(NamedTuple):
    """One unit to do, with all that it needs.

    ``shelf``: what the user's jobs have left. ``most_bytes`` is what the process may hold; if it
    is ended for that, the reason is among ``notes``, where it also sees that it is to stop.
    ``store``: through which slide and results go, where the request says so, and ``home`` what is
    found among the notes by who sees the service's folders (``cluster/stores.py``).
    ``cpus``: those of the lane, which engines that start threads ask for. ``log``: where what is
    said meanwhile goes; ``names``: whose work it is, for this process's own log. ``careful``: in as
    little memory as can be.
    """

    run: RunId
    unit: Unit
    request: SlideRequest
    shelf: ShelfPlace
    most_bytes: float
    notes: Path
    cpus: int
    log: LogPlace
    names: Names
    careful: bool = False
    store: StorePlace | None = None
    home: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The unit's code raised."""

    failure: Failure
    retryable: bool


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The chunks that were found missing while assembling, and what the others hold."""

    chunks: tuple[int, ...]
    cells: int
    tiles_failed: int


@dataclass(frozen=True, slots=True)
class Asked:
    """The plan ended with the question for the pixel size."""

    question: str


@dataclass(frozen=True, slots=True)
class Halted:
    """The unit stopped because its stop marker appeared."""


Outcome = Planned | Receipt | Assembled | Published | Failed | Incomplete | Asked | Halted


@ray.remote(max_retries=0)
def run_unit(order: Order) -> Outcome:
    """Do one unit in this process. Never raises by itself."""
    unit, names = order.unit, order.names
    write_logs(names.form, names.level)
    order = order_here(order)
    with (
        about(
            user=names.user,
            workflow=names.workflow,
            job=unit.job,
            attempt=unit.attempt,
            run=order.run,
        ),
        captured(unit, order.run, order.log),
    ):
        if order.store is not None and not order.home:
            post(Letter(order.store, unit.job, order.log))
        return _ending(order)


def _ending(order: Order) -> Outcome:
    import pyarrow as pa

    from raysched.imaging import processors
    from raysched.results.care import careful

    # Arrow's own allocators keep what they once had: 100 MB more for every worker.
    pa.set_memory_pool(pa.system_memory_pool())
    _settle_in()
    processors.give(order.cpus)
    try:
        away = order.store if order.store is not None and not order.home else None
        notes = NotePost(away) if away is not None else None
        watch = Watch(order.unit, order.run, order.most_bytes, order.notes, order.careful, notes)
        with guarded(watch), careful(order.careful):
            return _said(order, _do(order))
    except Stopped:
        log.info("%s stops, as it was told to.", _name_of(order.unit))
        return Halted()
    except MppMissing as error:
        return Asked(f"{error.message} {error.remedy}")
    except ChunksMissing as error:
        log.warning("%s: %s", order.unit, error.message)
        return Incomplete(error.chunks, error.cells, error.tiles_failed)
    except RayschedError as error:
        log.warning("%s failed: %s", order.unit, error.message, exc_info=error)
        failure = Failure(error.code, error.message, error.remedy)
        return Failed(failure, retryable=_may_pass(error, order.unit.stage))
    except Exception as error:
        log.exception("%s failed unexpectedly.", order.unit)
        failure = Failure(
            InternalError.code,
            f"The {order.unit.stage} stage failed unexpectedly: {error!r}.",
            "Report this with the log of the Ray worker.",
        )
        return Failed(failure, retryable=True)


@ray.remote(max_retries=0)
def greet() -> Kernel:
    """That there is a process in a lane, and what it runs on."""
    _settle_in()
    return kernel_here()


@ray.remote(max_retries=0)
def warm_up(engine: str, cpus: int) -> None:
    """Load in this process what its first unit would wait for. What fails here fails there again,
    where it is the job's failure."""
    import pyarrow as pa

    from raysched.imaging import processors
    from raysched.imaging.engine import load_engine
    from raysched.imaging.rehearsal import rehearse
    from raysched.results import stages  # noqa: F401 - what a unit needs

    if engine in _warm:
        return
    _warm.add(engine)
    _settle_in()
    processors.give(cpus)
    try:
        rehearse(load_engine(engine))
        pa.array([0])  # Arrow loads pandas at its first array, where that is installed: 0.7 s
    except Exception:
        log.exception("Engine %r could not be warmed up.", engine)


def _name_of(unit: Unit) -> str:
    if unit.stage is Stage.SEGMENT:
        return f"Chunk {unit.chunk}"
    return f"The {unit.stage} stage"


def _said(order: Order, outcome: Outcome) -> Outcome:
    """What the unit has come to, also told to the job's log."""
    failed = outcome.tiles_failed if isinstance(outcome, Receipt) else ()
    if failed:
        log.warning("%s is done, but for its tiles %s.", _name_of(order.unit), [*failed])
    else:
        log.info("%s is done.", _name_of(order.unit))
    return outcome


def _settle_in() -> None:
    """Make a process of Ray's one of a lane: the last in turn for CPU time, and gone with its
    raylet, or as soon as that says so. When the scheduler dies its raylet ends what it had under
    way, and gives a lane's CPUs back when that is gone. Ray's own handler for it never runs while
    a process waits for work; the raylet then kills it after 5 s, in which the lane stands still."""
    _end_with_raylet()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Linux keeps this for each thread; threads that this one starts have it from it.
    os.setpriority(os.PRIO_PROCESS, 0, max(LANE_NICE, os.getpriority(os.PRIO_PROCESS, 0)))


_end_with_raylet = cache(end_with_raylet)
"""Once for each process: the kernel keeps it, and who the parent is costs half a millisecond."""


def _may_pass(error: RayschedError, stage: Stage) -> bool:
    """Whether trying again can help: not where the request itself is at fault. A slide that could
    be planned may be away for a moment."""
    if isinstance(error, SlideError):
        return stage is not Stage.PLAN
    return isinstance(error, EngineFailed) or not isinstance(error, RequestError)


def _do(order: Order) -> Outcome:
    from raysched.results.shelf import Shelf

    request, job = order.request, order.unit.job
    should_stop = stop_marker(order).exists
    shelf = Shelf(order.shelf.folder, order.shelf.most_bytes)
    work = stages_of(order.store)
    match order.unit.stage:
        case Stage.PLAN:
            return work.plan_slide(request, job, should_stop, shelf=shelf)
        case Stage.SEGMENT:
            return work.segment_chunk(request, job, order.unit.chunk, should_stop, shelf=shelf)
        case Stage.ASSEMBLE:
            _release_memory()
            try:
                return work.assemble(request, job, should_stop, shelf=shelf)
            finally:
                _release_memory()
        case Stage.PUBLISH:
            return work.publish(request, job, order.run, shelf=shelf)


def _release_memory() -> None:
    """Give the system what was freed: segmenting and assembling work in pieces of other sizes, and
    would each keep theirs. About 100 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # GNU's allocator alone has it
    if trim is not None:
        trim(0)


def stop_marker(order: Order) -> Path:
    """The file whose existence tells a run to stop: before its next tile, or piece of a slide. In a
    folder of the state's own, since a job has no staging folder before it is planned."""
    return order.notes / f"{order.run}.stop"
