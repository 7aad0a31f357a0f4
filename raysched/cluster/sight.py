"""The cluster as an administrator sees it: nodes, lanes, users, queue, journal. Reads only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray._private.services import get_webui_url_from_internal_kv
from ray._private.state import state as ray_state

from raysched import __version__
from raysched.cluster.life import Life
from raysched.core.model import LaneId
from raysched.core.overview import Overview, overview
from raysched.journal.disk import size_bytes


@dataclass(frozen=True, slots=True)
class NodeView:
    """A machine of the Ray cluster. ``holds_state``: the scheduler and the state folder are on
    it. ``is_draining``: by Ray or by the operator; no new work goes there."""

    node: str
    host: str
    is_alive: bool
    holds_state: bool
    cpus: float
    gpus: float
    memory_bytes: int
    is_draining: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """Everything at once, as of one moment. ``places``: the node of each open lane. Lists are cut
    to what was asked for, the overview's numbers are of all."""

    version: str
    epoch: int
    started_at: float
    """When this life of the scheduler began, seconds since the epoch."""
    at: float
    events: int
    journal_bytes: int
    nodes: tuple[NodeView, ...]
    nodes_alive: int
    places: Mapping[LaneId, str]
    overview: Overview


async def look(life: Life, state_folder: Path, most: int) -> ClusterView:
    """What there is to see now, up to ``most`` of each."""
    nodes, places, size = await asyncio.to_thread(_outside, life, state_folder)
    await life.settled()
    seen = overview(life.core.state, most)
    drained = life.core.state.drained_nodes
    nodes = [replace(each, is_draining=each.is_draining or each.node in drained) for each in nodes]
    shown = {each.lane: places.get(each.lane, "") for each in seen.lanes}
    return ClusterView(
        version=__version__,
        epoch=life.core.epoch,
        started_at=life.began_at,
        at=life.now(),
        events=life.events,
        journal_bytes=size,
        nodes=tuple(nodes[:most]),
        nodes_alive=sum(node.is_alive for node in nodes),
        places=shown,
        overview=seen,
    )


def dashboard_address() -> str | None:
    """Where Ray's dashboard is, as HOST:PORT; None: there is none, or no Ray. Asks Ray's control
    service, since a worker's own idea of it is a default."""
    if not ray.is_initialized():
        return None
    address: str | None = get_webui_url_from_internal_kv()
    return address or None


def _outside(life: Life, folder: Path) -> tuple[list[NodeView], Mapping[LaneId, str], int]:
    """What takes a moment to ask for; runs in a thread. Nodes that live come first."""
    here = ray.get_runtime_context().get_node_id()
    going = ray_state.get_draining_nodes()
    nodes = [_node(row, here, row["NodeID"] in going) for row in ray.nodes()]
    nodes.sort(key=lambda node: (not node.is_alive, not node.holds_state, node.node))
    return nodes, life.places(), size_bytes(folder)


def _node(row: dict[str, Any], here: str, is_draining: bool) -> NodeView:
    there = row.get("Resources", {})
    return NodeView(
        node=row["NodeID"],
        host=str(row.get("NodeManagerHostname", "")),
        is_alive=bool(row["Alive"]),
        holds_state=row["NodeID"] == here and bool(row["Alive"]),
        cpus=float(there.get("CPU", 0.0)),
        gpus=float(there.get("GPU", 0.0)),
        memory_bytes=int(there.get("memory", 0)),
        is_draining=is_draining,
    )
