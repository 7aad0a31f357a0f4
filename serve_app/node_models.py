"""What is told of one node of the cluster that the operator drains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serve_app.models import Shown
from serve_app.report_models import Node

if TYPE_CHECKING:
    from raysched.cluster.node_drains import DrainedNode


class NodeLanes(Shown):
    """A node and its open lanes. While it is drained nothing new starts in them, and each is given
    back once what runs in it has ended: at ``lanes`` 0 the node may go without any loss, unless it
    holds the state (``holds_state``): the scheduler and its HTTP run there."""

    node: Node
    lanes: int

    @classmethod
    def of(cls, seen: DrainedNode) -> NodeLanes:
        """As the scheduler saw them."""
        return cls(node=Node.of(seen.node), lanes=seen.lanes)
