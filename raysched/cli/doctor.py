"""``raysched doctor``: what is wrong with the service, and what to do."""

from __future__ import annotations

from raysched.cli.options import Common
from raysched.cli.voice import Voice


def doctor(options: Common, voice: Voice) -> None:
    """Look what is wrong."""
