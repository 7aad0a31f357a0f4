"""``raysched pause``, ``drain`` and ``resume``: the operator holds the whole cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysched.cli.options import Serving
from raysched.cli.service import reach
from raysched.cli.voice import Voice

if TYPE_CHECKING:
    from serve_app.models import Gates


def pause(options: Serving, voice: Voice) -> None:
    """Let nothing new start: what runs ends, everything else waits."""
    with reach(options) as service:
        _say(service.pause(), "paused: nothing new starts until `raysched resume`", voice)


def drain(options: Serving, voice: Voice) -> None:
    """Take no new work in: what was taken in runs to its end."""
    with reach(options) as service:
        said = "draining: no new work is taken in until `raysched resume`"
        _say(service.drain(), said, voice)


def resume(options: Serving, voice: Voice) -> None:
    """End a pause and a drain."""
    with reach(options) as service:
        _say(service.resume(), "going on: work is taken in and starts", voice)


def _say(gates: Gates, sentence: str, voice: Voice) -> None:
    voice.emit(**gates.model_dump(mode="json"))
    voice.say(sentence)
