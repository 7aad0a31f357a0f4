"""``raysched login`` and ``logout``: keep the key of a server, so that verbs can ask it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from raysched.cli.options import Spoken
from raysched.cli.voice import Voice
from raysched.errors import InvalidSetting

ServerArgument = Annotated[
    str, typer.Argument(metavar="URL", help="Address of the server: https://HOST.")
]


@dataclass(frozen=True, kw_only=True)
class LoginOptions(Spoken):
    """The options of ``login`` and ``logout``."""

    server: ServerArgument


def login(options: LoginOptions, voice: Voice) -> None:
    """Keep your key of a server, once it was tried. The key is asked for, or read from stdin."""
    from raysched.cli.keys import store
    from raysched.client import Client
    from raysched.config import load_remote

    key = _key()
    with Client(options.server, key, patience_s=10) as client:
        me, server = client.me(), client.url
    store(load_remote().keys, server, key)
    voice.emit(login={"server": server, "user": me.id, "role": me.role, "key": me.key})
    voice.say(f"{me.name} ({me.id}, {me.role}) at {server}")
    voice.note(f"use it with: raysched status --server {server}  (or set RAYSCHED_SERVER)")


def logout(options: LoginOptions, voice: Voice) -> None:
    """Forget the key of a server. It goes on working: revoke it there if others may know it."""
    from raysched.cli.keys import store
    from raysched.client.wire import service_url
    from raysched.config import load_remote

    server = service_url(options.server)
    store(load_remote().keys, server, None)
    voice.emit(logout={"server": server})
    voice.say(f"no key of {server} is kept here")


def _key() -> str:
    """A person types it unseen, a program pipes it in."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("key (rsk_...)", hide_input=True, err=True)
        return typed.strip()
    piped = sys.stdin.readline().strip()
    if not piped:
        raise InvalidSetting(
            "There was no key to read.", remedy="Pipe it in, or run this in a terminal."
        )
    return piped
