"""The gates of the operator: the cluster is paused, drained, and let go on; or a node is.

A pause stops nothing that runs and refuses nothing: units end, jobs are taken in and wait. A drain
refuses what is new and lets all that was taken in run to its end. They are independent, and
``ClusterResumed`` ends both. The drain of a node is about its lanes alone: whoever keeps the lanes
has them closed, and opens none there.
"""
# ruff: noqa: ARG001 - handlers share one signature

from __future__ import annotations

from raysched.core.events import (
    ClusterDrained,
    ClusterPaused,
    ClusterResumed,
    NodeDrained,
    NodeResumed,
)
from raysched.core.state import State
from raysched.core.step import Step


def check_paused(state: State, event: ClusterPaused) -> bool:
    """Pausing twice is harmless, and the first time counts."""
    return state.paused_at is None


def apply_paused(state: State, event: ClusterPaused, step: Step) -> None:
    """Nothing starts from now on. Time goes on: back-offs end, and slots change hands."""
    state.paused_at = state.now
    _show_all(state, step)


def check_drained(state: State, event: ClusterDrained) -> bool:
    """Draining twice is harmless, and the first time counts."""
    return state.drained_at is None


def apply_drained(state: State, event: ClusterDrained, step: Step) -> None:
    """Nothing is taken in from now on: no workflow, and no failed job again."""
    state.drained_at = state.now


def check_resumed(state: State, event: ClusterResumed) -> bool:
    """There must be something to end."""
    return state.paused_at is not None or state.drained_at is not None


def apply_resumed(state: State, event: ClusterResumed, step: Step) -> None:
    """As if there had been no pause and no drain."""
    if state.paused_at is not None:
        _show_all(state, step)
    state.paused_at = state.drained_at = None


def check_node_drained(state: State, event: NodeDrained) -> bool:
    """Draining a node twice is harmless, and the first time counts."""
    return event.node not in state.drained_nodes


def apply_node_drained(state: State, event: NodeDrained, step: Step) -> None:
    """No lane is to be on the node from now on."""
    state.drained_nodes[event.node] = state.now


def check_node_resumed(state: State, event: NodeResumed) -> bool:
    """There must be something to end."""
    return event.node in state.drained_nodes


def apply_node_resumed(state: State, event: NodeResumed, step: Step) -> None:
    """Lanes may be on the node again."""
    del state.drained_nodes[event.node]


def _show_all(state: State, step: Step) -> None:
    """Every waiting job is explained otherwise."""
    for user in state.users.values():
        for name in user.open:
            step.show(state.jobs[name])
