"""The machines of the cluster as far as lanes ask: what each has, and which of them is to go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray._private.state import state as ray_state

from raysched.core.model import NodeId

NODE_LABEL = "ray.io/node-id"
"""The label that Ray gives each node by itself, with its id."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that lives. ``is_going``: Ray drains it (``ray drain-node``, the autoscaler, or a
    cloud that takes a spot machine back)."""

    node: NodeId
    resources: Mapping[str, float] = field(default_factory=dict)
    is_going: bool = False


def living_nodes() -> list[Node]:
    """Those of the cluster at hand. Asks Ray: a few ms."""
    going = ray_state.get_draining_nodes()
    return [_node(row, row["NodeID"] in going) for row in ray.nodes() if row["Alive"]]


def _node(row: dict[str, Any], is_going: bool) -> Node:
    return Node(NodeId(row["NodeID"]), dict(row.get("Resources", {})), is_going)


def staying(nodes: Iterable[Node], drained: Collection[NodeId]) -> list[Node]:
    """The nodes on which lanes may be: those that neither Ray nor the operator drains."""
    return [each for each in nodes if not each.is_going and each.node not in drained]
