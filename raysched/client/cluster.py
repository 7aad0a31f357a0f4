"""What an administrator's client asks of the whole cluster."""

from __future__ import annotations

from urllib.parse import quote

from raysched.client.wire import Call, Wire
from serve_app.models import Gates
from serve_app.node_models import NodeLanes
from serve_app.queue_models import ClusterMinutes
from serve_app.report_models import Cluster


class ClusterVerbs:
    """Verbs of ``Client``, for administrators."""

    _wire: Wire

    def cluster(self, limit: int = 100) -> Cluster:
        """Nodes, lanes and what runs in them, users, the queue, the journal, at this moment."""
        return self._wire.ask(Cluster, Call(method="GET", path="/cluster", params={"limit": limit}))

    def cluster_minutes(self) -> ClusterMinutes:
        """What happened in each of the last 60 minutes."""
        return self._wire.ask(ClusterMinutes, Call(method="GET", path="/cluster/minutes"))

    def pause(self) -> Gates:
        """Let nothing new start: what runs ends, everything else waits."""
        return self._wire.ask(Gates, Call(method="POST", path="/cluster/pause"))

    def drain(self) -> Gates:
        """Take no new work in: what was taken in runs to its end."""
        return self._wire.ask(Gates, Call(method="POST", path="/cluster/drain"))

    def resume(self) -> Gates:
        """End a pause and a drain."""
        return self._wire.ask(Gates, Call(method="POST", path="/cluster/resume"))

    def drain_node(self, node: str) -> NodeLanes:
        """Empty one node, named by its id, the beginning of it, or its host: what runs in its
        lanes ends, nothing new starts there. It may go once it has no lanes."""
        return self._about(node, "drain")

    def resume_node(self, node: str) -> NodeLanes:
        """End the drain of a node."""
        return self._about(node, "resume")

    def _about(self, node: str, verb: str) -> NodeLanes:
        path = f"/cluster/nodes/{quote(node, safe='')}/{verb}"
        return self._wire.ask(NodeLanes, Call(method="POST", path=path))
