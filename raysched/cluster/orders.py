"""What a process in a lane is told: the order of one unit, made from the core's command."""

from __future__ import annotations

import hashlib
import math
from functools import cache, lru_cache
from pathlib import Path

from raysched.cluster import tasks
from raysched.cluster.capture import LogPlace
from raysched.cluster.stores import home_mark, needed, object_store
from raysched.config import Config, PoolSettings
from raysched.core.commands import RunUnit
from raysched.core.model import Stage, Unit, UserId
from raysched.imaging.request import SlideRequest, read_request
from raysched.logs import now_about

KEPT = 1000
"""Requests, slides' names and shelves that are made once: a job has thousands of chunks."""


class Orders:
    """Makes the orders of one life. What is the same for all units of a job is made once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._notes, self._logs = config.notes, config.logs
        self._store = object_store(config)
        self._shelf_of = lru_cache(KEPT)(lambda user: shelf_of(user, config))

    def order_of(self, command: RunUnit, shape: PoolSettings, most_log_bytes: int) -> tasks.Order:
        """With all that the unit needs; ``shape``: of its lane; ``most_log_bytes``: of what is kept
        of what it says."""
        workflow = now_about().get("workflow")
        logging = self._config.logging
        request = _asked(command.kind, command.request, command.mpp)
        store = None if request.stored is None else needed(self._store, command.unit.job)
        return tasks.Order(
            command.run,
            command.unit,
            request,
            self._shelf_of(command.user),
            shape.lane_gb * 1e9,
            self._notes,
            math.ceil(shape.lane_cpus),
            LogPlace(self._logs, command.lane, most_log_bytes),
            tasks.Names(
                command.user, str(workflow) if workflow else None, logging.format, logging.level
            ),
            command.careful,
            store,
            self._home() if store is not None else "",
        )

    @cache  # noqa: B019 - it lives as long as its life
    def _home(self) -> str:
        return home_mark(self._config.state)


@lru_cache(KEPT)
def _asked(kind: str, text: str, mpp: float | None) -> SlideRequest:
    """A job's request, with the user's answer where one was given."""
    request = read_request(kind, text)
    return request if mpp is None else request.model_copy(update={"mpp": mpp})


def shelf_of(user: UserId, config: Config) -> tasks.ShelfPlace:
    """A folder for each user, under a name that any user's name can be made into."""
    name = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return tasks.ShelfPlace(config.shelf / name, round(config.reuse.most_gb_per_user * 1e9))


def title_of(unit: Unit, request: SlideRequest, chunks: int) -> str:
    """How the task is called in the Ray dashboard; chunks have the numbers, from 0, that they have
    in the job's log."""
    slide = _stem(request.slide)
    if unit.stage is Stage.SEGMENT:
        return f"segment {slide} chunk {unit.chunk}/{chunks}"
    return f"{unit.stage} {slide}"


@lru_cache(KEPT)
def _stem(slide: str) -> str:
    return Path(slide).stem
