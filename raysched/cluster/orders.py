"""What a process in a lane is told: the order of one unit, made from the core's command."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from raysched.cluster import tasks
from raysched.cluster.capture import LogPlace
from raysched.cluster.stores import home_mark, needed, object_store
from raysched.config import Config
from raysched.core.commands import RunUnit
from raysched.core.model import Stage, Unit, UserId
from raysched.imaging.request import SlideRequest, read_request
from raysched.logs import now_about


def order_of(command: RunUnit, config: Config, most_log_bytes: int) -> tasks.Order:
    """With all that the unit needs; ``most_log_bytes``: of what is kept of what it says."""
    request = read_request(command.kind, command.request)
    if command.mpp is not None:
        request = request.model_copy(update={"mpp": command.mpp})
    shelf = shelf_of(command.user, config)
    most_bytes = config.cluster.lane_gb * 1e9
    cpus = math.ceil(config.cluster.lane_cpus)
    level = config.logging.level
    place = LogPlace(config.logs, command.lane, most_log_bytes)
    workflow = now_about().get("workflow")
    names = tasks.Names(
        command.user, str(workflow) if workflow else None, config.logging.format, level
    )
    store = None if request.stored is None else needed(object_store(config), command.unit.job)
    return tasks.Order(
        command.run,
        command.unit,
        request,
        shelf,
        most_bytes,
        config.notes,
        cpus,
        place,
        names,
        command.careful,
        store,
        home_mark(config.state) if store is not None else "",
    )


def shelf_of(user: UserId, config: Config) -> tasks.ShelfPlace:
    """A folder for each user, under a name that any user's name can be made into."""
    name = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return tasks.ShelfPlace(config.shelf / name, round(config.reuse.most_gb_per_user * 1e9))


def title_of(unit: Unit, request: SlideRequest, chunks: int) -> str:
    """How the task is called in the Ray dashboard; chunks have the numbers, from 0, that they have
    in the job's log."""
    slide = Path(request.slide).stem
    if unit.stage is Stage.SEGMENT:
        return f"segment {slide} chunk {unit.chunk}/{chunks}"
    return f"{unit.stage} {slide}"
