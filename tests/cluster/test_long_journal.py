"""Whoever starts a scheduler waits for it as long as it reads its journal back, and no longer."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from driving import Cluster

from raysched import __version__
from raysched.cluster.health import Health
from raysched.cluster.scheduler_actor import heard
from raysched.config import load_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def said(replayed: int, *, epoch: int = 0, ready: bool = False) -> Health:
    nothing = dict.fromkeys(("lanes", "lanes_busy", "lanes_wanted", "lanes_room", "jobs_open"), 0)
    since: dict[str, Any] = {"paused_at": None, "drained_at": None, "store": None}
    return Health(
        version=__version__,
        epoch=epoch,
        ready=ready,
        trouble=None,
        watchers=0,
        events_replayed=replayed,
        events=9,
        state="",
        **nothing,
        **since,
    )


def heard_of(*health: Health, patience_s: float = 60.0) -> tuple[Health, list[tuple[int, int]]]:
    """What is heard of a scheduler that says these things in turn, the last one for ever."""

    @ray.remote(num_cpus=0)
    class Scheduler:
        def __init__(self) -> None:
            self.said = list(health)

        def health(self) -> Health:
            return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    scheduler = Scheduler.remote()
    ray.get(scheduler.__ray_ready__.remote())
    told: list[tuple[int, int]] = []
    config = load_config(cluster={"start_timeout_s": patience_s})
    last = heard(scheduler, config, lambda events, of: told.append((events, of)))
    return last, told


def test_a_scheduler_that_reads_on_is_waited_for_and_one_that_stalls_is_not(
    cluster: Cluster,
) -> None:
    started = said(9, epoch=1, ready=True)
    assert heard_of(said(0), said(0), said(4), said(4), said(9), started) == (
        started,
        [(0, 9), (4, 9), (9, 9)],
    )
    assert heard_of(said(4), patience_s=1.0) == (said(4), [(4, 9)])


def test_a_scheduler_that_is_about_to_end_is_not_waited_for(cluster: Cluster) -> None:
    closed = said(9, epoch=3)
    assert heard_of(closed) == (closed, [(9, 9)])
