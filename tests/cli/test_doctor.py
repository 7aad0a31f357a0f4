"""``raysched doctor`` on the state folder of a stopped service; no Ray."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysched.cli.main import app
from raysched.cluster.doctor import Finding, Look, examine
from raysched.cluster.doctor_files import CHECKS
from raysched.cluster.record import CLUSTER, LOCK, ClusterRecord, Keeper, UpLock
from raysched.config import load_config, missing_token
from raysched.core.events import TimePassed
from raysched.errors import Conflict
from raysched.journal.database import JOURNAL_NAME
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.testing import FakeCluster, job

LONG_AGO = 1_000_000_000
NO_PROCESS = 2**22 + 1


def doctor(*arguments: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Its exit code, and what each check has found."""
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert "doctor" in lines[-1], lines
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines[:-1]:
        found.setdefault(line["check"], []).append(line)
    return result.exit_code, found


def wrong(found: dict[str, list[dict[str, Any]]]) -> set[str]:
    """The checks that found something wrong that is still to be done."""
    return {
        name
        for name, lines in found.items()
        if any(each["grade"] == "wrong" and each["repaired"] is None for each in lines)
    }


def tree(top: Path) -> dict[str, str]:
    """All files below a folder with their contents."""
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in top.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a service that has done two jobs and was stopped with a third in the middle."""
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster = FakeCluster()
    cluster.submit("ann", job("job-a"), job("job-b", after=["job-a"]), key="k")
    cluster.run()
    cluster.submit("bob", job("job-c"))
    state = tmp_path / "state"
    with Journal.open(state) as journal:
        journal.next_epoch()
        journal.append(
            [
                Entry(event, getattr(event, "job", None), decision)
                for event, decision in zip(cluster.history, cluster.decisions, strict=True)
            ]
        )
    for name in ("job-a", "job-b"):
        folder = state / "results" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    return state


def staging(state: Path, name: str) -> Path:
    folder = state / "results" / f".{name}.{name}.partial"
    (folder / "chunks-1").mkdir(parents=True)
    (folder / "chunks-1" / "000000.json").write_text("{}")
    return folder


def test_where_nothing_is_wrong_it_says_so_and_changes_nothing(state: Path) -> None:
    staging(state, "job-c")
    before = tree(state)
    code, found = doctor()
    assert (code, wrong(found)) == (0, set())
    assert found["journal"][0]["says"].startswith("the journal is whole: ")
    assert tree(state) == before


def test_what_was_left_behind_is_found_and_repaired_and_nothing_else_is_touched(
    state: Path,
) -> None:
    left, open_ = staging(state, "job-a"), staging(state, "job-c")
    unfinished = open_ / "chunks-1" / ".000001.arrow.0123456789ab"
    unfinished.touch()
    os.utime(unfinished, (LONG_AGO, LONG_AGO))
    fresh = open_ / ".plan.json.ba9876543210"
    fresh.touch()
    notes = load_config().notes
    notes.mkdir()
    (notes / "r7.json").write_text("{}")
    record = ClusterRecord(address="127.0.0.1:1", pid=NO_PROCESS)
    (state / CLUSTER).write_text(record.model_dump_json())
    sick = {"staging", "unfinished files", "notes", "cluster.json"}
    before = tree(state)
    code, found = doctor()
    assert (code, wrong(found)) == (1, sick)
    assert tree(state) == before
    code, found = doctor("--repair")
    assert (code, wrong(found)) == (0, set())
    assert {name for name, lines in found.items() if any(e["repaired"] for e in lines)} == sick
    assert not left.exists()
    kept = {name: digest for name, digest in before.items() if (state / name).exists()}
    assert kept == tree(state)
    assert fresh.exists()
    gone = {Path(name).name for name in before.keys() - kept.keys()}
    assert gone == {"000000.json", unfinished.name, "r7.json", CLUSTER}
    assert doctor()[0] == 0


def test_nothing_of_a_service_that_runs_is_taken_for_a_leftover(state: Path) -> None:
    staging(state, "job-a")
    lock = UpLock.take(state)
    assert lock is not None
    lock.tell(Keeper(pid=os.getpid(), version="0.0.1"))
    before = tree(state)
    code, found = doctor("--repair")
    assert (code, wrong(found)) == (0, set())
    assert tree(state) == before
    lock.release()


def test_what_a_service_that_started_meanwhile_may_use_is_not_removed(state: Path) -> None:
    left = staging(state, "job-a")
    look = Look.at(load_config())
    (found,) = [each for each in examine(look, CHECKS, repair=False) if each.check == "staging"]
    assert found.finding.repair is not None
    with Journal.open(state), pytest.raises(Conflict, match="has started meanwhile"):
        found.finding.repair()
    lock = UpLock.take(state)
    assert lock is not None
    lock.tell(Keeper(pid=os.getpid(), version="0.0.1"))
    with pytest.raises(Conflict, match="has started meanwhile"):
        found.finding.repair()
    lock.release()
    assert left.exists()
    found.finding.repair()
    assert not left.exists()


def test_a_service_that_is_being_started_again_is_not_called_wrong(state: Path) -> None:
    record = ClusterRecord(address="127.0.0.1:1", pid=NO_PROCESS)
    (state / CLUSTER).write_text(record.model_dump_json())
    lock = UpLock.take(state)
    assert lock is not None
    lock.tell(Keeper(pid=os.getpid(), version="0.0.1"))
    code, found = doctor("--repair")
    assert (code, wrong(found)) == (0, set())
    assert (state / CLUSTER).exists()
    lock.release()


def test_files_that_are_rubbish_are_read_as_nothing(state: Path) -> None:
    for name in (LOCK, CLUSTER):
        (state / name).write_bytes(b"\xff\x00{")
    code, found = doctor("--repair")
    assert (code, wrong(found)) == (0, set())


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(state: Path) -> None:
    def broken(_: Look) -> Iterator[Finding]:
        yield Finding("so far all is well")
        raise ValueError("nobody thought of this")

    table = {"broken": broken, "other": lambda _: iter([Finding("it is well")])}
    found = list(examine(Look.at(load_config()), table, repair=True))
    assert [(each.check, each.is_wrong) for each in found] == [
        ("broken", False),
        ("broken", True),
        ("other", False),
    ]
    assert "ValueError: nobody thought of this" in found[1].finding.says


def test_a_damaged_journal_is_named_and_left_as_it_is(state: Path) -> None:
    path = state / JOURNAL_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    before = tree(state)
    code, found = doctor("--repair")
    assert (code, wrong(found)) == (1, {"journal"})
    assert "raysched journal repair" in found["journal"][0]["remedy"]
    assert tree(state) == before


def test_a_journal_that_cannot_be_read_is_named_where_it_is(state: Path) -> None:
    """Not where the copy of it was that was looked at."""
    path = state / JOURNAL_NAME
    path.unlink()
    path.mkdir()
    _, found = doctor()
    (line,) = found["journal"]
    assert line["grade"] == "wrong"
    assert str(path) in line["says"]
    assert "raysched-doctor" not in line["says"] + line["remedy"]


def test_a_clock_behind_the_journal_is_named(state: Path) -> None:
    with Journal.open(state) as journal:
        journal.next_epoch()
        journal.append([Entry(TimePassed(4e9))])
    code, found = doctor()
    assert (code, wrong(found)) == (1, {"clock"})


def test_a_cluster_that_does_not_answer_is_named(state: Path) -> None:
    code, found = doctor("--address", "127.0.0.1:1")
    assert (code, wrong(found)) == (1, {"Ray"})
    assert found["Ray"][0]["says"] == "no Ray answers at 127.0.0.1:1"


def test_a_token_that_ray_would_not_find_is_named(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(state))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        code, found = doctor("--address", f"127.0.0.1:{server.getsockname()[1]}")
    assert (code, wrong(found)) == (1, {"Ray"})
    assert str(state / ".ray" / "auth_token") in found["Ray"][0]["says"]
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x" * 32)
    assert missing_token() is None
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (state / "token").write_text("x" * 32)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(state / "token"))
    assert missing_token() is None


def test_a_missing_engine_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSCHED_SEGMENTATION__ENGINE", "nothing")
    code, found = doctor()
    assert (code, wrong(found)) == (1, {"engines"})
    assert "nothing" in found["engines"][0]["says"]
