"""Bodies of requests: so large, so slow, and of JSON that means one thing.

A replica's memory is for everybody: no body is read beyond its route's limit, and none before it is
known who sends it (``serve_app.guard``).
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NoReturn

from fastapi import Request
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Room for a workflow of 10,000 jobs with parameters of their own."""
DEEPEST = 64
"""Levels of JSON in one another: no request needs ten."""
MAX_LOGIN_BYTES = 1024
"""Anybody may send one."""
SLOWEST_BYTES_PER_S = 8 * 1024
"""A body that takes longer than ``stall_s`` comes at least at this pace: whoever sends a byte a
minute would hold a place among the replica's requests for as long as they like."""
MAX_PIECE_BYTES = 8 * 1024 * 1024
"""Of one piece of an upload. Serve's proxy and then the replica hold what they receive until the
handler takes it, so a piece may be in memory twice, however fast it is written."""


def bounded(scope: Scope, receive: Receive, most_bytes: int | None, stall_s: float) -> Receive:
    """``receive`` that ends as a 413 beyond ``most_bytes`` (None: whoever reads it counts), and as
    a 408 when the next piece of the body does not come within ``stall_s``, or all of it comes too
    slowly. Only time that is spent waiting for the sender counts."""
    announced = Headers(scope=scope).get("content-length", "")
    most = float("inf") if most_bytes is None else most_bytes
    read, has_ended, waited_s = 0, False, 0.0

    async def counted() -> Message:
        nonlocal read, has_ended, waited_s
        if has_ended:  # what is waited for now is that the client goes away
            return await receive()
        if announced.isdecimal() and int(announced[:20]) > most:
            raise HTTPException(413)
        left_s = min(stall_s, stall_s + read / SLOWEST_BYTES_PER_S - waited_s)
        began = time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        waited_s += time.monotonic() - began
        read += len(message.get("body", b""))
        has_ended = not message.get("more_body", False)
        if read > most:
            raise HTTPException(413)
        return message

    return counted


class StrictRequest(Request):
    """A request whose JSON is taken by the letter of RFC 8259 and once only: no NaN, no name twice
    in an object (readers differ in which counts), no more than ``DEEPEST`` levels."""

    async def json(self) -> Any:
        """The body's value. Raises ``JSONDecodeError``, which becomes a 422."""
        if not hasattr(self, "_json"):
            text = await self.body()
            try:
                self._json = read_json(text)
            except RecursionError:
                raise _fault(f"more than {DEEPEST} levels") from None
            except UnicodeDecodeError:
                raise _fault("it is not UTF-8") from None
            except json.JSONDecodeError:
                raise
            except ValueError:  # an integer of more digits than Python reads
                raise _fault("a number has too many digits") from None
        return self._json


def read_json(text: bytes) -> Any:
    """The value of a JSON text. Raises ``ValueError``, ``RecursionError``."""
    value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    if _is_deeper(value, DEEPEST):
        raise RecursionError
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _fault("a name is there twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise _fault(f"{name} is no number of JSON")


def _is_deeper(value: Any, levels: int) -> bool:
    """By levels, not by recursion."""
    row = [value]
    for _ in range(levels):
        inner = [each for each in row if isinstance(each, dict | list)]
        row = [
            item for each in inner for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not row:
            return False
    return True


def _fault(what: str) -> json.JSONDecodeError:
    return json.JSONDecodeError(what, "", 0)
