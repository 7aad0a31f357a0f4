"""Which address to listen on. Imports neither FastAPI nor Ray."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

from raysched.config import ServeSettings
from raysched.errors import Conflict, InvalidSetting


def claim(serve: ServeSettings) -> int:
    """The port to listen on: the configured one, or a free one for 0.

    Raises ``Conflict`` when someone listens there already and ``InvalidSetting`` when this machine
    cannot listen there, before anything is started.
    """
    family = socket.AF_INET6 if ":" in serve.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((serve.host, serve.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Conflict(
                    f"Port {serve.port} of {serve.host} is in use already.",
                    remedy="Choose another with --port, or 0 for any free one.",
                    port=serve.port,
                ) from None
            raise InvalidSetting(
                f"Cannot listen on {serve.host} port {serve.port}: {error.strerror or error}.",
                remedy="Choose an address of this machine with --host and a port with --port.",
            ) from None
        return int(probe.getsockname()[1])
