"""Lanes as Ray knows them: placement groups of one bundle each, by their names."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ray._private.state import available_resources_per_node
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raysched.cluster.nodes import NODE_LABEL
from raysched.cluster.sizing import bundle
from raysched.config import PoolSettings
from raysched.core.model import LaneId, NodeId, PoolName

log = logging.getLogger(__name__)

LANE_PREFIX = "raysched-lane-"


def lane_of(pool: PoolName, number: int) -> LaneId:
    """A lane's name, which says whose it is: ``raysched-lane-3``, ``raysched-lane-gpu-0``."""
    return LaneId(f"{LANE_PREFIX}{pool}-{number}" if pool else f"{LANE_PREFIX}{number}")


def pool_of(lane: LaneId) -> PoolName:
    """Whose a lane is. A pool's name has no dash."""
    return PoolName(lane.removeprefix(LANE_PREFIX).rpartition("-")[0])


def options_in(group: PlacementGroup, settings: PoolSettings) -> dict[str, Any]:
    """Options of a task that has a lane's group for itself."""
    return {
        "num_cpus": settings.lane_cpus,
        "num_gpus": settings.lane_gpus,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(
            placement_group=group, placement_group_bundle_index=0
        ),
    }


class Group(NamedTuple):
    """A lane's group as Ray tells of it: ``PENDING`` or ``CREATED``, where, and what it takes."""

    state: str
    node: NodeId
    takes: Mapping[str, float]


def lane_groups() -> dict[LaneId, Group]:
    """The lanes that Ray knows, whoever made them. Asks Ray: a few ms."""
    return {
        LaneId(row["name"]): Group(
            str(row["state"]),
            NodeId(next(iter(row["bundles_to_node_id"].values()), "")),
            next(iter(row["bundles"].values()), {}),
        )
        for row in placement_group_table().values()
        if str(row["name"]).startswith(LANE_PREFIX) and row["state"] != "REMOVED"
    }


def make_group(lane: LaneId, settings: PoolSettings, away: Collection[NodeId]) -> PlacementGroup:
    """Ask for a lane's group, on any node but those in ``away``. It outlives its maker.

    Of the nodes with room Ray takes the one with the largest part of its resources left, so that
    fewer lanes than there is room for are spread.
    """
    where = {NODE_LABEL: f"!in({','.join(sorted(away))})"}
    group: PlacementGroup = placement_group(
        [bundle(settings)],
        name=lane,
        strategy="SPREAD",
        lifetime="detached",
        bundle_label_selector=[where] if away else None,
    )
    return group


def existing_groups(shapes: Mapping[PoolName, PoolSettings]) -> dict[LaneId, PlacementGroup]:
    """Lanes that an earlier life left behind, whatever their state. Those of another shape than
    their pool has now are removed."""
    found = {}
    for lane, group in lane_groups().items():
        shape = shapes.get(pool_of(lane))
        if shape is None or bundle(shape) != group.takes:
            remove_group(lane)
            continue
        with contextlib.suppress(ValueError):  # it is of another namespace, or was removed just now
            found[lane] = get_placement_group(lane)
    return found


def unused_groups(
    groups: Mapping[LaneId, PlacementGroup], cpus: Mapping[LaneId, float]
) -> set[LaneId]:
    """Those of which nothing is taken: no process is at work in them. Asks Ray: a few ms."""
    left: dict[str, float] = {}
    for there in available_resources_per_node().values():
        left |= there
    few = 1e-6
    return {
        lane
        for lane, group in groups.items()
        if left.get(f"CPU_group_0_{group.id.hex()}", 0.0) > cpus[lane] - few
    }


def remove_lanes(which: Collection[LaneId] | None = None) -> list[LaneId]:
    """Remove lanes of this namespace with the processes in them, whoever made them: those named, or
    all, for when no scheduler runs. Returns those that were there."""
    return [
        lane for lane in lane_groups() if (which is None or lane in which) and remove_group(lane)
    ]


def is_ours(lane: LaneId) -> bool:
    """Whether a lane is of this namespace. Asks Ray: a few ms."""
    try:
        get_placement_group(lane)
    except ValueError:
        return False
    return True


def remove_group(lane: LaneId) -> bool:
    """Remove a lane with whatever process is in it; False: it was gone already."""
    try:
        remove_placement_group(get_placement_group(lane))
    except ValueError:
        log.debug("Lane %s was gone already.", lane)
        return False
    return True
