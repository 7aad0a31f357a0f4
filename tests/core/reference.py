"""A naive model of scheduling, to judge the core by.

It imports what events and commands are made of and nothing that decides. ``answer`` says whether an
event must be taken in; ``take`` follows one that was and judges the commands that the core gave for
it; ``compare`` says whether the core's state is the one expected. Which lane and which run id the
core picks is its own business, as long as the lane is idle and the id is new.
"""

from __future__ import annotations

import reference_endings
import reference_lanes
import reference_turns
from reference_endings import is_ending
from reference_facts import POOLS, STAGE, JobFacts, RunFacts, S
from reference_lanes import is_of_lanes
from reference_seen import core_jobs, same, say, seen_jobs
from reference_turns import Turning

from raysched.core.commands import (
    Command,
    ReleaseLane,
    RemoveFiles,
    Retire,
    RunUnit,
    StopRun,
    WakeAt,
)
from raysched.core.events import (
    ChunkFinished,
    ChunksMissed,
    Event,
    JobCancelRequested,
    JobRetryRequested,
    MppAnswered,
    MppMissed,
    ResultAssembled,
    ResultPublished,
    RunFailed,
    RunLost,
    RunStopped,
    SchedulerStarted,
    SlidePlanned,
    TimePassed,
    UserWeighted,
    WorkflowSubmitted,
)
from raysched.core.model import JobState, Stage
from raysched.core.state import State
from raysched.errors import RayschedError

SOMEBODY = "somebody to blame"
"""Where several others keep a job skipped, the core may say which; ``compare`` takes its word."""


