"""``raysched pause``, ``drain`` and ``resume``: the operator holds the whole cluster."""

from __future__ import annotations

from raysched.cli.options import Common
from raysched.cli.session import ask, settings
from raysched.cli.voice import Voice
from raysched.core.events import ClusterDrained, ClusterPaused, ClusterResumed, OperatorEvent
from raysched.core.model import LOCAL_USER


def pause(options: Common, voice: Voice) -> None:
    """Let nothing new start: what runs ends, everything else waits."""
    _hold(ClusterPaused(0.0, LOCAL_USER), options, voice)
    voice.say("paused: nothing new starts until `raysched resume`")


def drain(options: Common, voice: Voice) -> None:
    """Take no new work in: what was taken in runs to its end."""
    _hold(ClusterDrained(0.0, LOCAL_USER), options, voice)
    voice.say("draining: no new work is taken in until `raysched resume`")


def resume(options: Common, voice: Voice) -> None:
    """End a pause and a drain."""
    _hold(ClusterResumed(0.0, LOCAL_USER), options, voice)
    voice.say("going on: work is taken in and starts")


def _hold(event: OperatorEvent, options: Common, voice: Voice) -> None:
    config = settings(options.address)
    ask(config, lambda gateway: gateway.hold(event))
    if voice.json:
        from serve_app.models import Gates

        health = ask(config, lambda gateway: gateway.health())
        voice.emit(**Gates.of(health).model_dump(mode="json"))
