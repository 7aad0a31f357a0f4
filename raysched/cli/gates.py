"""``raysched pause``, ``drain`` and ``resume``: the operator holds the cluster, or one node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Serving
from raysched.cli.service import reach
from raysched.cli.voice import Voice

if TYPE_CHECKING:
    from serve_app.models import Gates
    from serve_app.node_models import NodeLanes

NodeArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NODE]", help="One node alone: its id, the beginning of it, or its host."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Holding(Serving):
    """The options of ``drain`` and ``resume``."""

    node: NodeArgument = None


def pause(options: Serving, voice: Voice) -> None:
    """Let nothing new start: what runs ends, everything else waits."""
    with reach(options) as service:
        _say(service.pause(), "paused: nothing new starts until `raysched resume`", voice)


def drain(options: Holding, voice: Voice) -> None:
    """Take no new work in: what was taken in runs to its end. With NODE: empty that node."""
    with reach(options) as service:
        if options.node is not None:
            _say_node(service.drain_node(options.node), voice)
            return
        said = "draining: no new work is taken in until `raysched resume`"
        _say(service.drain(), said, voice)


def resume(options: Holding, voice: Voice) -> None:
    """End a pause and a drain. With NODE: let work run on that node again."""
    with reach(options) as service:
        if options.node is not None:
            _say_node(service.resume_node(options.node), voice)
            return
        _say(service.resume(), "going on: work is taken in and starts", voice)


def _say(gates: Gates, sentence: str, voice: Voice) -> None:
    voice.emit(**gates.model_dump(mode="json"))
    voice.say(sentence)


def _say_node(seen: NodeLanes, voice: Voice) -> None:
    voice.emit(**seen.model_dump(mode="json"))
    name = f"node {seen.node.id} ({seen.node.host})"
    if not seen.node.is_draining:
        voice.say(f"{name} takes work again: lanes open there as there is room")
    elif seen.lanes:
        here = "; the scheduler and its HTTP go on there, so do not switch it off"
        stays = here if seen.node.holds_state else ""
        them = "1 lane takes" if seen.lanes == 1 else f"{seen.lanes} lanes take"
        voice.say(
            f"{name} is drained: its {them} nothing new, and what runs there ends{stays}; say "
            f"this again to see how many are left, or `raysched resume {seen.node.id}`"
        )
    elif seen.node.holds_state:
        voice.say(
            f"{name} is drained and has no lanes; but the scheduler and its HTTP run there: it is "
            "not to be switched off while they do"
        )
    else:
        voice.say(f"{name} is drained and has no lanes: it may be switched off")
