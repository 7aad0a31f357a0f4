"""The checker finds each kind of broken promise, and nothing where all are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checker import RULES, check
from evidence import Evidence, read_litter
from good_history import Lines, call, good, result, spec, view

Change = Callable[[Evidence], Any]


def send(event: int, *dispatch: object) -> Change:
    """One more unit is sent after an event."""
    return lambda seen: seen.journal[event - 1]["decided"]["dispatches"].append([*dispatch])


def set_body(event: int, **facts: object) -> Change:
    """An event says otherwise."""
    return lambda seen: seen.journal[event - 1]["body"].update(facts)


def append(*events: Callable[[Lines], object]) -> Change:
    """More happens at the end."""

    def change(seen: Evidence) -> None:
        lines = Lines()
        lines.lines = seen.journal
        for event in events:
            event(lines)

    return change


def drop_event(event: int) -> Change:
    """An event is gone, and nobody can tell by the numbers."""

    def change(seen: Evidence) -> None:
        del seen.journal[event - 1]
        for seq, line in enumerate(seen.journal, 1):
            line["seq"] = seq

    return change


def show(user: str, sent: float, *views: dict[str, Any]) -> Change:
    """Somebody is shown something more."""
    return lambda seen: seen.calls.append(call(user, "list", "", sent, 200, [*views]))


def set_view(number: int, job: str, **facts: object) -> Change:
    """One answered list says otherwise of a job."""

    def change(seen: Evidence) -> None:
        (shown,) = [each for each in seen.calls[number].answer if each["id"] == job]
        shown.update(facts)

    return change


def set_receipt(chunk: int, **facts: object) -> Change:
    """A receipt of a1 says otherwise."""
    return lambda seen: seen.results[0].receipts[chunk].update(facts)


def set_manifest(**facts: object) -> Change:
    """The manifest of a1 says otherwise."""
    return lambda seen: seen.results[0].manifest.update(facts)


A1 = ("a1", "segment", 1, "l0")
BROKEN: list[tuple[str, str, Change]] = [
    ("nothing lost", "a submission is in no journal", drop_event(5)),
    ("nothing lost", "a list leaves out a job", lambda seen: seen.calls[-1].answer.pop()),
    ("nothing lost", "a cancel is in no journal", drop_event(9)),
    ("one state a job", "a job is listed twice", show("ann", 40, *[view("a1", "failed")] * 2)),
    ("one state a job", "a view and the journal differ", set_view(-2, "b1", state="waiting")),
    (
        "one state a job",
        "a job is submitted again",
        append(lambda lines: lines.submit("ann", "other", spec("a1"), sent=[])),
    ),
    ("one state a job", "a job nobody asked for runs", send(12, "zz", "plan", 0, "l1")),
    (
        "one workflow a key",
        "a repeat is answered with another workflow",
        lambda seen: seen.calls[3].answer.update(workflow="w-other"),
    ),
    (
        "one workflow a key",
        "a key is submitted twice",
        append(lambda lines: lines.submit("bob", "k", spec("b2"), sent=[])),
    ),
    (
        "stale reports",
        "a run reports twice",
        append(lambda lines: lines.say("run_stopped", run="2-12")),
    ),
    ("stale reports", "a run of an earlier life reports", set_body(13, run="1-5")),
    ("branch order", "a job overtakes", send(12, "a2", "plan", 0, "l1")),
    ("DAG order", "a job does not wait", send(12, "a3", "plan", 0, "l1")),
    ("caps", "a lane has two units", send(5, "a3", "plan", 0, "l0")),
    ("caps", "a lane that is gone has work", send(10, *A1)),
    ("caps", "more jobs at work than may be", send(15, "a1", "plan", 0, "l9")),
    (
        "failures stay local",
        "a job fails by itself",
        lambda seen: seen.journal[15].update(kind="run_stopped"),
    ),
    ("failures stay local", "a job is skipped for nothing", set_view(-1, "a3", state="waiting")),
    ("final states", "an ended job runs", send(21, "a1", "plan", 0, "l0")),
    ("final states", "a view of an ended job changes", set_view(-1, "a1", checksum="two")),
    ("progress", "chunks are lost from view", set_view(7, "a1", chunks_done=0)),
    ("progress", "an attempt goes back", set_view(4, "a1", attempt=2)),
    (
        "one publication",
        "a job publishes twice",
        append(
            lambda lines: lines.say("run_lost", ("a1", "publish", 0, "l0"), run="2-12"),
            lambda lines: lines.say("result_published", run="2-13", checksum="one"),
        ),
    ),
    (
        "one publication",
        "there are two results of a job",
        lambda seen: seen.results.append(result("a2", "two")),
    ),
    ("one publication", "a result is missing", lambda seen: seen.results.pop()),
    ("one publication", "a result is of nobody", lambda seen: seen.results.append(result("z", ""))),
    ("one publication", "a view shows another one", set_body(15, checksum="three")),
    ("stages in order", "assembled before all is there", send(11, "a1", "assemble", 0, "l1")),
    ("stages in order", "published unassembled", send(11, "a1", "publish", 0, "l1")),
    ("journal", "a number is left out", lambda seen: seen.journal.pop(3)),
    ("journal", "time goes back", lambda seen: seen.journal[7].update(at=2.0)),
    ("single writer", "an epoch comes again", set_body(10, epoch=1)),
    ("users apart", "somebody is shown another's", show("bob", 29, view("a1", "succeeded"))),
    (
        "users apart",
        "somebody may look",
        lambda seen: seen.calls.append(call("bob", "peek", "a1", 40, 200, "succeeded")),
    ),
    ("users apart", "somebody cancels another's", set_body(9, user="ann")),
    ("cancel holds", "a chunk starts after it", send(9, "b1", "segment", 1, "l0")),
    ("cancel holds", "it is seen at work", set_view(6, "b1", state="segmenting")),
    ("cancel holds", "it is seen to succeed", set_view(-2, "b1", state="succeeded")),
    ("pause holds", "something starts", send(20, "a4", "plan", 0, "l1")),
    ("each tile once", "a chunk is accepted twice", set_body(13, run="1-3")),
    ("each tile once", "a chunk is sent again", send(12, "a1", "segment", 0, "l1")),
    ("each tile once", "a chunk is in two lanes", send(12, "a1", "segment", 1, "l1")),
    ("each tile once", "no such chunk", send(12, "a1", "segment", 7, "l1")),
    ("each tile once", "another chunk than was accepted", set_receipt(0, checksum="c9")),
    ("each tile once", "a chunk of another plan", set_receipt(0, fingerprint="g")),
    ("each tile once", "a receipt is missing", lambda seen: seen.results[0].receipts.pop()),
    ("each tile once", "other chunks than planned", set_manifest(chunk_tiles=[1, 2])),
    ("sums", "a tile is not counted", set_receipt(0, tile_cells=[9])),
    ("sums", "a cell is not counted", set_receipt(0, cells=8)),
    ("sums", "a hole is hidden", set_receipt(0, tiles_failed=[[0, "unreadable"]])),
    ("checksum", "other cells than undisturbed", lambda seen: seen.expected.update(a1="three")),
    ("clean", "a temporary file", lambda seen: seen.litter.append(".manifest.json.x")),
]


def test_nothing_is_found_where_every_promise_is_kept() -> None:
    assert check(good()) == []


@pytest.mark.parametrize(
    ("rule", "change"), [pytest.param(rule, change, id=what) for rule, what, change in BROKEN]
)
def test_a_broken_promise_is_found(rule: str, change: Change) -> None:
    seen = good()
    change(seen)
    found = check(seen)
    assert rule in {violation.rule for violation in found}, found


def test_every_rule_is_seen_broken() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_what_a_published_job_leaves_is_litter_and_the_staging_folder_of_another_is_not(
    tmp_path: Path,
) -> None:
    for name in (".done.done.partial", ".other.other.partial/.x.1", "done/.y.2"):
        (tmp_path / name).mkdir(parents=True)
    assert read_litter(tmp_path, ["done"]) == [".done.done.partial", "done/.y.2"]
