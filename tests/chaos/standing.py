"""A cluster that is killed piece by piece, seen from outside: by process ids and over HTTP."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import psutil

from raysched.testing.ray_processes import UNITS, title_of, titled

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WAIT_S = 300.0
STARTS = 3
LOOK_S = 0.05
GENEROUS = {
    f"{each}_{rest}": 100_000 for each in ("default", "create") for rest in ("burst", "per_s")
}


class Target(StrEnum):
    """What is killed."""

    WORKER = "tile worker"
    SCHEDULER = "scheduler actor"
    RAYLET = "raylet"
    REPLICA = "Serve replica"
    PROXY = "Serve proxy"
    CONTROLLER = "Serve controller"
    GCS = "GCS"
    HEAD = "head"


TITLES = {
    Target.WORKER: UNITS,
    Target.SCHEDULER: ("SchedulerActor",),
    Target.REPLICA: ("ServeReplica:",),
    Target.PROXY: ("ProxyActor",),
    Target.CONTROLLER: ("ServeController",),
}
"""One of these is in the title of such a process."""
RESTARTS = (Target.GCS, Target.HEAD)
"""Without these Ray is over: everything is started again on the same state folder."""


@dataclass
class Raylet:
    """One node of the cluster, by the ids of its processes."""

    pids: dict[str, int]
    is_head: bool

    @property
    def pid(self) -> int:
        return self.pids["raylet"]

    @property
    def is_alive(self) -> bool:
        return is_running(self.pid)


@dataclass
class Settings:
    """How a cluster is to be: real lanes on three nodes, and nothing used again."""

    nodes: int = 3
    lanes_per_node: int = 2
    cluster: dict[str, Any] = field(default_factory=dict)
    scheduling: dict[str, Any] = field(default_factory=dict)
    replicas: int = 1
    engine: str = "held"


class Standing:
    """The cluster, the state folder that outlives it, and how to find and end its processes."""

    def __init__(self, folder: Path, slides: Path, settings: Settings) -> None:
        self.folder, self.slides, self.settings = folder, slides, settings
        self.state = folder / "state"
        self.barriers = folder / "barriers"
        self.barriers.mkdir(parents=True, exist_ok=True)
        self.nodes: list[Raylet] = []
        self.url = ""
        self.admin_key = ""
        self.process: subprocess.Popen[str] | None = None
        self.seen: dict[int, float] = {}
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._listener = threading.Thread()
        self._packages = [packages(folder / "packages")] if settings.engine == "held" else []

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything on the state folder; returns when the service answers and all lanes
        are open."""
        self.start_until_answering()
        self.until_ready()

    def start_until_answering(self) -> None:
        """Start everything on the state folder; returns when the service is there, whatever the
        lanes do. On a busy machine Ray may not start in the time that it gives itself: then it is
        tried again."""
        for _ in range(STARTS):
            self._start_process()
            if up := self._heard("up"):
                self.url = up["url"]
                self.admin_key = up["admin_key"] or self.admin_key
                return
            self.crash()
        raise AssertionError(f"it ended: see {self.folder / 'cluster.log'}")

    def _start_process(self) -> None:
        assert self.process is None
        self.nodes, self._said = [], queue.Queue()
        settings = self.settings
        asked = {
            "state": str(self.state),
            "nodes": settings.nodes,
            "lanes_per_node": settings.lanes_per_node,
            "cluster": {"start_timeout_s": WAIT_S, **settings.cluster},
            "scheduling": settings.scheduling,
            "serve": {
                "port": 0,
                "replicas": settings.replicas,
                "slide_folders": [str(self.slides)],
            },
            "segmentation": {"engine": settings.engine},
            "reuse": {"most_gb_per_user": 0},
            "limits": GENEROUS,
        }
        with (self.folder / "cluster.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "raylets.py"), json.dumps(asked)],
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, args=(self.process,), daemon=True)
        self._listener.start()

    def environment(self) -> dict[str, str]:
        """Of every process of the cluster, and of the command line beside it."""
        path = os.pathsep.join([*map(str, self._packages), *_python_path(), str(ROOT)])
        return {
            **os.environ,
            "PYTHONPATH": path,
            # The machine may be busy: Serve would give up what starts later than this.
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": f"{WAIT_S:g}",
            "RAYSCHED_BARRIERS": str(self.barriers),
            "RAYSCHED_STATE": str(self.state),
        }

    def _listen(self, process: subprocess.Popen[str]) -> None:
        said, heard = self._said, process.stdout
        assert heard is not None
        for line in heard:
            told = json.loads(line)
            if "node" in told:
                self.nodes.append(Raylet(told["node"], told["head"]))
            said.put(told)
        said.put({"ended": True})

    def _heard(self, what: str) -> dict[str, Any] | None:
        """What the cluster says of something; None if it ends before."""
        while True:
            told = self._said.get(timeout=WAIT_S)
            if what in told or "ended" in told:
                answer: dict[str, Any] | None = told.get(what)
                return answer

    def until_ready(self) -> None:
        """Wait until the service answers and every node's lanes are open."""
        wanted = self.settings.nodes * self.settings.lanes_per_node
        until(lambda: self.lanes() >= wanted, f"{wanted} lanes")

    def lanes(self) -> int:
        """Open lanes, as the service says; -1 while it does not answer that it is ready."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=10)
        except httpx.HTTPError:
            return -1
        return int(answer.json().get("lanes", -1)) if answer.status_code == 200 else -1

    def add_node(self) -> None:
        """A new raylet in place of one that is gone."""
        known = len(self.nodes)
        self._tell("add_node")
        until(lambda: len(self.nodes) > known, "a new node")

    def _tell(self, what: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def stop(self) -> list[str]:
        """Stop in order. Returns what is left over: placement groups, and processes by title."""
        self.note_processes()
        self._tell("stop")
        stopped = self._heard("stopped")
        assert stopped is not None, f"it ended: see {self.folder / 'cluster.log'}"
        groups: list[str] = stopped["groups"]
        self._bury()
        return [*groups, *self.left_over()]

    def _bury(self) -> None:
        """Its process ends, or has been killed."""
        assert self.process is not None
        self.process.wait(WAIT_S)
        self._listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self.process = None

    def crash(self, *, head_alone: bool = False) -> None:
        """End every process of the cluster at once, as a machine that loses power does; or those
        of the head alone: the other nodes find out by themselves."""
        assert self.process is not None
        self.note_processes()
        others = [node for node in self.nodes if not node.is_head and head_alone]
        spared = {pid for node in others for pid in family(node.pid)}
        spared |= {pid for node in others for pid in node.pids.values()}
        for pid in family(self.process.pid):
            if pid not in spared:
                kill(pid)
        self._bury()

    def end_strays(self) -> None:
        """End what is left of an earlier start."""
        for pid in [pid for pid, made in self.seen.items() if _is_same(pid, made)]:
            if self.process is None or pid not in set(family(self.process.pid)):
                kill(pid)

    # --- processes ----------------------------------------------------------------------------

    def note_processes(self) -> None:
        """Remember who has ever belonged to the cluster."""
        if self.process is None:
            return
        for pid in family(self.process.pid):
            with suppress(psutil.Error):
                self.seen[pid] = psutil.Process(pid).create_time()

    def left_over(self) -> list[str]:
        """Of those, who still lives though the cluster is gone; waits a moment for their end."""
        deadline = time.monotonic() + 30
        while left := [pid for pid, made in self.seen.items() if _is_same(pid, made)]:
            if time.monotonic() > deadline:
                return sorted(f"{pid} {_title(pid)}" for pid in left)
            pause(LOOK_S)
        return []

    def find(self, target: Target) -> list[int]:
        """The processes that a kill of this target would end first, in no order."""
        assert self.process is not None
        if target is Target.RAYLET:
            return [node.pid for node in self.nodes if not node.is_head and node.is_alive]
        if target in RESTARTS:
            name = "gcs_server" if target is Target.GCS else "raylet"
            return [node.pids[name] for node in self.nodes if node.is_head]
        return [each.pid for each in titled(*TITLES[target], below=self.process.pid)]

    def kill(self, target: Target, pid: int | None = None) -> list[int]:
        """SIGKILL: one process of the target, or ``pid``; of the head, all that it consists of.
        Returns who was killed; nobody if there is no such process at the moment."""
        self.note_processes()
        found = [pid] if pid else self.find(target)[:1]
        if target is Target.HEAD:
            (head,) = [node for node in self.nodes if node.is_head]
            found = [head.pids["gcs_server"], *family(head.pid), *head.pids.values()]
        for each in found:
            kill(each)
        return found

    # --- what is on the disk --------------------------------------------------------------------

    def journal(self) -> list[dict[str, Any]]:
        """The journal's lines, by the command line; the cluster must be stopped."""
        done = self.raysched("journal", "export")
        return [json.loads(line) for line in done.splitlines()]

    def raysched(self, *arguments: str) -> str:
        """What the command line says."""
        entry = "from raysched.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", entry, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close_barrier(self, barrier: str, what: str) -> Path:
        """Whoever comes to this barrier waits. Returns the file that is there once one does."""
        (self.barriers / f"{barrier}.{what}").touch()
        return self.barriers / f"{barrier}.{what}.here"

    def pass_one(self, barrier: str, number: int) -> None:
        """Let one tile through a barrier that stays closed."""
        (self.barriers / f"{barrier}.segment.pass.{number}").touch()

    def open_barrier(self, barrier: str, what: str) -> None:
        """Let whoever waits at one barrier go on."""
        (self.barriers / f"{barrier}.{what}").unlink()

    def open_barriers(self) -> None:
        """Let everybody go on."""
        for path in self.barriers.iterdir():
            path.unlink(missing_ok=True)


