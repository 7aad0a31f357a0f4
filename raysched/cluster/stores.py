"""The object store of a cluster whose nodes share no folder: who asks for it where.

Light to import: the scheduler's process loads what speaks to a store only where there is one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from raysched.cluster.submission import Prepared
from raysched.config import Config, node_cache
from raysched.core.model import JobId, JobState, RunId
from raysched.core.views import JobView
from raysched.errors import ClusterError, StorageFailed
from raysched.imaging.request import SlideRequest, read_request
from raysched.results.outcomes import Assembled, Planned, Published, Receipt
from raysched.results.remote.place import StorePlace
from raysched.results.storage import unique

if TYPE_CHECKING:
    from raysched.cluster.tasks import Order
    from raysched.results.remote.copies import Copies
    from raysched.results.remote.door import Door
    from raysched.results.shelf import Shelf

log = logging.getLogger(__name__)

HOME = "home"


class Stages(Protocol):
    """The four steps of an attempt; see ``results.stages``, which is one such."""

    def plan_slide(
        self, request: SlideRequest, job: str, should_stop: Callable[[], bool], *, shelf: Shelf
    ) -> Planned:
        """Look at the whole slide."""
        ...

    def segment_chunk(
        self,
        request: SlideRequest,
        job: str,
        chunk: int,
        should_stop: Callable[[], bool],
        *,
        shelf: Shelf,
    ) -> Receipt:
        """Segment the tiles of one chunk."""
        ...

    def assemble(
        self, request: SlideRequest, job: str, should_stop: Callable[[], bool], *, shelf: Shelf
    ) -> Assembled:
        """Make the complete result."""
        ...

    def publish(self, request: SlideRequest, job: str, run: str, *, shelf: Shelf) -> Published:
        """Let the result be seen."""
        ...


def object_store(config: Config) -> StorePlace | None:
    """The object store that slides and results go through; None where nodes share folders."""
    storage = config.storage
    if storage.url is None:
        return None
    return StorePlace(
        url=storage.url,
        endpoint=storage.endpoint,
        region=storage.region,
        folder=config.cache.absolute() / "node",
        slides_bytes=round(storage.slides_gb * 1e9),
        results=config.results.absolute(),
        results_bytes=round(storage.results_gb * 1e9),
    )


def needed(place: StorePlace | None, job: JobId) -> StorePlace:
    """The store of a job whose work goes through one. Raises ``StorageFailed`` without one."""
    if place is None:
        raise StorageFailed(
            f"{job} was submitted to a service with an object store; this one has none.",
            remedy="Set storage.url as it was and start the service again, then retry the job.",
        )
    return place


def check_store(place: StorePlace | None) -> None:
    """Raise ``StorageFailed`` where there is to be a store that does not do all that it must."""
    if place is not None:
        from raysched.results.remote.bucket import Bucket

        Bucket(place).check()


def with_slides_stored(prepared: Prepared, place: StorePlace) -> Prepared:
    """A submission whose slides are in the store, sent there if need be: minutes for large ones.

    Raises ``StorageFailed`` and what reading a slide raises.
    """
    from raysched.results.remote.bucket import Bucket
    from raysched.results.remote.slides import keep_slide

    bucket, jobs, keys = Bucket(place), [], dict[str, str]()
    for job in prepared.jobs:
        request = read_request(job.kind, job.request)
        if request.slide not in keys:
            keys[request.slide] = keep_slide(Path(request.slide), bucket, place)
        request = request.model_copy(update={"stored": keys[request.slide]})
        jobs.append(dataclasses.replace(job, request=request.model_dump_json()))
    return dataclasses.replace(prepared, jobs=tuple(jobs))


async def at_hand(view: JobView, place: StorePlace | None) -> JobView:
    """A job whose cells, as far as it has any, can be read here. Raises ``StorageFailed``,
    ``StorageFull``."""
    if place is not None and view.results_deleted_at is None:
        await asyncio.to_thread(_bring, view, place)
    return view


async def log_at_hand(job: JobId, into: Path, place: StorePlace | None) -> None:
    """Have in ``into`` what was said of a job on any node; where that cannot be, what is there."""
    if place is None:
        return
    try:
        await asyncio.to_thread(_copies(place).log, job, into)
    except ClusterError as error:
        log.warning("The log of %s is told as far as it is here: %s", job, error.message)


def removing_stored(job: JobId, place: StorePlace | None) -> AbstractContextManager[None]:
    """Remove all that is in the store of a job; nothing of it is copied from there until this is
    left. Raises ``StorageFailed``."""
    return nullcontext() if place is None else _copies(place).removing(job)


def hand_over_stored(place: StorePlace, job: JobId, run: RunId) -> None:
    """As ``results.fencing.hand_over``, of a job whose work goes through the store."""
    _door(place, job).hand_over(run)


def take_back_stored(place: StorePlace, job: JobId) -> None:
    """As ``results.fencing.take_back``."""
    _door(place, job).take_back()


# --- on the node that a unit runs on ------------------------------------------------------------


def mark_home(state: Path) -> None:
    """Leave in the service's folder what tells whether a node sees it."""
    state.mkdir(parents=True, exist_ok=True)
    (state / HOME).write_text(unique())


def home_mark(state: Path) -> str:
    """What ``mark_home`` has left; "" where it was not called."""
    try:
        return (state / HOME).read_text()
    except OSError:
        return ""


def order_here(order: Order) -> Order:
    """An order as it can be carried out on this node: where it does not see the service's folders,
    with folders of its own, from which logs and notes are sent on (``log_post``, ``note_post``)."""
    store = order.store
    if store is None:
        return order
    if (own := node_cache()) is not None:
        store = dataclasses.replace(store, folder=own.absolute() / "node")
    if order.home and home_mark(order.notes.parent) == order.home:
        return order._replace(store=store)
    import ray  # the command line asks for a store without it

    shelf = store.folder / "shelf" / order.shelf.folder.name
    lane = f"{order.log.lane}-{ray.get_runtime_context().get_node_id()[:8]}"
    return order._replace(
        store=store,
        notes=store.folder / "notes",
        shelf=order.shelf._replace(folder=shelf),
        log=order.log._replace(logs=store.folder / "logs", lane=lane),
        home="",
    )


def stages_of(store: StorePlace | None) -> Stages:
    """What does the work: on folders, or on folders and a store."""
    from raysched.results import stages

    if store is None:
        return stages
    from raysched.results.remote.units import RemoteStages

    return RemoteStages(store)


def _bring(view: JobView, place: StorePlace) -> None:
    request = read_request(view.kind, view.request)
    if request.stored is None:
        return
    copies = _copies(place)
    may_be_published = view.state in {JobState.SUCCEEDED, JobState.PUBLISHING}
    if not (may_be_published and copies.result(request, view.job)):
        copies.so_far(request, view.job)


def _copies(place: StorePlace) -> Copies:
    from raysched.results.remote.copies import Copies

    return Copies(place)


def _door(place: StorePlace, job: JobId) -> Door:
    from raysched.results.remote.bucket import Bucket
    from raysched.results.remote.door import Door

    return Door(Bucket(place), job)
