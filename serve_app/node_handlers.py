"""What the routes about one node of the cluster do."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from raysched.cluster.node_drains import drain_node, resume_node
from serve_app.desk import At
from serve_app.node_models import NodeLanes

NodeName = Annotated[
    str, Path(max_length=255, description="the node's id, the beginning of it, or its host")
]


async def drain_cluster_node(at: At, node: NodeName) -> NodeLanes:
    """Empty one node: what runs in its lanes ends and counts, nothing new starts there, and each
    lane is given back. Ask again until `lanes` is 0; then the node may go."""
    return NodeLanes.of(await drain_node(at.gateway, at.asking.caller.user, node))


async def resume_cluster_node(at: At, node: NodeName) -> NodeLanes:
    """Let lanes be on a node again. What Ray itself drains stays so."""
    return NodeLanes.of(await resume_node(at.gateway, at.asking.caller.user, node))
