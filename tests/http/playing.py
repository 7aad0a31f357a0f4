"""A real HTTP server that plays the service on a bad day, as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from raysched import Client

KEY = "rsk_a_key"


class Answering(BaseHTTPRequestHandler):
    """Passes each request to ``answer`` of its server, which plays the service."""

    def _any(self) -> None:
        server: Any = self.server
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        server.seen.append(self)
        server.answer(self)

    do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - the base's names

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def problem(self, status: int, code: str, **facts: Any) -> None:
        body = {"detail": "It is so.", "remedy": "Do this.", "code": code, "status": status}
        self.reply(status, json.dumps({**body, **facts}).encode(), Retry_After="0")

    def cut(self, status: int, body: bytes, length: int, **headers: str) -> None:
        """Announce more than is sent."""
        self.reply(status, body, Content_Length=str(length), **headers)
        self.close_connection = True


Answer = Callable[[Answering], None]


@contextmanager
def playing(*answers: Answer) -> Iterator[tuple[str, list[Answering]]]:
    """The address of a server that gives these answers in turn, the last for ever, and what it
    was asked."""
    left = list(answers)
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.seen = []

    def answer(request: Answering) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def client_of(*answers: Answer, **how: Any) -> Iterator[tuple[Client, list[Answering]]]:
    """A client of such a server."""
    with playing(*answers) as (url, seen), Client(url, KEY, **how) as client:
        yield client, seen
