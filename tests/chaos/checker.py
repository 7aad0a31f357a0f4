"""The independent checker: clients' histories, journal and results against the promises.

It imports nothing of raysched, and says what is broken rather than raising at the first.
``RULES`` names each rule, the invariants of the design that it covers, and how they are seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from evidence import Call, Evidence, Violation
from walk import Job, Walk

RULES = {
    "nothing lost": "I1: what was acknowledged is in the journal and in every later listing",
    "one state a job": "I1: a job is submitted once, listed once, and ends as the journal says",
    "one workflow a key": "I2: all answers to a user's key name one workflow, submitted once",
    "stale reports": "I3: the journal takes no report of a run that is not in flight",
    "branch order": "I4, I7: no unit of a job runs while an earlier one of its branch is open",
    "DAG order": "I5: no unit of a job runs before all that it depends on has succeeded",
    "caps": "I6: lanes do one unit at a time; jobs and users at work are within the limits",
    "failures stay local": "I8: what failed has failed itself, what is skipped follows such a job",
    "final states": "I9: no unit of an ended job runs; no view of it changes any more",
    "progress": "I9: tiles, chunks and attempts that somebody saw never become fewer",
    "one publication": "I10: one publication in the journal, one results folder, of that job",
    "stages in order": "I10: assembled from all chunks, published from what was assembled",
    "journal": "I11: numbers without a gap, time that does not go back",
    "single writer": "I12: each life has the next epoch",
    "users apart": "I13: nobody is shown, or changes, what is another's",
    "cancel holds": "I14: after the acknowledgement nothing of the job starts or succeeds",
    "pause holds": "I17: while paused nothing starts",
    "each tile once": "each chunk of the plan is accepted once, and published as it was accepted",
    "sums": "the receipts' sums are the manifest's",
    "checksum": "what is published equals what an undisturbed run gives",
    "clean": "no temporary file and no staging folder of a published job is left",
}
FINAL = ("succeeded", "failed", "cancelled", "skipped")
GROWING = ("attempt", "tiles_done", "chunks_done")
"""Not the cells: those at seams are counted by both tiles until the result is assembled."""


def check(evidence: Evidence) -> list[Violation]:
    """All that is wrong."""
    walk = Walk()
    walk.read(evidence.journal)
    found = [
        *walk.found,
        *_submissions(evidence, walk),
        *_listings(evidence),
        *_histories(evidence),
        *_cancels(evidence, walk),
        *_strangers(evidence, walk),
        *_endings(evidence, walk),
        *_results(evidence, walk),
        *(Violation("clean", path) for path in evidence.litter),
    ]
    unknown = {violation.rule for violation in found} - RULES.keys()
    assert not unknown, f"rules without a meaning: {unknown}"
    return found


# --- clients ------------------------------------------------------------------------------------


def _submissions(evidence: Evidence, walk: Walk) -> Iterator[Violation]:
    named: dict[tuple[str, str], set[str]] = {}
    for call in evidence.calls:
        if call.verb != "submit" or not call.is_acknowledged:
            continue
        workflow = call.answer["workflow"]
        named.setdefault((call.user, call.about), set()).add(workflow)
        if workflow not in walk.keys.get((call.user, call.about), ()):
            yield Violation("nothing lost", f"{workflow} was acknowledged; the journal has it not")
        for job in call.answer["jobs"]:
            if job not in walk.jobs:
                yield Violation("nothing lost", f"{job} was acknowledged; the journal has it not")
    for asked, workflows in named.items():
        if len(workflows) > 1:
            yield Violation("one workflow a key", f"{asked} was answered with {sorted(workflows)}")


def _listings(evidence: Evidence) -> Iterator[Violation]:
    """Whoever lists after an acknowledgement sees it, once."""
    known: dict[str, list[tuple[float, str]]] = {}
    for call in evidence.calls:
        if call.verb == "submit" and call.is_acknowledged:
            known.setdefault(call.user, []).extend(
                (call.answered, job) for job in call.answer["jobs"]
            )
        if call.verb == "list" and call.is_acknowledged:
            shown = [view["id"] for view in call.answer]
            if len(set(shown)) < len(shown):
                yield Violation("one state a job", f"{call.user} is shown a job twice: {shown}")
            for at, job in known.get(call.user, ()):
                if at < call.sent and job not in shown:
                    text = f"{job}, acknowledged at {at}, is not in the list asked at {call.sent}"
                    yield Violation("nothing lost", text)


def _views(evidence: Evidence) -> dict[str, list[tuple[Call, dict[str, Any]]]]:
    """Of each job, all views that anybody was shown."""
    views: dict[str, list[tuple[Call, dict[str, Any]]]] = {}
    for call in evidence.calls:
        if call.verb == "list" and call.is_acknowledged:
            for view in call.answer:
                views.setdefault(view["id"], []).append((call, view))
    return views


def _histories(evidence: Evidence) -> Iterator[Violation]:
    """What was answered before a question was put is the past of its answer."""
    for job, seen in _views(evidence).items():
        seen.sort(key=lambda each: each[0].answered)
        for (first, before), (second, after) in pairwise(seen):
            if second.sent < first.answered:
                continue  # they were under way at once: either may be the older one
            if before["state"] in FINAL and before != after:
                yield Violation("final states", f"{job} was {before} and is {after}")
            for name in GROWING:
                if after[name] < before[name]:
                    text = f"{name} of {job} goes from {before[name]} to {after[name]}"
                    yield Violation("progress", text)


def _cancels(evidence: Evidence, walk: Walk) -> Iterator[Violation]:
    done = [call for call in evidence.calls if call.verb == "cancel" and call.is_acknowledged]
    views = _views(evidence)
    for call in done:
        job = call.about
        if job not in walk.jobs or walk.jobs[job].cancel_seq is None:
            yield Violation("nothing lost", f"the cancel of {job} was acknowledged and is gone")
        for run in walk.runs.values():
            if run.job == job and run.at > call.answered:
                yield Violation("cancel holds", f"{run} starts after {call.answered}")
        for later, view in views.get(job, ()):
            if later.sent > call.answered and view["state"] not in ("cancelling", "cancelled"):
                text = f"{job} is {view['state']} after its cancel was acknowledged"
                yield Violation("cancel holds", text)


def _strangers(evidence: Evidence, walk: Walk) -> Iterator[Violation]:
    owners = {job.id: job.user for job in walk.jobs.values()}
    for call in evidence.calls:
        if call.verb == "list" and call.is_acknowledged:
            for view in call.answer:
                if owners.get(view["id"], call.user) != call.user:
                    yield Violation("users apart", f"{call.user} is shown {view['id']}")
        if call.verb == "peek" and call.is_acknowledged:
            yield Violation("users apart", f"{call.user} may look at {call.about}")


# --- ends -----------------------------------------------------------------------------------------


def _endings(evidence: Evidence, walk: Walk) -> Iterator[Violation]:
    """The last that anybody saw of a job is how the journal leaves it."""
    last = {job: max(seen, key=lambda each: each[0].sent) for job, seen in _views(evidence).items()}
    states = {job: view["state"] for job, (_, view) in last.items()}
    for name, (_, view) in last.items():
        job = walk.jobs.get(name)
        if job is None:
            continue
        state = view["state"]
        if state == "failed" and not job.troubles:
            yield Violation("failures stay local", f"{name} failed, and none of its runs did")
        elif state == "skipped" and not _has_bad_prerequisite(job, walk, states):
            yield Violation(
                "failures stay local", f"{name} is skipped, and nothing before it failed"
            )
        elif state in ("succeeded", "cancelled") and job.state != state:
            yield Violation("one state a job", f"{name} is {state}; the journal says {job.state}")
        if job.state in ("succeeded", "cancelled") and state not in FINAL:
            yield Violation("one state a job", f"{name} is {state}; the journal says {job.state}")
        if state == "succeeded" and view["checksum"] not in job.published:
            yield Violation("one publication", f"{name} shows {view['checksum']}")


def _has_bad_prerequisite(job: Job, walk: Walk, states: dict[str, str]) -> bool:
    line = walk.branches[job.user, job.branch]
    before = [*line[: line.index(job.id)], *job.depends_on]
    return any(states.get(each) in ("failed", "cancelled", "skipped") for each in before)


# --- results --------------------------------------------------------------------------------------


def _results(evidence: Evidence, walk: Walk) -> Iterator[Violation]:
    found: dict[str, int] = {}
    for result in evidence.results:
        name = result.manifest["job"]
        found[name] = found.get(name, 0) + 1
        if name != result.folder:
            yield Violation("one publication", f"{result.folder} holds the result of {name}")
        job = walk.jobs.get(name)
        if job is None:
            yield Violation("one publication", f"{name} has a result and is in no journal")
            continue
        yield from _result(result.manifest, result.receipts, job)
        expected = evidence.expected.get(name)
        if expected and result.manifest["checksum"] != expected:
            text = f"{name} has {result.manifest['checksum']}, undisturbed it is {expected}"
            yield Violation("checksum", text)
    for job in walk.jobs.values():
        there = found.get(job.id, 0)
        if there > 1 or (job.state == "succeeded" and not there):
            yield Violation("one publication", f"{job.id} {job.state} and has {there} results")


def _result(manifest: dict[str, Any], receipts: list[Any], job: Job) -> Iterator[Violation]:
    name, counts = job.id, manifest["counts"]
    if job.state == "succeeded" and job.published != [manifest["checksum"]]:
        yield Violation("one publication", f"{name} was published as {job.published}")
    chunks = [receipt["chunk"] for receipt in receipts]
    if chunks != list(range(len(manifest["chunk_tiles"]))):
        yield Violation("each tile once", f"{name} has receipts of the chunks {chunks}")
    if list(manifest["chunk_tiles"]) != job.chunk_tiles:
        yield Violation("each tile once", f"{name} has other chunks than its plan")
    for receipt in receipts:
        chunk = receipt["chunk"]
        if job.accepted.get(chunk) != receipt["checksum"]:
            yield Violation("each tile once", f"chunk {chunk} of {name} is not the accepted one")
        if receipt["fingerprint"] != manifest["fingerprint"]:
            yield Violation("each tile once", f"chunk {chunk} of {name} is of another plan")
        if len(receipt["tile_cells"]) != receipt["tiles"]:
            yield Violation("sums", f"chunk {chunk} of {name}: tiles {receipt['tiles']}")
        if sum(receipt["tile_cells"]) != receipt["cells"]:
            yield Violation("sums", f"chunk {chunk} of {name}: cells {receipt['cells']}")
    sums = {
        "tissue_tiles": sum(receipt["tiles"] for receipt in receipts),
        "cells_reported": sum(receipt["cells"] for receipt in receipts),
    }
    for what, number in sums.items():
        if counts[what] != number:
            yield Violation("sums", f"{name}: {what} {counts[what]}, in receipts {number}")
    holes = sorted(tile for receipt in receipts for tile, _ in receipt["tiles_failed"])
    if sorted(hole["tile"] for hole in counts["tiles_failed"]) != holes:
        yield Violation("sums", f"{name}: holes {counts['tiles_failed']}, in receipts {holes}")
