"""``scripts/soak``: users work while parts of the cluster are killed at random; then the checker.

Prints a table as Markdown: what was killed, how often, what was lost, how soon it went on.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checker import check
from clients import History, User, make_users
from evidence import Evidence, Violation, read_litter, read_results
from small_slides import NAMES, make_slides, undisturbed
from standing import RESTARTS, Settings, Standing, Target, pause, standing, until
from walk import Walk

from raysched.cli.ending import to_the_end

WEIGHTS = {
    Target.WORKER: 30,
    Target.SCHEDULER: 20,
    Target.RAYLET: 14,
    Target.REPLICA: 12,
    Target.PROXY: 9,
    Target.CONTROLLER: 9,
    Target.GCS: 3,
    Target.HEAD: 3,
}
SUBMITTED_BY = 0.85
"""Of the time: then the last workflow is there."""
FIND_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What is to happen."""

    kills: int = 100
    minutes: float = 20.0
    jobs: int = 30
    side_px: int = 3300
    users: tuple[str, ...] = ("ann", "bob", "cat")
    seed: int = 0
    with_restarts: bool = True


@dataclass(frozen=True)
class Kill:
    """One process, and all that goes with it, was killed at that time."""

    target: Target
    at: float


@dataclass
class Report:
    """What came of it."""

    kills: list[Kill] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    work_s: dict[Target, list[float]] = field(default_factory=dict)
    answer_s: dict[Target, list[float]] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)
    seconds: float = 0.0
    requests: int = 0


def soak(plan: Plan, folder: Path, say: Callable[[str], None]) -> Report:
    """Let the users work, kill, and look at what is left. Raises ``AssertionError`` when something
    does not go on at all."""
    begun, load = time.monotonic(), os.getloadavg()[0]
    make_slides(folder / "slides", plan.side_px)
    checksums = {name: undisturbed(folder / "slides" / name) for name in NAMES}
    settings = Settings(engine="classical")
    with standing(folder, folder / "slides", settings) as cluster, ExitStack() as watching:
        history = History(cluster.folder / "history.jsonl")
        users = make_users(cluster, history, *plan.users)
        for user in users:
            watching.enter_context(user.watching())
        with ThreadPoolExecutor(len(users)) as threads:
            until_at = time.monotonic() + 60 * plan.minutes
            work = [
                threads.submit(_work, user, plan, number, until_at)
                for number, user in enumerate(users)
            ]
            kills = _kill_at_random(cluster, plan, until_at, say)
            asked = {job: slide for each in work for job, slide in each.result().items()}
        say("no more kills: waiting for the last jobs")
        for user in users:
            until(lambda user=user: user.jobs.keys() >= _own(user, history), "all jobs listed")
            user.until_ended()
        cluster.until_ready()
        left_over = cluster.stop()
    report = Report(kills, left_over=left_over, load=(load, os.getloadavg()[0]))
    journal = cluster.journal()
    results = read_results(cluster.state / "results")
    expected = {job: checksums[slide] for job, slide in asked.items()}
    litter = read_litter(cluster.state / "results", [each.folder for each in results])
    report.violations = check(Evidence(history.calls, journal, results, expected, litter))
    _measure(report, journal, history)
    for user in users:
        for view in user.jobs.values():
            report.states[view["state"]] = report.states.get(view["state"], 0) + 1
    report.seconds, report.requests = time.monotonic() - begun, len(history.calls)
    return report


def _own(user: User, history: History) -> set[str]:
    """The jobs that a user's submissions were acknowledged with."""
    calls = [call for call in history.calls if call.user == user.name and call.verb == "submit"]
    return {job for call in calls if call.is_acknowledged for job in call.answer["jobs"]}


def _work(user: User, plan: Plan, number: int, until_at: float) -> dict[str, str]:
    """One user's day: workflows of one to three jobs, now and then a cancel; job to slide."""
    dice = random.Random(f"{plan.seed}-{user.name}")
    mine = plan.jobs // len(plan.users) + (number < plan.jobs % len(plan.users))
    gap_s = 60 * plan.minutes * SUBMITTED_BY / max(1, mine)
    asked: dict[str, str] = {}
    while len(asked) < mine:
        size = min(dice.randint(1, 3), mine - len(asked))
        slides = [dice.choice(NAMES) for _ in range(size)]
        jobs = [_job(slide, f"j{place}", dice) for place, slide in enumerate(slides)]
        if size > 1 and dice.random() < 0.5:
            jobs[-1]["depends_on"] = ["j0"]
        ids = user.submit(f"{user.name}-{len(asked)}", *jobs)
        asked.update(zip(ids, slides, strict=True))
        if dice.random() < 0.15:
            user.cancel(ids[-1])
        user.peek("job-nobody-1")
        pause(max(0.0, min(size * gap_s * dice.uniform(0.5, 1.5), until_at - time.monotonic())))
    return asked


def _job(slide: str, name: str, dice: random.Random) -> dict[str, Any]:
    branch = dice.choice(("main", "main", "second"))
    tiles = {"tile_px": 256, "chunk_tiles": dice.choice((1, 1, 2))}
    return {"slide": slide, "name": name, "branch": branch, **tiles}


