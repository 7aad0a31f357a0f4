"""Serve's processes and the scheduler, killed while people ask: whoever asks is served in the end.

One service for all; what is killed is found among the processes that this one has started.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from over_http import TUS, announce, looked_at, offset_of, piece

from raysched import Client
from raysched.client.live import listen
from raysched.core.model import JobState
from raysched.testing.ray_processes import titled
from tests.http.conftest import GENEROUS, Service, real_service

pytestmark = [
    pytest.mark.chaos,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

WAIT_S = 240.0
PATIENCE_S = 180.0
PROCESSES = {
    "replica": "ServeReplica",
    "proxy": "ProxyActor",
    "controller": "ServeController",
    "scheduler": "SchedulerActor",
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, sample_slide: Path) -> Iterator[Service]:
    """A service that no other test needs."""
    folder = tmp_path_factory.mktemp("killed")
    with real_service(
        folder, sample_slide, limits=GENEROUS, scheduling={"max_jobs_per_user": 10_000}
    ) as made:
        yield made


def process(what: str) -> psutil.Process | None:
    """One of this test's own Ray processes."""
    return next(iter(titled(PROCESSES[what])), None)


def until(is_so: Callable[[], bool], why: str) -> None:
    """Ask again and again: what is waited for happens in other processes."""
    pause, deadline = threading.Event(), time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, why
        pause.wait(0.1)


def kill(what: str) -> None:
    """SIGKILL, and wait until another has taken its place."""
    old = process(what)
    assert old is not None, f"there is no {what}"
    old.kill()
    until(lambda: (new := process(what)) is not None and new.pid != old.pid, f"no new {what}")


@dataclass
class Asking:
    """People who ask all the time, and what they were told."""

    client: Client
    raw: httpx.Client
    job: str
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: dict[str, str] = field(default_factory=dict)
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    unclear: list[str] = field(default_factory=list)
    resets: int = 0
    rounds: Counter[str] = field(default_factory=Counter)

    def submit(self) -> None:
        """Workflow after workflow, each with a key of its own."""
        while not self.stop.is_set():
            key = f"asked-{len(self.acknowledged)}"
            made = self.client.submit(
                {"slide": "sample.svs", "kind": "tissue_mask", "branch": key}, name=key, key=key
            )
            self.acknowledged[key] = made.id
            self.rounds["submit"] += 1

    def read(self) -> None:
        """Without any patience: an answer, or when to come again."""
        while not self.stop.is_set():
            try:
                answer = self.raw.get(f"/jobs/{self.job}")
            except httpx.TransportError:
                self.answers[0, ""] += 1
                self.stop.wait(0.1)
                continue
            self.answers[answer.status_code, answer.headers.get("retry-after", "")] += 1
            if answer.status_code != 200:
                if answer.headers["content-type"] != "application/problem+json":
                    self.unclear.append(answer.text[:300])
                self.stop.wait(0.1)
            else:
                self.rounds["read"] += 1

    def listen(self) -> None:
        """One stream of events, gone on with whenever it ends."""
        for event in listen(self.client._wire, "/events"):
            self.resets += event.name == "reset"
            self.rounds["listen"] += 1
            if self.stop.is_set():
                return

    def go_round(self, times: int = 2) -> None:
        """Return when each of them was answered so many times more."""
        before = self.rounds.copy()
        until(
            lambda: all(
                self.rounds[name] >= before[name] + times for name in ("submit", "read", "listen")
            ),
            f"they are not answered: {self.rounds} after {before}, {self.answers}",
        )


@contextmanager
def people_asking(own: Service, job: str) -> Iterator[Asking]:
    key = own.http.headers["Authorization"].removeprefix("Bearer ")
    with (
        Client(str(own.bare.base_url), key, patience_s=PATIENCE_S) as client,
        own.client(key) as raw,
        ThreadPoolExecutor(3) as pool,
    ):
        asking = Asking(client, raw, job)
        all_of_them = [pool.submit(each) for each in (asking.submit, asking.read, asking.listen)]
        try:
            asking.go_round(1)
            yield asking
            asking.stop.set()
            for each in all_of_them:
                each.result(timeout=WAIT_S)
        finally:
            asking.stop.set()


def long_job(own: Service) -> str:
    options = {"tile_px": 96, "chunk_tiles": 2, "branch": "long"}
    name: str = own.submit("sample.svs", **options)["id"]
    until(lambda: own.http.get(f"/jobs/{name}").json()["chunks_done"] >= 1, "no chunk")
    return name


def check_all_is_there_once(own: Service, asking: Asking) -> None:
    key = own.http.headers["Authorization"].removeprefix("Bearer ")
    with Client(str(own.bare.base_url), key, patience_s=PATIENCE_S) as client:
        names = Counter(
            each.name for each in client.workflows() if each.name in asking.acknowledged
        )
        assert names == dict.fromkeys(asking.acknowledged, 1)
        for each, made in list(asking.acknowledged.items())[::10]:
            job = {"slide": "sample.svs", "kind": "tissue_mask", "branch": each}
            assert client.submit(job, name=each, key=each).id == made


@pytest.mark.parametrize("what", ["replica", "proxy", "controller"])
def test_serve_killed_comes_back_by_itself_and_nothing_is_lost_or_done_twice(
    own: Service, what: str
) -> None:
    job = long_job(own)
    scheduler = process("scheduler")
    with people_asking(own, job) as asking:
        resets = asking.resets
        kill(what)
        asking.go_round()
        view = asking.client.job(job)
    assert view.state is JobState.SUCCEEDED or view.chunks_done >= 1
    assert process("scheduler") == scheduler  # it has nothing to do with Serve
    assert own.until(job, "succeeded", wait_s=WAIT_S)["attempt"] == 1
    lost = [line for line in own.http.get(f"/jobs/{job}/log").text.splitlines() if "lost" in line]
    assert lost == []
    check_all_is_there_once(own, asking)
    assert asking.unclear == []
    assert {code for code, _ in asking.answers} <= {0, 200, 503}, asking.answers
    assert all(after for code, after in asking.answers if code == 503)
    assert (asking.resets > resets) is (what == "replica"), "whoever may have missed something"


def test_an_upload_goes_on_at_the_byte_after_the_replica_was_killed(
    own: Service, sample_slide: Path
) -> None:
    data = sample_slide.read_bytes()
    half = len(data) // 2
    key = own.http.headers["Authorization"].removeprefix("Bearer ")
    with own.client(key) as user:
        user.headers.update(TUS)
        upload = announce(user, "half.svs", len(data)).raise_for_status().json()["id"]
        piece(user, upload, 0, data[:half]).raise_for_status()
        kill("replica")
        with Client(str(own.bare.base_url), key, patience_s=PATIENCE_S) as client:
            client.me()  # once it answers again
        assert offset_of(user, upload) == half
        piece(user, upload, half, data[half:]).raise_for_status()
        assert looked_at(user, upload)["state"] == "ready"


def test_while_the_scheduler_is_killed_people_get_an_answer_or_are_told_when_to_come_again(
    own: Service,
) -> None:
    job = long_job(own)
    with people_asking(own, job) as asking:
        for _ in range(3):
            resets = asking.resets
            kill("scheduler")
            asking.go_round()
            until(lambda: asking.resets > resets, "the stream was not reset")  # noqa: B023
    check_all_is_there_once(own, asking)
    assert asking.unclear == []
    assert {code for code, _ in asking.answers} <= {200, 503}, asking.answers
    assert all(after for code, after in asking.answers if code == 503)
    assert own.until(job, "succeeded", wait_s=WAIT_S)["attempt"] == 1
