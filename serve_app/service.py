"""Starting and stopping HTTP for ``raysched up``. Ray must be connected already."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ray import serve

from raysched.config import Config
from serve_app.address import claim
from serve_app.app import APP_NAME, application

log = logging.getLogger(__name__)


@contextmanager
def serving(config: Config, *, owned: bool, anew: bool = False) -> Iterator[str]:
    """The HTTP service, deployed and answering; its URL. It accepts nothing more on leaving.

    ``owned``: Ray ends after this, and Serve's own processes with it. ``anew``: what is deployed is
    of another version, and its controller would start replicas with that version's code.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if anew:
        take_down()
    port = claim(config.serve)
    serve.start(http_options={"host": config.serve.host, "port": port})
    try:
        serve.run(application(config), name=APP_NAME, route_prefix="/")
        yield _url(config.serve.host, port)
    finally:
        if owned:
            serve.delete(APP_NAME)
        else:
            take_down()


def take_down() -> bool:
    """End HTTP on the cluster at hand, and Serve unless it has other applications; whether it was
    there."""
    was_there = APP_NAME in serve.status().applications
    if was_there:
        serve.delete(APP_NAME)
    if not serve.status().applications:
        serve.shutdown()
    return was_there


def _url(host: str, port: int) -> str:
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - not binding
    bracketed = f"[{named}]" if ":" in named and not named.startswith("[") else named
    return f"http://{bracketed}:{port}"
