"""A slide of 5 GB that is uploaded in pieces and interrupted five times, beside a bare deployment.

The slide is the sample with a hole behind it: valid, and cheap to have. The bare deployment takes
bodies of the same size and writes them to a file, so the difference is what keys, locks, offsets
and syncs cost.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from figures import Figure
from ray import serve
from starlette.requests import Request

from raysched.cluster.accounts import Accounts
from raysched.cluster.session import connect
from raysched.config import load_config
from raysched.imaging.samples import sample_slide
from serve_app.body import MAX_PIECE_BYTES

SIZE_BYTES = 5 * 10**9
BARE_BYTES = 10**9
CUTS = 5
"""Times that the connection is closed in the middle of a piece."""
MOST_MB = 400.0
LOOK_EVERY_S = 0.1
OURS = ("ray::ServeReplica", "ray::ProxyActor", "ray::ServeController", "ray::SchedulerActor",
        "serve_app.slides.checking")  # fmt: skip
PIECE_TYPE = "application/offset+octet-stream"


class Memory(threading.Thread):
    """Looks at the RSS of the processes that serve, until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb: dict[str, float] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(LOOK_EVERY_S):
            for process in psutil.Process().children(recursive=True):
                try:
                    line = " ".join(process.cmdline())
                    name = next((each for each in OURS if each in line), None)
                    if name:
                        key = name.removeprefix("ray::").removeprefix("serve_app.")
                        mb = process.memory_info().rss / 1e6
                        self.peak_mb[key] = max(self.peak_mb.get(key, 0.0), mb)
                except psutil.Error:
                    continue  # it ended between being listed and being asked


def measure() -> Iterator[Figure]:
    """MB/s, whether it arrives whole, and the memory of each process: about three minutes."""
    from serve_app.service import serving

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        config = load_config(
            state=folder / "state",
            cluster={"lanes": 1, "address": None},
            serve={"port": 0, "max_gb_per_user": 0},
            limits={"upload_per_s": 1000, "default_per_s": 1000},  # a look each 0.1 s, and pieces
        )
        slide, digest = _large_slide(folder)
        with connect(config) as session, serving(config, owned=True) as url:
            key = asyncio.run(Accounts(session.gateway).first_key())
            assert key is not None
            serve.run(_bare(folder / "bare"), name="bare", route_prefix="/bare")
            bare = _bare_rate(url, slide)
            serve.delete("bare")
            memory = Memory()
            memory.start()
            rate, offset, told, check_s = _upload(url, key.text, slide)
            memory.stopped.set()
            memory.join()
            yield Figure("5 GB in pieces, cut five times", rate, "MB/s", bare, None, "more")
            yield Figure("bytes that were sent twice", offset / 1e6, "MB")
            yield Figure("arrived whole (1: the SHA-256 is equal)", float(told["sha256"] == digest),
                         "", None, 1.0, "more")  # fmt: skip
            yield Figure("ready (1), refused (0)", float(told["state"] == "ready"), "", None, 1.0,
                         "more")  # fmt: skip
            yield Figure("from the last byte to ready", check_s, "s")
            for name, mb in sorted(memory.peak_mb.items()):
                yield Figure(f"peak RSS of {name}", mb, "MB", None, MOST_MB)


def _large_slide(folder: Path) -> tuple[Path, str]:
    config = load_config()
    slide = folder / "large.svs"
    slide.write_bytes(sample_slide(config.samples, config.cache).path.read_bytes())
    with slide.open("r+b") as file:
        file.truncate(SIZE_BYTES)
        whole = hashlib.sha256()
        while piece := file.read(MAX_PIECE_BYTES):
            whole.update(piece)
    return slide, whole.hexdigest()


def _bare(path: Path) -> serve.Application:
    """What Serve itself costs: a deployment that appends each body to a file."""

    @serve.deployment(ray_actor_options={"num_cpus": 0})
    class Bare:
        async def __call__(self, request: Request) -> str:
            with path.open("ab") as file:
                async for some in request.stream():
                    file.write(some)
            return "written"

    return Bare.bind()


def _bare_rate(url: str, slide: Path) -> float:
    begun = time.perf_counter()
    with httpx.Client(timeout=120) as client, slide.open("rb") as file:
        for _ in range(0, BARE_BYTES, MAX_PIECE_BYTES):
            client.put(f"{url}/bare", content=file.read(MAX_PIECE_BYTES)).raise_for_status()
    return BARE_BYTES / 1e6 / (time.perf_counter() - begun)


def _upload(url: str, key: str, slide: Path) -> tuple[float, int, dict[str, Any], float]:
    """Send the slide; MB/s, bytes sent twice, what is known of it, seconds until it was ready."""
    headers = {"Authorization": f"Bearer {key}", "Tus-Resumable": "1.0.0"}
    cuts = [SIZE_BYTES * (number + 1) // (CUTS + 1) for number in range(CUTS)]
    begun, lost = time.perf_counter(), 0
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=120) as client:
        name = base64.b64encode(slide.name.encode()).decode()
        announced = {"Upload-Length": str(SIZE_BYTES), "Upload-Metadata": f"filename {name}"}
        upload = client.post("/uploads", headers=announced).raise_for_status().json()["id"]
        offset = 0
        with slide.open("rb") as file:
            while offset < SIZE_BYTES:
                file.seek(offset)
                data = file.read(MAX_PIECE_BYTES)
                if cuts and offset > cuts[0]:
                    cuts.pop(0)
                    half = data[: len(data) // 2]
                    _cut(client, upload, offset, half)
                    lost += offset + len(half)
                    offset = _offset(client, upload)
                    lost -= offset
                    continue
                told = {"Upload-Offset": str(offset), "Content-Type": PIECE_TYPE}
                answer = client.patch(f"/uploads/{upload}", headers=told, content=data)
                if answer.status_code in (409, 423):  # the piece that was cut is being ended
                    offset = _offset(client, upload)
                    continue
                offset = int(answer.raise_for_status().headers["upload-offset"])
        rate, ended = SIZE_BYTES / 1e6 / (time.perf_counter() - begun), time.perf_counter()
        while (slide_told := client.get(f"/slides/{upload}").json())["state"] == "checking":
            time.sleep(LOOK_EVERY_S)
        return rate, lost, slide_told, time.perf_counter() - ended


def _cut(client: httpx.Client, upload: str, offset: int, data: bytes) -> None:
    """Send half of a piece and close the connection."""
    url = client.base_url
    connection = http.client.HTTPConnection(url.host, url.port or 80)
    connection.putrequest("PATCH", f"{url.path}uploads/{upload}")
    for name in ("Authorization", "Tus-Resumable"):
        connection.putheader(name, client.headers[name])
    connection.putheader("Upload-Offset", str(offset))
    connection.putheader("Content-Type", PIECE_TYPE)
    connection.putheader("Content-Length", str(2 * len(data)))
    connection.endheaders()
    connection.send(data)
    assert isinstance(connection.sock, socket.socket)
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def _offset(client: httpx.Client, upload: str) -> int:
    head = client.head(f"/uploads/{upload}").raise_for_status()
    return int(head.headers["upload-offset"])
