"""Whether HTTP answers here is asked without any proxy; no Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Well(BaseHTTPRequestHandler):
    """Says that all is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/healthz"
        server.shutdown()


ASK = """
import sys
from raysched.cluster.nearby import ask_nearby
with ask_nearby(sys.argv[1], 10) as answer:
    print(answer.status)
"""


def test_a_service_answers_also_where_a_proxy_is_set_for_all(url: str) -> None:
    """Else a proxy that does not serve this machine's own names would have it started again for
    ever, and one that answers with an error would hide that nobody is there."""
    env = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    env["http_proxy"] = "http://127.0.0.1:9"
    said = subprocess.run(
        [sys.executable, "-c", ASK, url], env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    assert said.stdout == "200\n"
