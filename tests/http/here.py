"""The service in this process, without Ray: the real actor on a real life whose lanes never open.

Jobs wait for ever, or end by being cancelled: enough for all that is not about cells. HTTP is real.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from raysched.cluster import actor as actor_module
from raysched.cluster.accounts import Accounts, KeyWish
from raysched.cluster.actor import SchedulerActor
from raysched.cluster.gateway import Gateway
from raysched.cluster.lanes import Lanes
from raysched.config import Config, load_config
from raysched.core.accounts import Role
from raysched.core.model import JobId
from raysched.core.state import Job as CoreJob
from serve_app.web import create_app
from tests.http.conftest import GENEROUS


class Direct(Gateway):
    """The way to an actor in the same process."""

    def __init__(self) -> None:
        super().__init__("here", patience_s=5)
        self.actor: SchedulerActor | None = None

    async def _ask(self, verb: str, *args: object) -> Any:
        return await getattr(self.actor, verb)(*args)


@dataclass
class Here:
    """A running service. ``http`` asks as the administrator."""

    config: Config
    gateway: Direct
    app: FastAPI
    url: str
    http: httpx.AsyncClient

    async def user(self, name: str, role: Role = Role.USER) -> httpx.AsyncClient:
        """A new user, as whom the client asks."""
        accounts = Accounts(self.gateway)
        await accounts.create(name, name.title(), role)
        key = await accounts.make_key(name, KeyWish())
        return self.client(key.text)

    def client(self, key: str) -> httpx.AsyncClient:
        """Asks with that key; to be closed."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=60)

    async def restart(self) -> None:
        """A new life of the scheduler, in a new actor."""
        old = self.gateway.actor
        assert old is not None
        await old.close()
        self.gateway.actor = await actor(self.config)

    def job(self, name: str) -> CoreJob:
        """A job as the scheduler has it in memory."""
        life = self.gateway.actor and self.gateway.actor._life
        assert life is not None
        return life.core.state.jobs[JobId(name)]


async def actor(config: Config) -> SchedulerActor:
    made = SchedulerActor.__new__(SchedulerActor)
    await made.__init__(config)  # type: ignore[misc]
    return made


async def _no_lanes(_: Lanes) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def service_here(folder: Path, monkeypatch: Any, **settings: Any) -> AsyncIterator[Here]:
    """The service on a state of its own, with a slide folder ``slides`` beside it."""
    monkeypatch.setattr(Lanes, "keep", _no_lanes)
    monkeypatch.setattr(actor_module, "wake", lambda _: None)
    slides = folder / "slides"
    slides.mkdir(exist_ok=True)
    serve = {"slide_folders": [slides], **settings.pop("serve", {})}
    settings = {"limits": GENEROUS, **settings}
    config = load_config(state=folder / "state", serve=serve, **settings)
    gateway = Direct()
    gateway.actor = await actor(config)
    app = create_app(config, gateway)
    # asyncio waits for no acknowledgement only on sockets that say that they are TCP (else 40 ms)
    with socket.socket(proto=socket.IPPROTO_TCP) as free:
        free.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[free]))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        try:
            key = await Accounts(gateway).first_key()
            assert key is not None
            headers = {"Authorization": f"Bearer {key.text}"}
            async with httpx.AsyncClient(
                base_url=f"{url}/api/v1", headers=headers, timeout=60
            ) as http:
                yield Here(config, gateway, app, url, http)
        finally:
            server.should_exit = server.force_exit = True
            await serving
            await gateway.actor.close()


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, work: Any, **settings: Any) -> None:
    """What a test does with such a service."""

    async def all_of_it() -> None:
        async with service_here(folder, monkeypatch, **settings) as here:
            await work(here)

    asyncio.run(all_of_it())


async def submit(http: httpx.AsyncClient, *branches: str, name: str = "w", **job: Any) -> Any:
    """A workflow with a job for each branch."""
    jobs = [{"slide": "lung-7.svs", "kind": "tissue_mask", "branch": b, **job} for b in branches]
    answer = await http.post("/workflows", json={"name": name, "jobs": jobs})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def cancelled(http: httpx.AsyncClient, *branches: str, **options: Any) -> Any:
    """The same, at its end."""
    made = await submit(http, *branches, **options)
    answer = await http.post(f"/workflows/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["open"]) == (200, False), answer.text
    return made
