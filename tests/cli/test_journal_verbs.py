"""``raysched journal`` on a journal that a fake cluster has lived through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysched.cli.main import app
from raysched.core.events import TimePassed
from raysched.journal.database import JOURNAL_NAME
from raysched.journal.entries import Entry
from raysched.journal.journal import Journal
from raysched.testing import FakeCluster, job


def raysched(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["journal", *arguments])


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def lived(state: Path) -> FakeCluster:
    """Two jobs done, one cancelled, one restart, all of it in the journal."""
    cluster = FakeCluster()
    cluster.submit("ann", job("a"), job("b", after=["a"]), key="k")
    cluster.submit("bob", job("c"))
    cluster.run(3)
    cluster.cancel("c")
    cluster.restart()
    cluster.run()
    with Journal.open(state) as journal:
        journal.next_epoch()
        journal.append(
            [
                Entry(event, getattr(event, "job", None), decision)
                for event, decision in zip(cluster.history, cluster.decisions, strict=True)
            ]
        )
    return cluster


def test_a_whole_journal_is_said_to_be_whole(lived: FakeCluster) -> None:
    result = raysched("verify", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["journal"] == {
        "events": len(lived.history),
        "lives": 2,
        "jobs": 3,
        "users": 2,
        "jobs_open": 0,
        "mended": [],
    }
    assert raysched("verify").stdout.startswith("the journal is whole; events: ")


def test_a_database_that_was_bitten_is_mended_and_said_so(lived: FakeCluster, state: Path) -> None:
    path = state / JOURNAL_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    result = raysched("verify")
    assert result.exit_code == 0
    made_anew = f"made anew from the {len(lived.history)} events of the segments"
    assert made_anew in " ".join(result.stderr.split())
    assert raysched("repair").stdout == "nothing to repair: both copies are whole and equal\n"


def test_a_segment_that_was_bitten_is_named_and_mended(lived: FakeCluster, state: Path) -> None:
    (segment,) = (state / "segments").iterdir()
    with Journal.open(state) as journal:  # so that the damage is not at the end
        journal.next_epoch()
        journal.append([Entry(TimePassed(1e9))])
    whole = segment.read_bytes()
    segment.write_bytes(b"x" + whole[1:])
    mended = json.loads(raysched("repair", "--json").stdout)["journal"]
    assert mended["events"] == len(lived.history) + 1
    assert "segment" in mended["repaired"][0]
    assert raysched("verify").exit_code == 0


def test_a_journal_with_both_copies_bitten_is_named(lived: FakeCluster, state: Path) -> None:
    path = state / JOURNAL_NAME
    for segment in (state / "segments").iterdir():
        segment.unlink()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    before = path.read_bytes()
    result = raysched("verify", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "journal_damaged"
    assert path.read_bytes() == before


def test_the_story_of_a_job_is_its_own_events(lived: FakeCluster) -> None:
    told = raysched("story", "c", "--json").stdout.splitlines()
    kinds = [json.loads(line)["kind"] for line in told]
    assert kinds == ["workflow_submitted", "job_cancel_requested"]
    assert "job_cancel_requested" in raysched("story", "c").stdout
    unknown = raysched("story", "z", "--json")
    assert json.loads(unknown.stdout)["error"]["code"] == "not_found"


def test_an_export_has_every_event_in_order_and_what_was_decided_after_it(
    lived: FakeCluster,
) -> None:
    lines = [json.loads(line) for line in raysched("export").stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lived.history) + 1))
    assert [line["at"] for line in lines] == [event.at for event in lived.history]
    decided = [
        {
            "dispatches": [[*each] for each in decision.dispatches],
            "parking": [*decision.parking],
        }
        for decision in lived.decisions
    ]
    assert [line["decided"] for line in lines] == decided
    assert sum(len(each["dispatches"]) for each in decided) > 3


@pytest.mark.parametrize("verb", [("verify",), ("story", "a"), ("export",)])
def test_where_no_journal_is_none_is_made(verb: tuple[str, ...], state: Path) -> None:
    result = raysched(*verb)
    assert result.exit_code == 2
    assert "There is no journal in" in result.stderr
    assert not state.exists()


def test_the_journal_of_a_running_service_is_said_to_be_in_use(
    lived: FakeCluster, state: Path
) -> None:
    with Journal.open(state):
        result = raysched("verify", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "state_locked"