class Reference(Turning):
    """Follows what happens, and judges what the core makes of it."""

    def answer(self, event: Event) -> type[RayschedError] | bool:
        """See ``Facts.answer``."""
        if is_of_lanes(event):
            return reference_lanes.is_news(self, event)
        return reference_endings.answer(self, event) if is_ending(event) else super().answer(event)

    # --- what an event does -----------------------------------------------------------------------

    def take(self, event: Event, commands: list[Command]) -> None:
        """Follow an event that was taken in, and judge what the core wants done about it."""
        self.now = max(self.now, event.at)
        self.touched, self.to_stop = [], []
        busy = [run.lane for run in self.runs.values()]
        self._apply(event)
        stops = [command for command in commands if isinstance(command, StopRun)]
        starts = [command for command in commands if isinstance(command, RunUnit)]
        wakes = [command for command in commands if isinstance(command, WakeAt)]
        gone = [command for command in commands if isinstance(command, Retire)]
        removes = [command for command in commands if isinstance(command, RemoveFiles)]
        frees = [command for command in commands if isinstance(command, ReleaseLane)]
        order = [*removes, *frees, *stops, *starts, *wakes, *gone]
        say(order == commands, "order of commands", commands)
        reference_lanes.judge(self, event, busy, frees)
        reference_endings.judge_removals(self, event, removes)
        say(sorted(stop.run for stop in stops) == sorted(self.to_stop), "I14 stops", stops)
        say(all(self.runs[s.run].job.spec.job == s.job for s in stops), "I14 stops of", stops)
        self._cycle(starts)
        asked, self.wake_at = self.wake_at, self._next_wake()
        new = [WakeAt(self.wake_at)] if self.wake_at not in (None, asked) else []
        say(wakes == new, "wake-ups", wakes, new)
        self.note_what_ended()
        retired = {each.workflow.workflow: [job.state for job in each.jobs] for each in gone}
        same("what leaves memory", self.retire(), retired)

    def _apply(self, event: Event) -> None:
        match event:
            case SchedulerStarted():
                self._start(event)
            case WorkflowSubmitted():
                self._submit(event)
            case JobCancelRequested(job=name):
                self.cancel(self.jobs[name])
            case JobRetryRequested(job=name, key=key):
                self.jobs[name].retry_keys += (key,)
                self._retry(self.jobs[name])
            case MppAnswered(job=name, mpp=mpp):
                job = self.jobs[name]
                job.state, job.mpp = S.WAITING, mpp
                self.touched.append(job)
            case UserWeighted(user=user, weight=weight):
                self.weights[user] = weight
            case TimePassed():
                self.wake_at = None
            case _ if is_of_lanes(event):
                reference_lanes.follow(self, event)
            case _ if is_ending(event):
                reference_endings.follow(self, event)
            case _:
                self._report(event)

    def _submit(self, event: WorkflowSubmitted) -> None:
        self.asked[(event.user, event.key)] = event
        last: dict[str, JobFacts] = {}
        jobs = {}
        for spec in event.jobs:
            before = [last[spec.branch]] if spec.branch in last else []
            self.submitted += 1
            job = JobFacts(spec, event.user, self.submitted, before)
            last[spec.branch] = jobs[spec.job] = self.jobs[spec.job] = job
            self.touched.append(job)
        for job in jobs.values():
            needed = [jobs[name] for name in job.spec.depends_on]
            job.leaders = [*needed, *(other for other in job.leaders if other not in needed)]
        for job in jobs.values():
            named = [other for other in jobs.values() if job.spec.job in other.spec.depends_on]
            rest = [other for other in jobs.values() if job in other.leaders]
            job.followers = [*named, *(other for other in rest if other not in named)]

    def cancel(self, job: JobFacts) -> None:
        """End a job, or tell it to stop."""
        self.touched.append(job)
        if self.flights(job):
            job.state = S.CANCELLING
            self._stop(job)
        else:
            self._end(job, S.CANCELLED)
        self._release()

    def _wait(self, job: JobFacts, other: JobFacts) -> None:
        """Another one computes the same."""
        job.state, job.awaits = S.WAITING, other
        self._release()

    def _release(self) -> None:
        """Nobody waits for a job that is not at work any more, or for what is done."""
        for job in self.jobs.values():
            if job.awaits is not None and (not self.is_at_work(job.awaits) or self.is_done(job)):
                job.awaits = None
                self.touched.append(job)

    def _stop(self, job: JobFacts) -> None:
        for name, run in self.runs.items():
            if run.job is job and not run.told:
                run.told = True
                self.to_stop.append(name)

    def _end(self, job: JobFacts, state: JobState) -> None:
        job.state, job.begun, job.will_retry, job.retry_at = state, False, None, None
        job.awaits = None
        self.touched.append(job)
        at = [job]
        if state is S.SUCCEEDED:
            self.note_done(job)
            self.touched += job.followers
            at = []
        while at:  # whatever waits, directly or not, for what will not come
            following = []
            for other in [other for one in at for other in one.followers]:
                if other.state is S.WAITING:
                    other.state, other.begun, other.skipped_by = S.SKIPPED, False, job.spec.job
                    following.append(other)
            self.touched += following
            at = following
        self._release()
        self.note_what_ended()  # a restart may end several, one after another

    def _retry(self, root: JobFacts) -> None:
        revived = self.revived_by(root)
        root.state, root.tries = S.WAITING, 1
        root.begin_attempt()
        self.touched.append(root)
        for other in self._outward(root, revived):
            other.state, other.skipped_by = S.WAITING, None
            self.touched.append(other)
        reference_endings.begin_from_nothing(self, [root, *revived])
        for other in self.jobs.values():
            if other.skipped_by == root.spec.job:
                other.skipped_by = SOMEBODY

    def _outward(self, root: JobFacts, wanted: list[JobFacts]) -> list[JobFacts]:
        """In the order in which one meets them on the way out."""
        found, at = [], [root]
        while at:
            step = []
            for other in [other for one in at for other in one.followers]:
                if other in wanted and other not in found:
                    found.append(other)
                    step.append(other)
            at = step
        return found

    # --- what runs report -------------------------------------------------------------------------

    def _start(self, event: SchedulerStarted) -> None:
        self.epoch, self.limits = event.epoch, event.limits or self.limits
        for name, run in list(self.runs.items()):
            self._close(name, min(self.now - run.at, run.est_s))
        self.lanes, self.closing, self.wake_at = [], [], None
        self.parked.clear()
        too_many = self.slots[self.limits.max_active_users :]
        self.slots = self.slots[: self.limits.max_active_users]
        self.queue = [user for user, _ in too_many] + self.queue
        self.popped = [user for user, _ in reversed(too_many)]

    def _close(self, name: str, seconds: float, is_typical: bool = False) -> bool:
        """End a run and put its cost right. True if its job was coming to rest anyway."""
        job = (run := self.runs.pop(name)).job
        self.touched.append(job)
        late_s = max(0.0, seconds) - run.est_s
        pool = job.spec.pool
        self.users[pool].tags[job.user] += late_s / self.weights.get(job.user, 1.0)
        self.branches[job.user][pool].tags[job.spec.branch] += late_s
        if is_typical:
            if (node := self.node_of[run.lane]) and job.spec.slide:
                self.staged.setdefault(job.spec.slide, set()).add(node)
            kind, rate = (job.spec.kind, run.stage), max(0.0, seconds) / self._size(run)
            known = self.rates.get(kind)
            self.rates[kind] = rate if known is None else known + 0.2 * (rate - known)
        if job.state is not S.CANCELLING and job.will_retry is None:
            return False
        if not self.flights(job):
            self._rest(job)
        return True

    def _size(self, run: RunFacts) -> int:
        if run.stage is not Stage.SEGMENT or run.job.plan is None:
            return 1
        return max(1, run.job.plan.chunk_tiles[run.chunk])

    def _rest(self, job: JobFacts) -> None:
        """Nothing of a cancelled job or a failed attempt is in flight any more."""
        if job.state is S.CANCELLING:
            self._end(job, S.CANCELLED)
        elif job.will_retry:
            doubled = self.limits.retry_backoff_s * 2 ** (job.tries - 1)
            job.state, job.will_retry = S.RETRY_WAITING, None
            job.retry_at = self.now + min(doubled, self.limits.retry_backoff_max_s)
            self._release()
        else:
            self._end(job, S.FAILED)

    def _fail(self, job: JobFacts, retryable: bool) -> None:
        job.will_retry = retryable and job.tries <= self.limits.max_retries
        self._stop(job)
        if not self.flights(job):
            self._rest(job)

    def lose(self, name: str, too_large: bool = False) -> None:
        """A run was lost with its process, or with its lane."""
        run = self.runs[name]
        if self._close(name, self.now - run.at):
            return
        unit = (run.stage, run.chunk)
        run.job.too_large += [unit] * too_large
        run.job.losses.append(unit)
        if run.job.losses.count(unit) > self.limits.max_losses_per_unit:
            self._fail(run.job, True)

    def _report(self, event: Event) -> None:
        run = self.runs[event.run]
        match event:
            case RunLost():
                self.lose(event.run, event.too_large)
            case RunStopped():
                if run.told:
                    self._close(event.run, event.seconds)
                else:
                    self.lose(event.run)
            case RunFailed():
                if not self._close(event.run, event.seconds):
                    self._fail(run.job, event.retryable)
            case MppMissed():
                if not self._close(event.run, self.now - run.at):
                    run.job.state = S.NEEDS_MPP
            case _:
                if isinstance(event, ChunkFinished) and run.job.state is S.SEGMENTING:
                    run.job.done[run.chunk] = event  # also when a sibling failed: it is done
                is_typical = not isinstance(event, ChunksMissed)
                if not self._close(event.run, event.seconds, is_typical):
                    self._go_on(run.job, event)

    def _miss(self, job: JobFacts, chunks: tuple[int, ...]) -> None:
        """Storage has lost finished chunks."""
        job.state = S.SEGMENTING
        for chunk in chunks:
            del job.done[chunk]
        job.losses.append((Stage.ASSEMBLE, -1))
        other = self.equal_at_work(job)
        if job.losses.count((Stage.ASSEMBLE, -1)) > self.limits.max_losses_per_unit:
            self._fail(job, True)
        elif other is not None:
            self._wait(job, other)

    def _go_on(self, job: JobFacts, event: Event) -> None:
        """A unit went well, and nobody wants the job to stop."""
        match event:
            case SlidePlanned(plan=plan):
                job.done, job.plan = self.done_of(job, plan), plan
                other = self.equal_at_work(job)
                if self.pending(job) and other is not None:
                    self._wait(job, other)
                else:
                    job.state = S.SEGMENTING if self.pending(job) else S.ASSEMBLING
            case ChunkFinished() if self.has_failed_too_much(job):
                self._fail(job, True)
            case ChunkFinished():
                is_done = not self.pending(job) and not self.flights(job)
                job.state = S.ASSEMBLING if is_done else S.SEGMENTING
            case ChunksMissed(chunks=chunks):
                self._miss(job, chunks)
            case ResultAssembled():
                job.state = S.PUBLISHING
            case ResultPublished():
                job.checksum = event.checksum
                self._end(job, S.SUCCEEDED)

    # --- what can be done now ---------------------------------------------------------------------

    def _cycle(self, starts: list[RunUnit]) -> None:
        due = [j for j in self.open() if j.retry_at is not None and j.retry_at <= self.now]
        for job in sorted(due, key=lambda job: (job.retry_at, job.order)):
            job.state, job.retry_at, job.tries = S.WAITING, None, job.tries + 1
            job.begin_attempt()
            self.touched.append(job)
        everybody = [*self.touched, *self.jobs.values()]
        for user, branch in dict.fromkeys((job.user, job.spec.branch) for job in everybody):
            self.settle_branch(user, branch)
        touched = [job.user for job in self.touched]
        for user in dict.fromkeys([*touched, *self.popped, *self.branches]):
            self.settle_user(user)
        self.popped = []
        self.admit()
        say(not (self.paused and starts), "I17 paused", starts)
        for command in starts:
            self._judge(command, self.choose(self.jobs[command.unit.job].spec.pool))
            self._dispatch(command)
        if self.paused:
            self.parked.clear()
            return
        for pool in POOLS:
            idle = self.idle(pool)
            say(not idle or self.choose(pool) is None, "a lane idles", idle)
            if self.parked.get(pool) not in self.running(pool):
                self.parked[pool] = None

    def _judge(self, command: RunUnit, chosen: JobFacts | None) -> None:
        """A start by the rules, one by one, so that a fault has a name; then whether it is fair."""
        unit = command.unit
        job = self.jobs[unit.job]
        say(command.lane in self.idle(), "I6 the lane is not idle", command)
        say(reference_lanes.is_near(self, job, command.lane), "far from its slide", command)
        say(self.pool_of[command.lane] == job.spec.pool, "I21 a lane of another pool", command)
        say(command.run not in self.runs_ever, "I3 a run id is used again", command)
        say(job is self.head(job.user, job.spec.branch), "I4 not the head of its branch", command)
        say(all(o.state is S.SUCCEEDED for o in job.leaders), "I5 what it follows", command)
        say(self.holds(job.user) and job.user not in self.yielding, "I6 no slot", command)
        cap = {*(j.order for j in self.running(job.spec.pool)), job.order}
        say(len(cap) <= self.limits.max_running_jobs, "I6 running jobs", command)
        say(self.has_unit(job), "I14 nothing of it may start", command, job.state)
        chunk = self.pending(job)[0] if job.state is S.SEGMENTING else 0
        want = (job.attempt, STAGE[job.state], chunk)
        say((unit.attempt, unit.stage, unit.chunk) == want, "unit", command, want)
        careful = (unit.stage, unit.chunk) in job.too_large
        asked = (job.spec.kind, job.user, job.spec.request, job.mpp, careful)
        say(command[3:] == asked, "order", command, asked)
        say(job is chosen, "not the fair choice", command, chosen and chosen.spec.job)

    def _dispatch(self, command: RunUnit) -> None:
        job, unit = self.jobs[command.unit.job], command.unit
        if job.state is S.WAITING:
            job.state, job.begun = S.PLANNING, True
        run = RunFacts(job, unit.stage, unit.chunk, command.lane, self.now, 0.0)
        rate = self.rates.get((job.spec.kind, unit.stage), self.limits.first_tile_estimate_s)
        run.est_s = rate * self._size(run)
        pool = job.spec.pool
        self.users[pool].charge(job.user, run.est_s / self.weights.get(job.user, 1.0))
        self.branches[job.user][pool].charge(job.spec.branch, run.est_s)
        self.runs[command.run] = run
        self.runs_ever.add(command.run)
        self.settle_branch(job.user, job.spec.branch)
        self.settle_turn(job.user)

    def _next_wake(self) -> float | None:
        """What time alone will change: the end of a back-off, or of a tenure others wait for."""
        times = [job.retry_at for job in self.open() if job.retry_at is not None]
        if self.queue and self.limits.slot_tenure_s > 0:
            ends = [at + self.limits.slot_tenure_s for _, at in self.slots]
            times += [end for end in ends if end > self.now]
        return min(times, default=None)

    # --- whether the core agrees ------------------------------------------------------------------

    def compare(self, state: State) -> None:
        """Raise what the core has otherwise."""
        for name, job in self.jobs.items():
            there = state.jobs[name].skipped_by
            if job.skipped_by == SOMEBODY and there in self.to_blame(job):
                job.skipped_by = there
        same("jobs", seen_jobs(self.jobs), core_jobs(state))
        same("slots", self.slots, list(state.slots.items()))
        same("queue", self.queue, list(state.queue))
        same("yielding", self.yielding, list(state.yielding))
        reference_lanes.compare(self, state)
        same(
            "runs",
            {n: (r.job.spec.job, r.stage, r.chunk, r.lane, r.told) for n, r in self.runs.items()},
            {n: (r.unit.job, r.unit.stage, r.unit.chunk, r.lane, r.told_to_stop)
             for n, r in state.runs.items()},
        )  # fmt: skip
        reference_turns.compare(self, state)
        rates = {
            (kind, stage): rate
            for kind, by_stage in state.rates.items()
            for stage, rate in by_stage.items()
        }
        same("scalars", (self.epoch, self.now, self.limits, self.rates, self.wake_at),
             (state.epoch, state.now, state.limits, rates, state.wake_at))  # fmt: skip
        same("gates", (self.paused, self.drained),
             (state.paused_at is not None, state.drained_at is not None))  # fmt: skip
        same("removals", self.removals, list(state.removals))
        cleared = [(user, job) for user, known in state.users.items() for job in known.cleared]
        same("cleared", sorted(self.cleared), sorted(cleared))
        done = {user: list(known.done_work) for user, known in state.users.items()}
        same("done work", {user: self.done_work.get(user, []) for user in done}, done)
