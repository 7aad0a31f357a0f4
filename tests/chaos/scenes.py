"""A scene: five jobs of three users, each held in another phase; and what is killed in it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients import History, User, make_users
from small_slides import NAMES
from standing import Standing, Target, until

PHASES = ("waiting", "planning", "segmenting", "publishing", "cancelling", "recovering")
FEW = {"tile_px": 256, "chunk_tiles": 1}
ONE = {"tile_px": 256, "chunk_tiles": 256}
HELD_AT = {
    Target.WORKER: "published",
    Target.SCHEDULER: "published",
    Target.RAYLET: "assemble",
    Target.HEAD: "published",
    Target.GCS: "publish",
}
"""Where the job that publishes is held; else before the rename."""
PASSED = 3


@dataclass
class Scene:
    """Where the jobs are: phase by phase, user and job."""

    jobs: dict[str, tuple[User, str]]
    barriers: dict[str, Path]


@dataclass
class Theatre:
    """The cluster, its users, and what has been killed when."""

    cluster: Standing
    history: History
    users: list[User]
    killed: dict[Target, set[str]] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    number: int = 0

    def job(self, barrier: str = "", **options: Any) -> dict[str, Any]:
        """What is asked for: the slide in small tiles, with a barrier."""
        return {"slide": NAMES[0], "engine": "held", "params": {"barrier": barrier}, **options}

    def set_up(self, held_at: str) -> Scene:
        """Submit the jobs one after another and hold each where it is to be."""
        self.number += 1
        ann, bob, cat = self.users
        name = {phase: f"{phase}-{self.number}" for phase in PHASES}
        hold, jobs, barriers = self.cluster.close_barrier, {}, {}

        hold(name["publishing"], "segment")
        (job,) = bob.submit(
            name["publishing"], self.job(name["publishing"], branch="publishing", **FEW)
        )
        jobs["publishing"], barriers["publishing"] = (bob, job), hold(job, held_at)
        self.cluster.open_barrier(name["publishing"], "segment")
        until(barriers["publishing"].exists, f"{job} at {held_at}")

        barriers["cancelling"] = hold(name["cancelling"], "segment")
        hold(name["cancelling"], "stubborn")
        (job,) = cat.submit(
            name["cancelling"], self.job(name["cancelling"], branch="cancelling", **ONE)
        )
        jobs["cancelling"] = (cat, job)
        until(barriers["cancelling"].exists, f"{job} at its chunk")
        assert cat.cancel(job)
        self.cancelled.add(job)

        barriers["planning"] = hold(name["planning"], "plan")
        (job,) = bob.submit(name["planning"], self.job(name["planning"], branch="planning", **FEW))
        jobs["planning"] = (bob, job)
        until(barriers["planning"].exists, f"{job} at its plan")

        barriers["segmenting"] = hold(name["segmenting"], "segment")
        for number in range(PASSED):
            self.cluster.pass_one(name["segmenting"], number)
        (job, waiting) = ann.submit(
            name["segmenting"], *(self.job(name["segmenting"], branch="long", **FEW),) * 2
        )
        jobs["segmenting"], jobs["waiting"] = (ann, job), (ann, waiting)
        until(
            lambda: (
                ann.jobs.get(job, {}).get("chunks_done", 0) >= PASSED - 1
                and barriers["segmenting"].exists()
            ),
            f"{job} in the middle: {ann.jobs.get(job)}",
        )
        for user, job in jobs.values():
            user.until(job, *STATES[next(p for p, j in jobs.items() if j[1] == job)])
        return Scene(jobs, barriers)

    def note(self, target: Target, *phases: str) -> None:
        """Remember that a target was killed in these phases."""
        self.killed.setdefault(target, set()).update(phases)

    def play(self, target: Target) -> Scene:
        """Set a scene up, kill, kill again while it recovers, ask for more meanwhile, and let
        everything go on to its end."""
        scene = self.set_up(HELD_AT.get(target, "publish"))
        _, bob, cat = self.users
        more = f"meanwhile-{self.number}"
        with ThreadPoolExecutor(2) as threads:
            asked = [
                threads.submit(user.submit, more, self.job(branch="meanwhile", **ONE))
                for user in (bob, cat)
            ]
            KILLS[target](self, scene)
            for each in asked:
                each.result()
        cat.peek(scene.jobs["segmenting"][1])
        self.cluster.open_barriers()
        for user in self.users:
            user.until_ended()
        return scene

    def kill(self, target: Target) -> None:
        """One process of the target, and the one that takes its place as soon as it is there."""
        first = self.cluster.kill(target)
        assert first, f"there is no {target}"
        self.note(target, *PHASES[:-1])
        until(lambda: set(self.cluster.find(target)) - set(first), f"a new {target}")
        self.cluster.kill(target, (set(self.cluster.find(target)) - set(first)).pop())
        self.note(target, "recovering")

    def kill_workers(self, scene: Scene) -> None:
        """Every process that does a unit; and once more those that came to the barriers again."""
        for path in scene.barriers.values():
            path.unlink(missing_ok=True)
        for pid in self.cluster.find(Target.WORKER):
            self.cluster.kill(Target.WORKER, pid)
        self.note(Target.WORKER, *PHASES[:-1])
        until(scene.barriers["planning"].exists, "the plan again")
        for pid in self.cluster.find(Target.WORKER):
            self.cluster.kill(Target.WORKER, pid)
        self.note(Target.WORKER, "recovering")

    def kill_raylets(self, _: Scene) -> None:
        """One node after the other, the second while the first is replaced: so that every unit in
        flight was on one of them."""
        first, second, third = self.cluster.find(Target.RAYLET)
        self.cluster.kill(Target.RAYLET, first)
        self.cluster.add_node()
        self.cluster.kill(Target.RAYLET, second)
        self.note(Target.RAYLET, "recovering")
        self.cluster.add_node()
        self.cluster.until_ready()
        self.cluster.kill(Target.RAYLET, third)
        self.note(Target.RAYLET, *PHASES[:-1])
        self.cluster.add_node()
        self.cluster.until_ready()

    def kill_gcs(self, _: Scene) -> None:
        """Without it Ray is over: the rest is ended, and all started again; once more at once."""
        self.cluster.kill(Target.GCS)
        self.note(Target.GCS, *PHASES[:-1])
        self.cluster.crash()
        self.cluster.start_until_answering()
        self.cluster.kill(Target.GCS)
        self.note(Target.GCS, "recovering")
        self.cluster.crash()
        self.cluster.start()

    def kill_head(self, _: Scene) -> None:
        """All of the head; the other nodes go on with what they do and find out by themselves,
        beside the new cluster on the same state folder."""
        self.cluster.kill(Target.HEAD)
        self.note(Target.HEAD, *PHASES[:-1])
        self.cluster.crash(head_alone=True)
        self.cluster.start_until_answering()
        self.cluster.kill(Target.HEAD)
        self.note(Target.HEAD, "recovering")
        self.cluster.crash(head_alone=True)
        self.cluster.start()


STATES = {
    "waiting": ("waiting",),
    "planning": ("planning",),
    "segmenting": ("segmenting",),
    "publishing": ("publishing", "assembling"),
    "cancelling": ("cancelling",),
}
KILLS: dict[Target, Any] = {
    Target.WORKER: Theatre.kill_workers,
    Target.RAYLET: Theatre.kill_raylets,
    Target.GCS: Theatre.kill_gcs,
    Target.HEAD: Theatre.kill_head,
    **{
        target: lambda theatre, _, target=target: theatre.kill(target)
        for target in (Target.SCHEDULER, Target.REPLICA, Target.PROXY, Target.CONTROLLER)
    },
}


@contextmanager
def theatre(cluster: Standing) -> Iterator[Theatre]:
    """Three users who watch their jobs all the time."""
    history = History(cluster.folder / "history.jsonl")
    ann, bob, cat = users = make_users(cluster, history, "ann", "bob", "cat")
    with ann.watching(), bob.watching(), cat.watching():
        yield Theatre(cluster, history, users)