def _kill_at_random(
    cluster: Standing, plan: Plan, until_at: float, say: Callable[[str], None]
) -> list[Kill]:
    """The kills, at random times: as many are left as the time that is left allows."""
    dice = random.Random(plan.seed)
    targets = [target for target in WEIGHTS if plan.with_restarts or target not in RESTARTS]
    weights = [WEIGHTS[target] for target in targets]
    kills: list[Kill] = []
    while len(kills) < plan.kills:
        left_s = max(0.0, until_at - time.monotonic())
        pause(left_s / (plan.kills - len(kills)) * dice.uniform(0.3, 1.5))
        (target,) = dice.choices(targets, weights)
        at = _kill(cluster, target, dice)
        if at is not None:
            kills.append(Kill(target, at))
            say(f"{len(kills)}/{plan.kills}: {target}")
    return kills


def _kill(cluster: Standing, target: Target, dice: random.Random) -> float | None:
    """Kill one of the target's processes, and do what an operator would do then; when it was.
    None: there was none to be killed for a while."""
    deadline = time.monotonic() + FIND_S
    while not (found := cluster.find(target)):
        if time.monotonic() > deadline:
            return None
        pause(0.02)
    at = time.time()
    if target in RESTARTS:
        cluster.kill(target)
        cluster.crash(head_alone=target is Target.HEAD)
        cluster.start_until_answering()
        return at
    cluster.kill(target, dice.choice(sorted(found)))
    if target is Target.RAYLET:
        cluster.add_node()
    return at


# --- what it comes to -----------------------------------------------------------------------------


def _measure(report: Report, journal: list[dict[str, Any]], history: History) -> None:
    """From each kill to the first chunk that was sent after it and is accepted, where there was
    work; and to the first answer to a question that was put after it."""
    walk = Walk()
    walk.read(journal)
    accepted = sorted(
        (line["at"], walk.runs[line["body"]["run"]].at)
        for line in journal
        if line["kind"] == "chunk_finished" and line["body"]["run"] in walk.runs
    )
    for number, kill in enumerate(report.kills):
        later = report.kills[number + 1].at if number + 1 < len(report.kills) else float("inf")
        done = [at for at, sent in accepted if sent > kill.at]
        if done and done[0] < later:  # else there was no work, or the next kill came first
            report.work_s.setdefault(kill.target, []).append(done[0] - kill.at)
        answered = [
            call.answered
            for call in history.calls
            if call.verb == "list" and call.is_acknowledged and call.sent > kill.at
        ]
        if answered:  # else the users had left by then
            report.answer_s.setdefault(kill.target, []).append(min(answered) - kill.at)


def table(report: Report) -> str:
    """The report as Markdown."""
    rows = [
        "| killed (SIGKILL) | times | lost | next chunk, p50 / p99 | next answer, p50 / p99 |",
        "|---|---:|---:|---:|---:|",
    ]
    lost = len(report.violations)
    for target in Target:
        times = sum(kill.target is target for kill in report.kills)
        work, answer = report.work_s.get(target, []), report.answer_s.get(target, [])
        rows.append(f"| {target} | {times} | {lost and '?'} | {_both(work)} | {_both(answer)} |")
    jobs = ", ".join(f"{number} {state}" for state, number in sorted(report.states.items()))
    told = (
        f"{len(report.kills)} kills in {report.seconds / 60:.1f} minutes; jobs: {jobs}; "
        f"{report.requests} requests; broken promises: {lost}; left over: {len(report.left_over)}; "
        f"load {report.load[0]:.1f} at the start, {report.load[1]:.1f} at the end of "
        f"{os.cpu_count()} CPUs."
    )
    return "\n".join([*rows, "", told])


def _both(seconds: Sequence[float]) -> str:
    """Median and 99th percentile, by nearest rank, of so many."""
    if not seconds:
        return "-"
    ranked = sorted(seconds)
    middle, most = (ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.5, 0.99))
    return f"{middle:.1f} / {most:.1f} s (n={len(ranked)})"


def main() -> None:
    """Exit 1 if a promise was broken or something is left over."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=Plan.kills)
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--jobs", type=int, default=Plan.jobs)
    parser.add_argument("--side-px", type=int, default=Plan.side_px, help="height of the slides")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--no-restarts", action="store_true", help="neither GCS nor head")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run")
    asked = parser.parse_args()
    plan = Plan(
        asked.kills,
        asked.minutes,
        asked.jobs,
        asked.side_px,
        seed=asked.seed,
        with_restarts=not asked.no_restarts,
    )
    folder = Path(tempfile.mkdtemp(prefix="raysched-soak-"))
    report = soak(plan, folder, lambda text: print(text, file=sys.stderr, flush=True))
    print(table(report))
    for violation in report.violations:
        print(f"BROKEN {violation.rule}: {violation.text}")
    for what in report.left_over:
        print(f"LEFT OVER {what}")
    is_bad = bool(report.violations or report.left_over)
    if is_bad or asked.keep:
        print(f"state, history and logs: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    sys.exit(is_bad)


if __name__ == "__main__":
    to_the_end(main)
