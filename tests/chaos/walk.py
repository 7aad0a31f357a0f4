"""Walks a journal line by line and says where it breaks a rule; a part of the checker.

A second, naive reading of the rules in design and ARCHITECTURE.md: sets and dictionaries, every
condition looked at anew for each unit that was sent. It shares nothing with ``raysched.core``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from evidence import Violation

Line = dict[str, Any]


@dataclass
class Job:
    """One submitted job, as far as the journal has been read."""

    id: str
    user: str
    branch: str
    depends_on: list[str]
    state: str = "open"
    cancel_seq: int | None = None
    fingerprint: str | None = None
    chunk_tiles: list[int] = field(default_factory=list)
    accepted: dict[int, str] = field(default_factory=dict)
    is_assembled: bool = False
    published: list[str] = field(default_factory=list)
    troubles: int = 0


@dataclass(frozen=True)
class Run:
    """One dispatch of one unit."""

    id: str
    job: str
    stage: str
    chunk: int
    lane: str
    at: float


class Walk:
    """The journal as far as it has been read, and what was found wrong with it."""

    def __init__(self) -> None:
        self.found: list[Violation] = []
        self.jobs: dict[str, Job] = {}
        self.keys: dict[tuple[str, str], list[str]] = {}
        self.branches: dict[tuple[str, str], list[str]] = {}
        self.live: dict[str, Run] = {}
        self.runs: dict[str, Run] = {}
        self.lanes: set[str] = set()
        self.epoch = self.number = self.seq = 0
        self.at = 0.0
        self.limits: dict[str, Any] = {}
        self.is_paused = False

    def say(self, rule: str, text: str) -> None:
        """Note a violation at the line that is being read."""
        self.found.append(Violation(rule, f"event {self.seq}: {text}"))

    def read(self, journal: list[Line]) -> None:
        """Read all lines."""
        for line in journal:
            if line["seq"] != self.seq + 1:
                self.say("journal", f"the next one is {line['seq']}")
            if line["at"] < self.at:
                self.say("journal", f"time goes back to {line['at']}")
            self.seq, self.at = line["seq"], line["at"]
            take = getattr(self, f"_{line['kind']}", None)
            if take is not None:
                take(line["body"])
            elif "run" in line["body"]:
                self._end_of(line["body"]["run"])
            decided = line.get("decided") or {}
            for job, stage, chunk, lane in decided.get("dispatches", ()):
                self._dispatched(job, stage, chunk, lane)

    # --- what people and the operator ask for ---------------------------------------------------

    def _scheduler_started(self, body: Line) -> None:
        if body["epoch"] != self.epoch + 1:
            self.say("single writer", f"epoch {body['epoch']} follows {self.epoch}")
        self.epoch = body["epoch"]
        self.limits = body.get("limits") or self.limits
        self.live.clear()
        self.lanes.clear()
        for job in self.jobs.values():
            self._settle(job)

    def _workflow_submitted(self, body: Line) -> None:
        asked = (body["user"], body["key"])
        self.keys.setdefault(asked, []).append(body["workflow"])
        if len(self.keys[asked]) > 1:
            self.say("one workflow a key", f"{asked} is {self.keys[asked]}")
        for spec in body["jobs"]:
            if spec["job"] in self.jobs:
                self.say("one state a job", f"{spec['job']} is submitted again")
            self.jobs[spec["job"]] = Job(
                spec["job"], body["user"], spec["branch"], list(spec["depends_on"])
            )
            self.branches.setdefault((body["user"], spec["branch"]), []).append(spec["job"])

    def _job_cancel_requested(self, body: Line) -> None:
        if job := self.jobs.get(body["job"]):
            self._cancel(job, body["user"])
        else:
            self.say("one state a job", f"{body['job']} is cancelled and was never submitted")

    def _all_cancel_requested(self, body: Line) -> None:
        for job in self.jobs.values():
            if job.user == body["user"]:
                self._cancel(job, body["user"])

    def _cancel(self, job: Job, user: str) -> None:
        if job.user != user:
            self.say("users apart", f"{user} cancels {job.id} of {job.user}")
        if job.state == "open" and job.cancel_seq is None:
            job.cancel_seq = self.seq
            self._settle(job)

    def _job_retry_requested(self, body: Line) -> None:
        self.jobs[body["job"]].state = "open"

    def _cluster_paused(self, _: Line) -> None:
        self.is_paused = True

    def _cluster_resumed(self, _: Line) -> None:
        self.is_paused = False

    # --- reports --------------------------------------------------------------------------------

    def _lane_opened(self, body: Line) -> None:
        self.lanes.add(body["lane"])

    def _lane_lost(self, body: Line) -> None:
        self.lanes.discard(body["lane"])
        for run in [run for run in self.live.values() if run.lane == body["lane"]]:
            self._end_of(run.id)

    def _slide_planned(self, body: Line) -> None:
        if job := self._end_of(body["run"]):
            plan = body["plan"]
            if job.fingerprint != plan["fingerprint"]:
                job.accepted.clear()
            job.fingerprint, job.chunk_tiles = plan["fingerprint"], list(plan["chunk_tiles"])

    def _chunk_finished(self, body: Line) -> None:
        run = self.runs.get(body["run"])
        job = self._end_of(body["run"])
        if job is None or run is None:
            return
        if run.chunk in job.accepted:
            self.say("each tile once", f"chunk {run.chunk} of {job.id} is accepted again")
        job.accepted[run.chunk] = body["checksum"]

    def _chunks_missed(self, body: Line) -> None:
        if job := self._end_of(body["run"]):
            for chunk in body["chunks"]:
                job.accepted.pop(chunk, None)

    def _result_assembled(self, body: Line) -> None:
        if job := self._end_of(body["run"]):
            job.is_assembled = True

    def _result_published(self, body: Line) -> None:
        job = self._end_of(body["run"])
        if job is None:
            return
        job.published.append(body["checksum"])
        if len(job.published) > 1:
            self.say("one publication", f"{job.id} is published again")
        if job.cancel_seq is None:
            job.state = "succeeded"

    def _run_failed(self, body: Line) -> None:
        self._trouble(body)

    def _run_lost(self, body: Line) -> None:
        self._trouble(body)

    def _trouble(self, body: Line) -> None:
        if job := self._end_of(body["run"]):
            job.troubles += 1

    def _end_of(self, name: str) -> Job | None:
        """The job whose run ends; None and a violation if no such run is in flight."""
        run = self.live.pop(name, None)
        if run is None:
            self.say("stale reports", f"run {name} is not in flight")
            return None
        job = self.jobs[run.job]
        self._settle(job)
        return job

    def _settle(self, job: Job) -> None:
        """A cancelled job has ended when nothing of it is in flight."""
        in_flight = any(run.job == job.id for run in self.live.values())
        if job.state == "open" and job.cancel_seq is not None and not in_flight:
            job.state = "cancelled"

    # --- what was sent ----------------------------------------------------------------------------

    def _dispatched(self, name: str, stage: str, chunk: int, lane: str) -> None:
        self.number += 1
        run = Run(f"{self.epoch}-{self.number}", name, stage, chunk, lane, self.at)
        job = self.jobs.get(name)
        if job is None:
            self.say("one state a job", f"{name} runs and was never submitted")
            return
        self._check_allowed(job, run)
        self._check_order(job)
        self._check_stage(job, run)
        self._check_lane(run)
        self.live[run.id] = self.runs[run.id] = run
        self._check_caps()

    def _check_allowed(self, job: Job, run: Run) -> None:
        if job.cancel_seq is not None:
            self.say("cancel holds", f"{run} starts; the cancel was event {job.cancel_seq}")
        elif job.state != "open":
            self.say("final states", f"{run} starts of a job that has {job.state}")
        if self.is_paused:
            self.say("pause holds", f"{run} starts")

    def _check_order(self, job: Job) -> None:
        line = self.branches[job.user, job.branch]
        for earlier in line[: line.index(job.id)]:
            if self.jobs[earlier].state == "open" and not self.jobs[earlier].troubles:
                self.say("branch order", f"{job.id} runs while {earlier} before it is open")
        for needed in job.depends_on:
            if self.jobs[needed].state != "succeeded":
                self.say("DAG order", f"{job.id} runs while {needed} has not succeeded")

    def _check_stage(self, job: Job, run: Run) -> None:
        others = [each for each in self.live.values() if each.job == job.id]
        if run.stage == "segment":
            if run.chunk in job.accepted:
                self.say("each tile once", f"{run} is sent again after its receipt")
            if not 0 <= run.chunk < len(job.chunk_tiles):
                self.say("each tile once", f"{run} is no chunk of the plan")
            if any(each.chunk == run.chunk for each in others):
                self.say("each tile once", f"{run} is in flight twice")
            return
        if others:
            self.say("stages in order", f"{run} starts beside {others}")
        if run.stage == "assemble" and set(job.accepted) != set(range(len(job.chunk_tiles))):
            self.say("stages in order", f"{run} starts with {len(job.accepted)} chunks done")
        if run.stage == "publish" and not job.is_assembled:
            self.say("stages in order", f"{run} starts with nothing to publish")

    def _check_lane(self, run: Run) -> None:
        if run.lane not in self.lanes:
            self.say("caps", f"{run} goes to a lane that is not open")
        if any(each.lane == run.lane for each in self.live.values()):
            self.say("caps", f"{run} goes to a lane that is busy")

    def _check_caps(self) -> None:
        jobs = {run.job for run in self.live.values()}
        users = Counter(self.jobs[job].user for job in jobs)
        for held, limit in ((jobs, "max_running_jobs"), (users, "max_active_users")):
            most = self.limits.get(limit)
            if most is not None and len(held) > most:
                self.say("caps", f"{len(held)} of {limit} {most}: {sorted(held)}")
