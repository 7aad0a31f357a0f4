"""Fifty people asking over HTTP at once, and one who floods, beside a bare Serve deployment.

Open loop: requests are due at times that do not depend on the answers, and a request's latency
counts from when it was due, so that a service that stalls is charged for all who waited.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from figures import Figure
from ray import serve

from raysched.cluster.accounts import Accounts, KeyWish
from raysched.cluster.session import connect
from raysched.config import load_config
from raysched.core.accounts import Role
from raysched.imaging.samples import sample_slide

USERS = 50
RATE_PER_S = 100.0
SECONDS = 60.0
FLOOD_PER_S = 10 * RATE_PER_S / USERS
"""Ten times what each of the others asks for; twice what the limits grant to one user."""
TORRENT_PER_S = 100.0
"""Ten times what the limits grant to one user; as much again as all the others ask for."""
MIX = (
    ("GET", "/jobs", 30),
    ("GET", "/jobs/{job}", 30),
    ("GET", "/jobs/{job}/explain", 10),
    ("GET", "/workflows/{workflow}", 10),
    ("GET", "/me", 10),
    ("GET", "/jobs/{job}/results", 5),
    ("GET", "/jobs/{job}/results/manifest.json", 3),
    ("POST", "/workflows", 2),
)


@dataclass
class Person:
    """A user with a key and what may be asked for."""

    headers: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)


@dataclass
class Answers:
    """How requests went: milliseconds from when each was due, and how often each status came."""

    ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.ms, n=100, method="inclusive")[percent - 1]

    @property
    def errors(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 400)

    @property
    def errors_but_429(self) -> int:
        return self.errors - self.statuses[429]


def measure() -> Iterator[Figure]:
    """Bare hello, the mix, the mix beside a flood: about five minutes, on two lanes that work."""
    from serve_app.service import serving

    with tempfile.TemporaryDirectory() as folder:
        config = load_config(
            state=Path(folder) / "state",
            cluster={"lanes": 2, "address": None},
            serve={"port": 0, "slide_folders": [_slides(Path(folder))]},
        )
        with connect(config) as session, serving(config, owned=True) as url:
            serve.run(_hello(), name="hello", route_prefix="/hello")
            yield from asyncio.run(_phases(url, Accounts(session.gateway)))


def _slides(folder: Path) -> Path:
    config = load_config()
    slide = sample_slide(config.samples, config.cache).path
    (folder / "slides").mkdir()
    (folder / "slides" / "sample.svs").write_bytes(slide.read_bytes())
    return folder / "slides"


def _hello() -> serve.Application:
    """What Serve itself costs: a deployment that answers with a word."""

    @serve.deployment(ray_actor_options={"num_cpus": 0}, max_ongoing_requests=200)
    class Hello:
        async def __call__(self, _: Any) -> str:
            return "hello"

    return Hello.bind()


async def _phases(url: str, accounts: Accounts) -> Iterator[Figure]:
    people = [await _person(accounts, f"person-{number}") for number in range(USERS)]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        api = f"{url}/api/v1"
        await _prepare(http, api, people)
        hello = await _offer(http, [("GET", f"{url}/hello", None)] * _count(RATE_PER_S), RATE_PER_S)
        mixed = await _offer(http, _mix(api, people), RATE_PER_S)
        floods = [
            await asyncio.gather(
                _offer(http, _mix(api, people[1:]), RATE_PER_S),
                _offer(http, _flood(api, people[0], rate), rate),
            )
            for rate in (FLOOD_PER_S, TORRENT_PER_S)
        ]
    (flooded, flood), (torrential, torrent) = floods
    return iter(
        [
            *_mixed(hello, mixed),
            *_beside("a flood of 20/s", flooded, flood, mixed, gate=2 * mixed.percentile(99)),
            *_beside("one of 100/s", torrential, torrent, mixed, gate=None),
        ]
    )


def _mixed(hello: Answers, mixed: Answers) -> list[Figure]:
    return [
        Figure("100 requests/s, 50 people: p50", mixed.percentile(50), "ms", hello.percentile(50)),
        Figure("the same: p99", mixed.percentile(99), "ms", hello.percentile(99)),
        Figure("the same: errors other than 429", mixed.errors_but_429, "", hello.errors, 0),
        Figure("the same: 429", mixed.statuses[429], ""),
    ]


def _beside(
    what: str, others: Answers, flood: Answers, alone: Answers, gate: float | None
) -> list[Figure]:
    p50, p99 = others.percentile(50), others.percentile(99)
    return [
        Figure(f"beside {what}: p50 of the others", p50, "ms", alone.percentile(50)),
        Figure(f"beside {what}: p99 of the others", p99, "ms", alone.percentile(99), gate),
        Figure("errors other than 429", others.errors_but_429 + flood.errors_but_429, "", None, 0),
        Figure("the flood: answered", flood.statuses[200], ""),
        Figure("the flood: 429", flood.statuses[429], ""),
    ]


async def _person(accounts: Accounts, user: str) -> Person:
    await accounts.create(user, user, Role.USER)
    key = await accounts.make_key(user, KeyWish("bench"))
    return Person({"Authorization": f"Bearer {key.text}"})


async def _prepare(http: aiohttp.ClientSession, api: str, people: list[Person]) -> None:
    """A job with results for each person: one computes, and the rest is queued behind it."""
    for person in people:
        body = {"jobs": [{"slide": "sample.svs", "tile_px": 512}]}
        async with http.post(f"{api}/workflows", json=body, headers=person.headers) as answer:
            answer.raise_for_status()
            workflow = await answer.json()
        person.names = {"workflow": workflow["id"], "job": workflow["jobs"][0]["id"]}
    for person in people:
        while True:
            address = f"{api}/jobs/{person.names['job']}"
            async with http.get(address, headers=person.headers) as answer:
                if answer.status == 200 and (await answer.json())["state"] == "succeeded":
                    break
            await asyncio.sleep(0.2)


Request = tuple[str, str, "Person | None"]


def _count(rate: float) -> int:
    return round(rate * SECONDS)


def _mix(api: str, people: list[Person]) -> list[Request]:
    """The same requests in each run, each of a person drawn by lot."""
    lot = random.Random(7)
    kinds = [(method, path) for method, path, _ in MIX]
    weights = [weight for *_, weight in MIX]
    made: list[Request] = []
    for method, path in lot.choices(kinds, weights, k=_count(RATE_PER_S)):
        person = lot.choice(people)
        made.append((method, api + path.format(**person.names), person))
    return made


def _flood(api: str, person: Person, rate: float) -> list[Request]:
    return [("GET", f"{api}/jobs", person)] * _count(rate)


async def _offer(http: aiohttp.ClientSession, requests: list[Request], rate: float) -> Answers:
    """Send each when it is due, whatever became of those before."""
    answers = Answers()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for number, request in enumerate(requests):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sending.create_task(_ask(http, request, due, answers))
    return answers


async def _ask(http: aiohttp.ClientSession, request: Request, due: float, to: Answers) -> None:
    method, url, person = request
    body = {"jobs": [{"slide": "sample.svs", "kind": "tissue_mask"}]} if method == "POST" else None
    headers = person.headers if person else {}
    try:
        async with http.request(method, url, json=body, headers=headers) as answer:
            await answer.read()
            status = answer.status
    except aiohttp.ClientError:
        status = 599  # no answer at all counts as an error of the service
    to.ms.append(1000 * (time.perf_counter() - due))
    to.statuses[status] += 1