@contextmanager
def standing(folder: Path, slides: Path, settings: Settings | None = None) -> Iterator[Standing]:
    """A cluster that has started. Whatever happens, nothing of it is left at the end."""
    cluster = Standing(folder, slides, settings or Settings())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.note_processes()
        if cluster.process is not None:
            cluster.crash()
        cluster.end_strays()


def packages(folder: Path) -> Path:
    """A folder to be put on the path, with the engine ``held`` as an installed package."""
    shutil.copytree(HERE / "held", folder)
    metadata = folder / "held-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: held\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[raysched.engines]\nheld = held:HeldEngine\n")
    return folder


def _python_path() -> list[str]:
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]


# --- processes ------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and all that come from it, the youngest last."""
    try:
        top = psutil.Process(pid)
        return [pid, *(child.pid for child in top.children(recursive=True))]
    except psutil.Error:
        return []


def is_running(pid: int) -> bool:
    """Whether a process lives and is not waiting to be buried."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _title(pid: int) -> str:
    with suppress(psutil.Error):
        return title_of(psutil.Process(pid))
    return ""


def _is_same(pid: int, made: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == made and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill(pid: int) -> None:
    """End one process of ours, at once."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


_never = threading.Event()


def pause(seconds: float) -> None:
    """Between two looks at what cannot be waited for otherwise."""
    _never.wait(seconds)


def until(is_so: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> Any:
    """Look until something is so, and return it. Fails with ``what`` when that takes too long."""
    deadline = time.monotonic() + wait_s
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"after {wait_s:g} s there is not: {what}"
        pause(LOOK_S)  # what is waited for is in other processes, which tell nobody
    return found
