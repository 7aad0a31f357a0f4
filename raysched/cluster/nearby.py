"""HTTP to processes of this service: never through a proxy, whatever the environment names."""

from __future__ import annotations

import http.client
import urllib.request
from typing import Final

_STRAIGHT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask_nearby(url: str, wait_s: float) -> http.client.HTTPResponse:
    """The answer to a GET, to be closed by the caller.

    Raises ``urllib.error.HTTPError`` for a status that is no success, ``OSError`` or
    ``http.client.HTTPException`` where nothing answers in ``wait_s`` seconds.
    """
    answer: http.client.HTTPResponse = _STRAIGHT.open(url, timeout=wait_s)
    return answer
