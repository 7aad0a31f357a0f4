"""Being connected, for verbs: one session, one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from raysched.errors import ClusterUnreachable

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.config import Config

T = TypeVar("T")


def settings(address: str | None) -> Config:
    """The settings in force, with the cluster that the command line names."""
    from raysched.config import load_config

    return load_config(cluster={"address": address}) if address else load_config()


def ask(config: Config, question: Callable[[Gateway], Awaitable[T]]) -> T:
    """Put a question to the running scheduler. Raises ``ClusterUnreachable`` where none runs."""
    from raysched.cluster.record import being_started, cluster_of, keeper_of

    found = cluster_of(config.state)
    if config.cluster.address is None and not (found and found.is_live):
        keeper = keeper_of(config.state)
        raise being_started(keeper) if keeper else _not_running(config)
    from raysched.cluster.session import connect

    with connect(config) as session:
        if session.owned:  # it ended just now: what answers was started by this very call
            raise _not_running(config)
        return asyncio.run(_awaited(question(session.gateway)))


async def _awaited(answer: Awaitable[T]) -> T:
    return await answer


def _not_running(config: Config) -> ClusterUnreachable:
    return ClusterUnreachable(
        f"No raysched service runs with the state folder {config.state}.",
        remedy="Start one with `raysched up`, or name its cluster with --address.",
        state=str(config.state),
    )
