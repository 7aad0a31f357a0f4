"""What the served OpenAPI allows and forbids, tried on the real service by schemathesis.

Whatever is sent, the answer is never a 5xx, has a documented status, type and shape, and what the
document forbids is refused. ``RAYSCHED_NIGHTLY=1`` sends new requests; else the same every time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, assume, settings
from schemathesis import Case

from raysched.cluster.accounts import KeyWish
from raysched.cluster.gateway import Gateway
from raysched.config import Config
from raysched.core.accounts import Role
from serve_app.web import create_app
from tests.http.conftest import Service
from tests.nightly import NIGHTLY

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

EXAMPLES = 8
MOST_LINE = 60_000
"""Characters of an address. The HTTP server answers one of more than 64 kB by itself, with 400."""
ENDLESS = ["stream_events"]
"""Its answer ends with the client; `test_events.py` tries it."""
app = create_app(Config(state=Path("unused")), Gateway("unused"))
CHECKS = {
    # What fits the document may still be refused for what it means.
    "positive_data_acceptance": {"enabled": False},
    "negative_data_rejection": {"expected-statuses": ["4xx", 503, 507]},
}
schema = schemathesis.openapi.from_dict(
    app.openapi(), config=schemathesis.Config.from_dict({"checks": CHECKS})
)


@schemathesis.serializer("application/offset+octet-stream")
def piece(_: schemathesis.SerializationContext, value: object) -> bytes:
    """A piece of an upload, as it comes."""
    return value if isinstance(value, bytes) else str(value).encode()


@dataclass(frozen=True)
class Hostile:
    """An administrator of their own, who has a job with results."""

    url: str
    headers: dict[str, str]
    names: dict[str, str]


@pytest.fixture(scope="module")
def hostile(service: Service) -> Iterator[Hostile]:
    async def key() -> str:
        await service.accounts.create("hostile", "Hostile", Role.ADMIN)
        return (await service.accounts.make_key("hostile", KeyWish("fuzz"))).text

    headers = {"Authorization": f"Bearer {asyncio.run(key())}"}
    body = {"jobs": [{"slide": "sample.svs", "kind": "tissue_mask"}]}
    made = service.bare.post("/workflows", json=body, headers=headers).raise_for_status().json()
    job = made["jobs"][0]["id"]
    while service.bare.get(f"/jobs/{job}", headers=headers).json()["state"] != "succeeded":
        pass
    url = str(service.bare.base_url.copy_with(path="/"))
    names = {"job": job, "other": job, "workflow": made["id"]}
    yield Hostile(url.rstrip("/"), headers, names)
    service.bare.post("/me/cancel", headers=headers).raise_for_status()
    while service.bare.get("/jobs", params={"open": True}, headers=headers).json()["jobs"]:
        pass


@pytest.fixture(autouse=True)
def _as_before(hostile: Hostile, service: Service) -> Iterator[None]:
    """An administrator may pause and drain the cluster, and did."""
    yield
    service.bare.post("/cluster/resume", headers=hostile.headers).raise_for_status()


def test_what_is_tried_is_what_is_served(service: Service) -> None:
    served = service.bare.get(service.bare.base_url.copy_with(path="/openapi.json")).json()
    assert served == app.openapi()


@pytest.mark.slow
@schema.exclude(operation_id=ENDLESS).parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=not NIGHTLY,  # what lets a change land is no lottery
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
def test_nothing_that_is_sent_is_answered_but_as_documented(case: Case, hostile: Hostile) -> None:
    for name in case.path_parameters.keys() & hostile.names.keys():
        if len(str(case.path_parameters[name])) % 2:  # half of them name what is there
            case.path_parameters[name] = hostile.names[name]
    assume(len(line_of(case, hostile.url)) < MOST_LINE)
    case.call_and_validate(base_url=hostile.url, headers=hostile.headers)


def line_of(case: Case, url: str) -> str:
    """The address that is asked for, as it is sent."""
    sent = case.as_transport_kwargs(base_url=url)
    asked = requests.Request(sent["method"], sent["url"], params=sent.get("params"))
    return asked.prepare().url or ""
