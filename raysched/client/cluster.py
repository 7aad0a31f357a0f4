"""What an administrator's client asks of the whole cluster."""

from __future__ import annotations

from raysched.client.wire import Call, Wire
from serve_app.models import Gates
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
