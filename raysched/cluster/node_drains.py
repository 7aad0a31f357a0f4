"""The operator empties one node: a person names it, and hears what becomes of its lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysched.core.events import NodeDrained, NodeResumed
from raysched.core.model import NodeId, UserId
from raysched.errors import Conflict, NotFound

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.sight import ClusterView, NodeView

MOST = 10_000
LEAST_LETTERS = 4
"""So much of a node's id is enough, where no other begins so."""


@dataclass(frozen=True, slots=True)
class DrainedNode:
    """A node, and how many open lanes are on it: what runs in them ends, if it is drained."""

    node: NodeView
    lanes: int


async def drain_node(gateway: Gateway, by: UserId, name: str) -> DrainedNode:
    """Let nothing new start on a node. Raises ``NotFound``, and ``Conflict`` for several."""
    node = find_node(await gateway.cluster(MOST), name)
    await gateway.hold(NodeDrained(0.0, by, NodeId(node.node)))
    return await _seen(gateway, node.node)


async def resume_node(gateway: Gateway, by: UserId, name: str) -> DrainedNode:
    """Let lanes be on a node again. Raises ``NotFound``, and ``Conflict`` for several."""
    node = find_node(await gateway.cluster(MOST), name)
    await gateway.hold(NodeResumed(0.0, by, NodeId(node.node)))
    return await _seen(gateway, node.node)


async def _seen(gateway: Gateway, name: str) -> DrainedNode:
    view = await gateway.cluster(MOST)
    return DrainedNode(find_node(view, name), [*view.places.values()].count(name))


def find_node(view: ClusterView, name: str) -> NodeView:
    """The living node of that id, beginning of an id, or host. Raises ``NotFound``, and
    ``Conflict`` where several go by that name."""
    begins = len(name) >= LEAST_LETTERS
    found = [
        node
        for node in view.nodes
        if node.is_alive and (node.host == name or (begins and node.node.startswith(name)))
    ]
    if not found:
        raise NotFound(
            f"There is no node {name!r} in the cluster.",
            remedy="`raysched cluster` shows all: name one by its id or its host.",
        )
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} nodes go by {name!r}.",
            remedy="Name one by more of its id, as `raysched cluster` shows it.",
            nodes=[node.node for node in found],
        )
    return found[0]
