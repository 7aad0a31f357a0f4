"""What tests of slides and uploads ask of the service again and again."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Any

import httpx

from raysched.cluster.accounts import KeyWish
from raysched.core.accounts import Role
from tests.http.conftest import Service

TUS = {"Tus-Resumable": "1.0.0"}
PIECE_TYPE = "application/offset+octet-stream"


def a_user(service: Service) -> httpx.Client:
    """One who is new; to be closed."""
    name = f"sender-{uuid.uuid4().hex[:8]}"
    asyncio.run(service.accounts.create(name, name, Role.USER))
    client = service.client(asyncio.run(service.accounts.make_key(name, KeyWish("k"))).text)
    client.headers.update(TUS)
    return client


def announce(user: httpx.Client, name: str, size: int, **also: str) -> httpx.Response:
    told = {"filename": name, **also}
    meta = ",".join(f"{key} {base64.b64encode(told[key].encode()).decode()}" for key in told)
    headers = {"Upload-Length": str(size), "Upload-Metadata": meta}
    return user.post("/uploads", headers=headers)


def piece(user: httpx.Client, upload: str, offset: int, data: bytes, **also: str) -> httpx.Response:
    headers = {"Upload-Offset": str(offset), "Content-Type": PIECE_TYPE, **also}
    return user.patch(f"/uploads/{upload}", headers=headers, content=data)


def send(user: httpx.Client, name: str, data: bytes) -> str:
    """Upload in one piece; the slide's id."""
    upload: str = announce(user, name, len(data)).raise_for_status().json()["id"]
    piece(user, upload, 0, data).raise_for_status()
    return upload


def looked_at(user: httpx.Client, slide: str) -> dict[str, Any]:
    """The slide once it is ready or refused."""
    while True:
        told: dict[str, Any] = user.get(f"/slides/{slide}").raise_for_status().json()
        if told["state"] != "checking":
            return told


def offset_of(user: httpx.Client, upload: str) -> int:
    return int(user.head(f"/uploads/{upload}").raise_for_status().headers["upload-offset"])


def code_of(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["code"]
