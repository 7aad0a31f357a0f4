"""What the naive model knows of lanes: they come, close and go; and of nodes that are drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from reference_seen import same

from raysched.core.commands import ReleaseLane
from raysched.core.events import (
    Event,
    LaneClosing,
    LaneLost,
    LaneOpened,
    LanesCounted,
    NodeDrained,
    NodeResumed,
)
from raysched.core.state import State

if TYPE_CHECKING:
    from reference import Reference

OfLanes = LaneOpened | LaneClosing | LaneLost | LanesCounted | NodeDrained | NodeResumed


def is_of_lanes(event: Event) -> bool:
    """Whether this module says what an event does."""
    return isinstance(event, get_args(OfLanes))


def is_news(model: Reference, event: Event) -> bool:
    """As ``Facts.answer``, for the events of this module: none is ever refused."""
    match event:
        case LaneOpened(lane=lane):
            return lane not in model.lanes
        case LaneClosing(lane=lane):
            return lane in model.lanes and lane not in model.closing
        case LaneLost(lane=lane):
            return lane in model.lanes
        case LanesCounted(wanted=wanted, room=room):
            return (wanted, room) != model.counted
        case NodeDrained(node=node):
            return node not in model.drained_nodes
        case NodeResumed(node=node):
            return node in model.drained_nodes
    raise AssertionError(event)


def follow(model: Reference, event: Event) -> None:
    """What an event does."""
    match event:
        case LaneOpened(lane=lane):
            model.lanes.append(lane)
        case LaneClosing(lane=lane):
            model.closing.append(lane)
        case LaneLost(lane=lane):
            for name in [name for name, run in model.runs.items() if run.lane == lane]:
                model.lose(name)
            model.lanes.remove(lane)
            model.closing = [other for other in model.closing if other != lane]
        case LanesCounted(wanted=wanted, room=room):
            model.counted = (wanted, room)
        case NodeDrained(node=node):
            model.drained_nodes.append(node)
        case NodeResumed(node=node):
            model.drained_nodes.remove(node)


def judge(model: Reference, event: Event, busy: list[str], given_back: list[ReleaseLane]) -> None:
    """Given back is what is to go, once what ran there (``busy``) has ended, or if nothing ran."""
    still = [run.lane for run in model.runs.values()]
    at_rest = [lane for lane in model.closing if lane not in still]
    asked = event.lane if isinstance(event, LaneClosing) else None
    free = [lane for lane in at_rest if lane in busy or lane == asked]
    same("lanes given back", free, [each.lane for each in given_back])


def compare(model: Reference, state: State) -> None:
    """Raise what the core has otherwise."""
    lanes = [sorted(model.lanes), model.idle()]
    same("lanes", lanes, [sorted(state.lanes), set(state.idle)])
    closing = [model.closing, model.drained_nodes]
    same("closing", closing, [list(state.closing), list(state.drained_nodes)])
    same("lanes counted", model.counted, (state.lanes_wanted, state.lanes_room))
