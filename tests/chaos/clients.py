"""Users of the service who never give up, and write down every question and answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from evidence import Call
from standing import Standing, pause, until

SHOWN = ("id", "state", "attempt", "tiles_done", "chunks_done", "cells", "checksum")
FINAL = ("succeeded", "failed", "cancelled", "skipped")
LIST_S = 0.25
AGAIN_S = 0.2


class History:
    """Every call of every user, in the order of the answers; also in a file, for who looks into
    what was found."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._file = file
        self.calls: list[Call] = []

    def note(self, call: Call) -> Call:
        """Write one down."""
        with self._lock, self._file.open("a") as file:
            self.calls.append(call)
            file.write(json.dumps(asdict(call)) + "\n")
        return call


class User:
    """One user with a key; looks at all jobs again and again in a thread of its own."""

    def __init__(self, name: str, key: str, cluster: Standing, history: History) -> None:
        self.name = name
        self.jobs: dict[str, dict[str, Any]] = {}
        self._cluster, self._history = cluster, history
        self._http = httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30)
        self._over = threading.Event()

    def submit(self, key: str, *jobs: dict[str, Any]) -> list[str]:
        """Ask until it is acknowledged, with the same key; the jobs' ids."""
        body = {"jobs": list(jobs)}
        call = self._insist("submit", key, "POST", "/workflows", body=body, key=key)
        ids: list[str] = call.answer["jobs"]
        return ids

    def cancel(self, job: str) -> bool:
        """Ask until there is an answer; whether it was taken."""
        call = self._insist("cancel", job, "POST", f"/jobs/{job}/cancel")
        return call.is_acknowledged

    def peek(self, job: str) -> None:
        """Try to look at a job of somebody else's."""
        self._call("peek", job, "GET", f"/jobs/{job}")

    def look(self) -> bool:
        """List all jobs; whether there was an answer."""
        call = self._call("list", "", "GET", "/jobs?limit=200")
        if call.is_acknowledged:
            self.jobs = {view["id"]: view for view in call.answer}
        return call.is_acknowledged

    def state(self, job: str) -> str:
        """The job's state as it was last seen."""
        return str(self.jobs.get(job, {}).get("state", "unseen"))

    def until(self, job: str, *states: str) -> None:
        """Wait until somebody has seen the job in one of the states."""
        until(lambda: self.state(job) in states, f"{job} in {states}: {self.jobs.get(job)}")

    def until_ended(self) -> None:
        """Wait until every job has ended."""
        until(
            lambda: all(view["state"] in FINAL for view in list(self.jobs.values())),
            f"the end of {self.name}'s jobs: {self.jobs}",
        )

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Meanwhile, the user lists again and again."""
        thread = threading.Thread(target=self._watch, name=f"{self.name} looks", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._http.close()

    def _watch(self) -> None:
        while not self._over.wait(LIST_S):
            self.look()

    def _insist(self, verb: str, about: str, *asked: Any, **more: Any) -> Call:
        while True:
            call = self._call(verb, about, *asked, **more)
            if call.status is not None and call.status < 500:
                return call
            pause(AGAIN_S)

    def _call(
        self, verb: str, about: str, method: str, path: str, *, body: Any = None, key: str = ""
    ) -> Call:
        headers = {"Idempotency-Key": key} if key else {}
        url = f"{self._cluster.url}/api/v1{path}"
        sent, status, answer = time.time(), None, None
        try:
            got = self._http.request(method, url, json=body, headers=headers, timeout=30)
            status = got.status_code
            answer = _kept(verb, got.json()) if got.is_success else got.text[:300]
        except (httpx.HTTPError, ValueError) as error:
            status, answer = None, repr(error)
        return self._history.note(Call(self.name, verb, about, sent, time.time(), status, answer))


def _kept(verb: str, answer: Any) -> Any:
    """What of an answer is looked at later."""
    match verb:
        case "submit":
            return {"workflow": answer["id"], "jobs": [job["id"] for job in answer["jobs"]]}
        case "list":
            return [{name: job[name] for name in SHOWN} for job in answer["jobs"]]
    return answer["state"]


def make_users(cluster: Standing, history: History, *names: str) -> list[User]:
    """New users, by the administrator."""
    headers = {"Authorization": f"Bearer {cluster.admin_key}"}
    with httpx.Client(base_url=f"{cluster.url}/api/v1", headers=headers, timeout=60) as admin:
        made = []
        for name in names:
            admin.post("/users", json={"id": name}).raise_for_status()
            key = admin.post(f"/users/{name}/keys", json={"name": "chaos"}).raise_for_status()
            made.append(User(name, key.json()["key"], cluster, history))
    return made
