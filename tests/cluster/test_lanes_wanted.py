"""How many lanes each pool is to have: by the room on the nodes, and by the work that waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from ray.util.placement_group import PlacementGroup

from raysched.cluster import lanes as keeping
from raysched.cluster.groups import Group, lane_of, pool_of
from raysched.cluster.idling import Idling, lanes_busy, quietest, unneeded
from raysched.cluster.lanes import Lanes, Seen
from raysched.cluster.nodes import Node, staying
from raysched.cluster.sizing import Demand, bundle, counts, shunned, totals
from raysched.config import ClusterSettings, Config, EnginePool, PoolSettings
from raysched.core.events import Event, LaneLost
from raysched.core.model import MAIN, LaneId, NodeId, PoolCount, PoolName
from raysched.core.state import Pool, State

GPU = PoolName("gpu")
DEEP = EnginePool(name="gpu", engines=("deep",), lane_gpus=0.5, lane_cpus=2.0)


def node(name: str, cpus: float, gpus: float = 0.0, *, is_going: bool = False) -> Node:
    return Node(NodeId(name), {"CPU": cpus, "GPU": gpus, "memory": 1e11}, is_going)


def wanted_and_room(
    settings: ClusterSettings, *nodes: Node, **demand: Demand
) -> dict[str, tuple[int, int]]:
    of = {PoolName(name): each for name, each in demand.items()} | {MAIN: demand.get("main")}
    known = {name: each for name, each in of.items() if each is not None}
    found = counts(settings.shapes(), nodes, known)
    return {name or "main": (each.wanted, each.room) for name, each in found.items()}


@pytest.mark.parametrize(
    ("settings", "takes", "room"),
    [
        ({}, {"CPU": 1.0}, 16),
        ({"lane_cpus": 0.125}, {"CPU": 0.125}, 128),
        ({"lane_gpus": 1.0}, {"CPU": 1.0, "GPU": 1.0}, 2),
        ({"lane_gpus": 0.25}, {"CPU": 1.0, "GPU": 0.25}, 8),
        ({"lane_gpus": 0.1, "lane_cpus": 4.0}, {"CPU": 4.0, "GPU": 0.1}, 4),
        ({"lane_gpus": 4.0}, {"CPU": 1.0, "GPU": 4.0}, 0),
    ],
)
def test_a_lane_takes_cpus_and_a_share_of_a_gpu(
    settings: dict[str, float], takes: dict[str, float], room: int
) -> None:
    shape = ClusterSettings(**settings)  # type: ignore[arg-type]
    assert bundle(shape) == takes
    assert wanted_and_room(shape, node("gpu", 16, 2)) == {"main": (max(1, room), room)}
    assert wanted_and_room(shape) == {"main": (1, 0)}


def test_a_lane_lies_on_one_node_so_that_leftovers_of_several_make_none() -> None:
    shape = ClusterSettings(lane_cpus=2.0)
    assert wanted_and_room(shape, node("a", 3), node("b", 3)) == {"main": (2, 2)}
    assert wanted_and_room(ClusterSettings(lane_cpus=0.1), node("a", 0.3)) == {"main": (3, 3)}


def test_lanes_stay_on_nodes_that_neither_ray_nor_the_operator_drains() -> None:
    there, going, drained = node("there", 1), node("going", 1, is_going=True), node("drained", 1)
    assert staying([there, going, drained], {drained.node}) == [there]
    assert staying([there, going], set()) == [there]


def test_the_main_pool_has_what_is_left_by_the_others() -> None:
    settings = ClusterSettings(pools=(DEEP,))
    found = wanted_and_room(settings, node("a", 8, 1), node("b", 3))
    assert found == {"gpu": (2, 2), "main": (7, 7)}
    few = ClusterSettings(pools=(DEEP.model_copy(update={"lanes": 1}),))
    assert wanted_and_room(few, node("a", 8, 1)) == {"gpu": (1, 2), "main": (6, 6)}


def test_what_no_node_has_is_named_and_what_others_have_taken_is_not() -> None:
    settings = ClusterSettings(pools=(DEEP,))
    found = counts(settings.shapes(), [node("a", 8), node("b", 1, 1)], {})
    assert found[GPU] == PoolCount(GPU, 1, 0, "2 CPU and 0.5 GPU")
    assert counts(settings.shapes(), [node("a", 8)], {})[GPU].lacks == "0.5 GPU"
    greedy = ClusterSettings(pools=(DEEP.model_copy(update={"lane_gpus": 0.0}),))
    assert counts(greedy.shapes(), [node("a", 8)], {})[MAIN] == PoolCount(MAIN, 1, 0)


def test_the_numbers_of_each_pool_are_told_where_there_are_several_or_one_has_no_room() -> None:
    alone = counts(ClusterSettings().shapes(), [node("a", 4)], {})
    assert totals(alone) == (4, 4, ())
    several = counts(ClusterSettings(pools=(DEEP,)).shapes(), [node("a", 4)], {})
    lacking = PoolCount(GPU, 1, 0, "0.5 GPU")
    assert totals(several) == (5, 4, (lacking, PoolCount(MAIN, 4, 4)))
    large = counts(ClusterSettings(lane_cpus=64).shapes(), [node("a", 4)], {})
    assert totals(large) == (1, 0, (PoolCount(MAIN, 1, 0, "64 CPU"),))


@pytest.mark.parametrize(
    ("demand", "wanted"),
    [
        (Demand(), 1),
        (Demand(busy=2), 2),
        (Demand(busy=2, waiting=3), 5),
        (Demand(busy=4, waiting=100), 9),
    ],
)
def test_a_pool_with_most_lanes_grows_with_its_work_whatever_room_there_is(
    demand: Demand, wanted: int
) -> None:
    settings = ClusterSettings(most_lanes=9)
    assert wanted_and_room(settings, node("a", 4), main=demand) == {"main": (wanted, 4)}
    kept = ClusterSettings(most_lanes=9, lanes=3)
    assert wanted_and_room(kept, node("a", 4), main=demand) == {"main": (max(3, wanted), 4)}


@pytest.mark.parametrize(
    ("demand", "wanted"),
    [(Demand(), 0), (Demand(is_some=True), 1), (Demand(1, 2, is_some=True), 3), (Demand(1), 1)],
)
def test_a_pool_of_0_lanes_has_some_only_while_there_is_work_for_it(
    demand: Demand, wanted: int
) -> None:
    seldom = DEEP.model_copy(update={"lanes": 0, "most_lanes": 4})
    found = wanted_and_room(ClusterSettings(lanes=2, pools=(seldom,)), node("a", 4), gpu=demand)
    assert found == {"gpu": (wanted, 0), "main": (2, 4)}


def test_lanes_without_gpus_keep_off_nodes_that_are_started_for_their_gpus() -> None:
    """They would keep such a node from going, and be lost with it."""
    seldom = DEEP.model_copy(update={"lanes": 0, "most_lanes": 4})
    settings = ClusterSettings(pools=(seldom,))
    head, started = node("head", 2), node("started", 8, 1)
    busy = Demand(busy=1, is_some=True)
    assert wanted_and_room(settings, head, started, gpu=busy) == {"gpu": (1, 2), "main": (2, 2)}
    assert wanted_and_room(settings, head, started) == {"gpu": (0, 2), "main": (2, 2)}
    shapes = settings.shapes()
    assert shunned(shapes, settings, [head, started]) == {"started"}
    assert shunned(shapes, seldom, [head, started]) == frozenset()
    assert shunned(shapes, settings, [node("head", 0), started]) == frozenset(), "nowhere else"
    lasting = ClusterSettings(pools=(DEEP,))
    assert wanted_and_room(lasting, head, started) == {"gpu": (2, 2), "main": (6, 6)}


def test_no_lanes_at_all_make_no_sense() -> None:
    with pytest.raises(ValueError, match="0 keeps none, so most_lanes must say how many"):
        EnginePool(name="gpu", engines=("deep",), lanes=0)
    with pytest.raises(ValueError, match="at least one lane is kept"):
        ClusterSettings(lanes=0, most_lanes=4)


def test_most_lanes_below_those_that_are_kept_make_no_sense() -> None:
    with pytest.raises(ValueError, match="most_lanes: must be at least lanes"):
        PoolSettings(lanes=3, most_lanes=2)


def test_two_pools_of_one_name_or_with_one_engine_make_no_sense() -> None:
    other = EnginePool(name="other", engines=("deep",))
    with pytest.raises(ValueError, match="engine 'deep' is in two pools"):
        ClusterSettings(pools=(DEEP, other))
    with pytest.raises(ValueError, match="name 'gpu' is in two pools"):
        ClusterSettings(pools=(DEEP, EnginePool(name="gpu", engines=("x",))))


def test_work_runs_in_the_pool_that_names_its_engine_and_all_other_work_in_the_main_one() -> None:
    settings = ClusterSettings(pools=(DEEP,))
    assert [settings.pool_of(engine) for engine in ("deep", "classical", "")] == [GPU, MAIN, MAIN]


def test_a_lanes_name_says_whose_it_is() -> None:
    assert (lane_of(MAIN, 3), lane_of(GPU, 0)) == ("raysched-lane-3", "raysched-lane-gpu-0")
    assert [pool_of(lane_of(pool, 12)) for pool in (MAIN, GPU)] == [MAIN, GPU]


def test_a_lane_idles_since_it_was_idle_whenever_it_was_looked_at() -> None:
    idling, a, b = Idling(), LaneId("a"), LaneId("b")

    def look(at: float, *idle: LaneId) -> dict[LaneId, float]:
        state = State(pools={MAIN: Pool(idle=dict.fromkeys(idle))})
        return idling.noted(MAIN, state, at)

    assert look(0, a, b) == {a: 0, b: 0}
    assert look(5, a) == {a: 5}
    assert look(9, a, b) == {a: 9, b: 0}
    assert look(19, a, b) == {a: 19, b: 10}
    assert idling.noted(GPU, State(), 50) == {}


def test_lanes_of_nodes_with_few_go_first_so_that_whole_nodes_get_free() -> None:
    where = {"a": "full", "b": "full", "c": "quiet", "d": "full"}
    groups = {LaneId(x): Group("CREATED", NodeId(on), {}) for x, on in where.items()}
    assert quietest(map(LaneId, "abc"), groups, "elsewhere") == ["c", "a", "b"]
    assert quietest(map(LaneId, "abc"), groups, "quiet") == ["a", "b", "c"]
    assert lanes_busy(State(), MAIN) == 0


def test_work_now_and_then_on_the_quietest_node_keeps_no_idle_lane_of_another() -> None:
    groups = {LaneId(x): Group("CREATED", NodeId(on), {}) for x, on in (("a", "n"), ("b", "m"))}
    groups[LaneId("c")] = groups[LaneId("b")]
    idle = {LaneId("a"): 2.0, LaneId("b"): 3600.0, LaneId("c"): 120.0}
    assert quietest(idle, groups, "home")[0] == "a"
    assert unneeded(idle, 60.0, groups, "home") == ["b", "c"]
    assert unneeded(idle, 2.0, groups, "home") == ["a", "b", "c"]


def test_a_lane_that_should_go_later_waits_for_one_that_is_nearly_idle_for_long() -> None:
    groups = {LaneId(x): Group("CREATED", NodeId(on), {}) for x, on in (("a", "n"), ("b", "home"))}
    idle = {LaneId("a"): 1.9, LaneId("b"): 2.1}
    assert unneeded(idle, 2.0, groups, "home") == []
    assert unneeded(idle | {LaneId("a"): 2.0}, 2.0, groups, "home") == ["a", "b"]
    assert unneeded(idle | {LaneId("b"): 4.0}, 2.0, groups, "home") == ["b"]


def test_a_lane_that_ray_fails_to_remove_is_lost_all_the_same_and_removed_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lane, told, removed = LaneId("lane"), list[Event](), list[LaneId]()
    answers: list[Any] = [ConnectionError("the head is away")] * 2 + [True]

    def remove(which: LaneId) -> bool:
        removed.append(which)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    async def report(event: Callable[[float], Event]) -> None:
        told.append(event(1.0))

    async def give_back() -> None:
        lanes = Lanes(Config(), report)
        lanes._groups[lane] = PlacementGroup.empty()
        await lanes.release(lane)
        assert not lanes.has(lane)
        there = Seen({lane: Group("CREATED", NodeId("n"), {})}, [], [])
        for _ in range(3):
            await lanes._remove_again(there)

    monkeypatch.setattr(keeping, "remove_group", remove)
    with caplog.at_level(logging.ERROR):
        asyncio.run(give_back())
    assert told == [LaneLost(1.0, lane, "it was given back")]
    assert "the head is away" in caplog.text
    assert removed == [lane] * 3
