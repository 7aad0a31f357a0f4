"""A real S3-compatible server in a process of its own, reached over a socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

WAIT_S = 120.0
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "raysched", "AWS_SECRET_ACCESS_KEY": "of a test"}
"""As the nodes of a cluster have them; the server takes any."""
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """Where it listens; each ``bucket`` is new and empty."""

    endpoint: str
    process: subprocess.Popen[bytes]

    def bucket(self, name: str) -> str:
        """Make a bucket; its URL."""
        ask = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")  # noqa: S310 - ours
        with urllib.request.urlopen(ask):  # noqa: S310
            return f"s3://{name}"


@contextmanager
def running() -> Iterator[S3Server]:
    """The server, until this is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = "from moto.server import main; main()"
    command = [sys.executable, "-c", serve, "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait_for(endpoint, process)
            yield S3Server(endpoint, process)
        finally:
            process.kill()


def _wait_for(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            with urllib.request.urlopen(endpoint):  # noqa: S310
                return
        except urllib.error.URLError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < until, "the server does not answer"
