"""Whoever starts a scheduler waits for it as long as it reads its journal back, and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import ray
from driving import Cluster

from raysched import __version__
from raysched.cluster.health import Health
from raysched.cluster.scheduler_actor import ensure_scheduler, find_scheduler, heard
from raysched.config import load_config
from raysched.errors import ClusterUnreachable

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def said(replayed: int, *, ready: bool = False, closing: bool = False) -> Health:
    nothing = dict.fromkeys(("lanes", "lanes_busy", "lanes_wanted", "lanes_room", "jobs_open"), 0)
    since: dict[str, Any] = {"paused_at": None, "drained_at": None, "store": None}
    return Health(
        version=__version__,
        epoch=0,
        ready=ready,
        trouble=None,
        watchers=0,
        events_replayed=replayed,
        events=9,
        state="",
        closing=closing,
        **nothing,
        **since,
    )


def heard_of(*health: Health) -> tuple[Health, list[tuple[int, int]]]:
    """What is heard of a scheduler that says these things in turn, the last one for ever."""

    @ray.remote(num_cpus=0)
    class Scheduler:
        def __init__(self) -> None:
            self.said = list(health)

        def health(self) -> Health:
            return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    told: list[tuple[int, int]] = []

    def reads(events: int, of: int) -> None:
        told.append((events, of))

    return heard(Scheduler.remote(), load_config(), reads, patience_s=1.0), told


def test_a_scheduler_that_reads_on_is_waited_for_and_one_that_stalls_is_not(
    cluster: Cluster,
) -> None:
    started = said(9, ready=True)
    assert heard_of(said(0), said(0), said(4), said(4), said(9), started) == (
        started,
        [(0, 9), (4, 9), (9, 9)],
    )
    with pytest.raises(ClusterUnreachable, match="for 1 s: 4 of 9 events have been read"):
        heard_of(said(4))


def test_a_scheduler_that_is_to_end_is_not_waited_for(cluster: Cluster) -> None:
    closed = said(9, closing=True)
    assert heard_of(closed) == (closed, [])


def test_in_the_place_of_one_that_was_closed_and_not_removed_comes_another(
    cluster: Cluster,
) -> None:
    handle = find_scheduler(cluster.config.cluster.namespace)
    ray.get(handle.close.remote())
    assert ensure_scheduler(cluster.config, keeps=False) is None
    assert asyncio.run(cluster.gateway.health()).ready
