"""A small history in which every promise is kept, by hand: the checker's own tests change it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from evidence import Call, Evidence, Result

LIMITS = {"max_running_jobs": 2, "max_active_users": 2}
EXPECTED = {"a1": "one", "a2": "two"}


class Lines:
    """A journal in the making; event N happens at N seconds."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def say(self, kind: str, *dispatches: tuple[str, str, int, str], **body: Any) -> None:
        """The next event, and what was sent after it."""
        seq = len(self.lines) + 1
        decided = {"dispatches": [list(each) for each in dispatches], "parking": None}
        body = {"at": float(seq), **body}
        self.lines.append(
            {"seq": seq, "at": float(seq), "kind": kind, "body": body, "decided": decided}
        )

    def start(self, epoch: int) -> None:
        """A new life."""
        self.say("scheduler_started", epoch=epoch, limits=LIMITS)

    def submit(self, user: str, key: str, *jobs: dict[str, Any], sent: Any) -> None:
        """A workflow ``w-KEY``; ``sent`` is what was sent after it."""
        asked = {"user": user, "key": key, "workflow": f"w-{key}", "jobs": list(jobs)}
        self.say("workflow_submitted", *sent, **asked)

    def planned(self, run: str, *sent: tuple[str, str, int, str], tiles: list[int]) -> None:
        """A plan, of chunks with so many tiles."""
        plan = {"fingerprint": f"plan of {tiles}", "chunk_tiles": tiles}
        self.say("slide_planned", *sent, run=run, plan=plan)


def spec(job: str, branch: str = "main", *after: str) -> dict[str, Any]:
    """What is asked for of a job."""
    return {"job": job, "branch": branch, "depends_on": list(after)}


def journal() -> list[dict[str, Any]]:
    """Of ann's jobs a1 and a2 succeed over a restart, a3 fails and a4 is skipped; bob's is
    cancelled while it runs."""
    told = Lines()
    told.start(1)
    told.say("lane_opened", lane="l0")
    told.say("lane_opened", lane="l1")
    ann = [spec("a1"), spec("a2"), spec("a3", "side", "a1"), spec("a4", "side")]
    told.submit("ann", "k", *ann, sent=[("a1", "plan", 0, "l0")])
    told.submit("bob", "k", spec("b1"), sent=[("b1", "plan", 0, "l1")])
    told.planned("1-1", ("a1", "segment", 0, "l0"), tiles=[2, 1])
    told.planned("1-2", ("b1", "segment", 0, "l1"), tiles=[1, 1])
    told.say("chunk_finished", ("a1", "segment", 1, "l0"), run="1-3", checksum="c0")
    told.say("job_cancel_requested", user="bob", job="b1")
    told.start(2)
    told.say("lane_opened", ("a1", "segment", 1, "l0"), lane="l0")
    told.say("lane_opened", lane="l1")
    told.say("chunk_finished", ("a1", "assemble", 0, "l0"), run="2-6", checksum="c1")
    told.say("result_assembled", ("a1", "publish", 0, "l0"), run="2-7")
    both = [("a2", "plan", 0, "l0"), ("a3", "plan", 0, "l1")]
    told.say("result_published", *both, run="2-8", checksum="one")
    told.say("run_failed", run="2-10")
    told.planned("2-9", ("a2", "assemble", 0, "l0"), tiles=[])
    told.say("result_assembled", ("a2", "publish", 0, "l0"), run="2-11")
    told.say("cluster_paused", by="admin")
    told.say("result_published", run="2-12", checksum="two")
    told.say("cluster_resumed", by="admin")
    return told.lines


def view(job: str, state: str, done: int = 0, checksum: str | None = None) -> dict[str, Any]:
    """A job as a list shows it."""
    growing = {"attempt": 1, "tiles_done": 2 * done, "chunks_done": done, "cells": 10 * done}
    return {"id": job, "state": state, **growing, "checksum": checksum}


def call(user: str, verb: str, about: str, sent: float, status: int, answer: Any) -> Call:
    """An answer after a fifth of a second."""
    return Call(user, verb, about, sent, sent + 0.2, status, answer)


def calls() -> list[Call]:
    """What ann and bob asked for and were shown."""
    ann = {"workflow": "w-k", "jobs": ["a1", "a2", "a3", "a4"]}
    waiting = [view(job, "waiting") for job in ("a2", "a3", "a4")]
    ended = [
        view("a1", "succeeded", 2, "one"),
        view("a2", "succeeded", 0, "two"),
        view("a3", "failed"),
        view("a4", "skipped"),
    ]
    return [
        Call("ann", "submit", "k", 3.5, 3.8, None, "ConnectError"),
        call("ann", "submit", "k", 3.9, 201, ann),
        call("bob", "submit", "k", 4.9, 201, {"workflow": "w-k", "jobs": ["b1"]}),
        call("ann", "submit", "k", 5.0, 200, ann),
        call("ann", "list", "", 8.5, 200, [view("a1", "segmenting", 1), *waiting]),
        call("bob", "cancel", "b1", 8.9, 200, "cancelling"),
        call("bob", "list", "", 9.3, 200, [view("b1", "cancelling")]),
        call("ann", "list", "", 11.5, 200, [view("a1", "segmenting", 1), *waiting]),
        call("bob", "peek", "a1", 12.0, 404, "not found"),
        call("ann", "list", "", 30.0, 200, ended),
        call("bob", "list", "", 30.0, 200, [view("b1", "cancelled")]),
        call("ann", "list", "", 31.0, 200, ended),
    ]


def receipt(chunk: int, checksum: str, *cells: int) -> dict[str, Any]:
    """Of a chunk whose tiles have so many cells."""
    said = {"chunk": chunk, "checksum": checksum, "fingerprint": "f", "tiles_failed": []}
    return {**said, "tiles": len(cells), "tile_cells": list(cells), "cells": sum(cells)}


def result(job: str, checksum: str, *receipts: dict[str, Any]) -> Result:
    """A folder whose sums are right."""
    counts = {
        "tissue_tiles": sum(each["tiles"] for each in receipts),
        "cells_reported": sum(each["cells"] for each in receipts),
        "tiles_failed": [],
    }
    tiles = [each["tiles"] for each in receipts]
    said = {"job": job, "checksum": checksum, "fingerprint": "f", "chunk_tiles": tiles}
    return Result(job, {**said, "counts": counts}, list(receipts))


def good() -> Evidence:
    """All of it; made anew, to be changed."""
    results = [
        result("a1", "one", receipt(0, "c0", 4, 5), receipt(1, "c1", 3)),
        result("a2", "two"),
    ]
    asked = [deepcopy(each) for each in calls()]  # one by one: some hold the same answer
    return Evidence(asked, journal(), results, dict(EXPECTED), [])
