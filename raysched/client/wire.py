"""One connection to a service: sends requests, waits out trouble, turns problems into errors.

Every call may be sent again: what changes something carries an idempotency key, or is such that
doing it twice is doing it once. The few calls that are neither say ``repeatable=False`` and are
sent again only while nothing of them can have arrived.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from raysched import __version__
from raysched.errors import (
    ClusterError,
    ClusterUnreachable,
    InternalError,
    InvalidSetting,
    RayschedError,
    RequestError,
    error_of,
)

API = "/api/v1"
BUSY = {429, 502, 503, 504}
"""Answers after which the same request may succeed: limits of rate, restarts, proxies."""
NOT_A_MATTER_OF_TIME = {"limit_reached"}
"""A limit on what a user has: waiting a moment does not help."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
STANDARD = {"type", "title", "status", "detail", "code", "remedy"}

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``path`` is below the API; ``key``: its idempotency key, made where needed."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    repeatable: bool = True


class Patience:
    """How long trouble is waited out. Progress makes it new."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Something went well: the next trouble is the first again."""
        self._until = time.monotonic() + self._seconds
        self._pause_s = FIRST_PAUSE_S

    def wait(self, trouble: RayschedError, asked_s: float | None = None) -> None:
        """Wait a moment, as long as was asked for if it was said. Raises the trouble when there
        is no patience left for that."""
        pause_s = self._pause_s if asked_s is None else asked_s
        if time.monotonic() + pause_s > self._until:
            raise trouble
        time.sleep(pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


class Wire:
    """Sends calls to one service with one key. Safe to share between threads."""

    def __init__(self, url: str, key: str, *, act_for: str | None, patience_s: float) -> None:
        self.url = service_url(url)
        self.patience_s = patience_s
        headers = {
            "Authorization": f"Bearer {key}",
            "User-Agent": f"raysched/{__version__}",
            **({"X-User-ID": act_for} if act_for else {}),
        }
        try:
            self._http = httpx.Client(
                base_url=self.url + API, headers=headers, timeout=httpx.Timeout(60.0, connect=10.0)
            )
        except UnicodeEncodeError:
            raise InvalidSetting(
                "The key or user id is not ASCII.", remedy="Give a key like rsk_ID_SECRET."
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, kind: type[M], call: Call) -> M:
        """The answer of a call as a model; what a newer service adds to it is passed over."""
        return self.read(kind, self.send(call).content)

    def read(self, kind: type[M], content: bytes | str) -> M:
        """JSON of the service as a model. Raises ``InternalError`` for what is none."""
        try:
            return kind.model_validate_json(content, extra="ignore")
        except ValidationError as error:
            raise InternalError(
                f"{self.url} answered what is no {kind.__name__}: {error.errors()[0]['msg']}.",
                remedy="Is it a raysched service? If it is, use a raysched of the same version.",
            ) from None

    def send(self, call: Call) -> httpx.Response:
        """The whole answer of a call that succeeded. Raises the service's error otherwise, and
        ``ClusterUnreachable`` when nobody answers."""
        patience = Patience(self.patience_s)
        headers = self._headers(call)
        while True:
            try:
                answer = self._http.request(
                    call.method,
                    call.path,
                    params=call.params,
                    json=call.json,
                    content=call.content,
                    headers=headers,
                )
            except httpx.TransportError as error:
                trouble = self.unreachable(error)
                if not (call.repeatable or never_arrived(error)):
                    raise trouble from error
                patience.wait(trouble)
                continue
            if answer.is_success:
                return answer
            wait_out(answer, patience)

    @contextmanager
    def stream(self, call: Call, timeout_s: float | None = 60.0) -> Iterator[httpx.Response]:
        """An answer whose body is still to be read, whatever its status: one try. Trouble of the
        connection is raised as ``ClusterUnreachable``, also while the body is read."""
        request = self._http.build_request(
            call.method,
            call.path,
            params=call.params,
            headers={"Accept-Encoding": "identity", **call.headers},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
        )
        try:
            answer = self._http.send(request, stream=True)
            try:
                yield answer
            finally:
                answer.close()
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: Exception) -> ClusterUnreachable:
        """What to say when the connection failed."""
        return ClusterUnreachable(
            f"No answer from {self.url} ({type(error).__name__}: {error}).",
            remedy="Check the address and that the service runs, then try again.",
            url=self.url,
        )

    def _headers(self, call: Call) -> dict[str, str]:
        changes = call.method not in {"GET", "HEAD"}
        key = {"Idempotency-Key": call.key or uuid4().hex} if changes else {}
        return {**key, **call.headers}


def service_url(url: str) -> str:
    """The address of a service, without what its parts add. Raises ``InvalidSetting``."""
    try:
        parts = urlsplit(url)
        plausible = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        plausible = False
    if not plausible:
        raise InvalidSetting(
            f"{url!r} is no address of a service.",
            remedy="Give it as http://HOST:PORT or https://HOST.",
        )
    return url.rstrip("/").removesuffix(API)


def at(*parts: str) -> str:
    """A path below the API; each part may hold anything."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def wait_out(answer: httpx.Response, patience: Patience) -> None:
    """Wait if an error may pass by itself, raise it if not."""
    error = error_in(answer)
    if answer.status_code not in BUSY or error.code in NOT_A_MATTER_OF_TIME:
        raise error
    asked = answer.headers.get("retry-after", "")
    patience.wait(error, float(asked) if asked.isdecimal() else None)


def error_in(answer: httpx.Response) -> RayschedError:
    """The error that an answer is, as it was raised in the service. The body must be read."""
    try:
        body = answer.json()
        code, message, remedy = (str(body[name]) for name in ("code", "detail", "remedy"))
        facts = {name: value for name, value in body.items() if name not in STANDARD}
    except (ValueError, KeyError, TypeError):  # from a proxy, or no raysched at all
        code = f"http_{answer.status_code}"
        message = f"{answer.url.host} answered {answer.status_code} {answer.reason_phrase}."
        remedy, facts = "Check the address: is it a raysched service?", {}
    if known := error_of(code, message, remedy, **facts):
        return known
    kinds = {4: RequestError, 5: InternalError}
    kind: type[RayschedError] = kinds.get(answer.status_code // 100, InternalError)
    kind = ClusterError if answer.status_code in BUSY - {429} else kind
    return kind(message, remedy=remedy, **{**facts, "code": code, "status": answer.status_code})


def never_arrived(error: httpx.TransportError) -> bool:
    """Whether nothing of the request can have reached the service."""
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
