"""Clusters made by ``ray start``, a node each, on this machine: processes that can be killed whole,
and network namespaces with a cable between them that can be cut.

Only processes that are started here are ever ended, by their ids.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from standing import until

from raysched.cluster.scheduler_actor import STATE_RESOURCE

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
START_S = 180.0
TUNED = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "3",
}
"""As docs/partitions.md advises: a node that does not answer is given up after 6 s."""
STARTS = 4
"""How often a node is started: Ray gives up after 30 s, which pass where many tests run at once."""
STORE_BYTES = 100 * 1024**2


@dataclass
class Machine:
    """Where the processes of a node run: this machine, or a part of it with a network of its own.
    ``prefix``: what enters its namespace, if it has one."""

    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()

    def start(self, command: list[str], env: dict[str, str], **options: Any) -> Any:
        """A process there, the head of its own group."""
        return subprocess.Popen(
            [*self.prefix, *command], env=env, start_new_session=True, text=True, **options
        )


@dataclass
class Node:
    """One ``ray start --block`` with all that it has started."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def processes(self) -> list[psutil.Process]:
        """All of it that lives."""
        try:
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def named(self, part: str) -> list[psutil.Process]:
        """Those whose command line begins with a program of that name."""
        found = []
        for each in self.processes():
            with suppress(psutil.Error):
                line = each.cmdline()
                if line and part in Path(line[0]).name:
                    found.append(each)
        return found

    def kill(self) -> None:
        """``kill -9`` of all of it, the raylet's workers too."""
        victims = self.processes()
        for victim in victims:
            with suppress(psutil.Error):
                victim.kill()
        psutil.wait_procs(victims, timeout=30)
        self.process.wait(timeout=30)

    def is_up(self) -> bool:
        """Whether it has joined, or made, its cluster, and lives."""
        return not self.has_ended() and "Ray runtime started" in self.log.read_text()

    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self.process.poll() is not None


@dataclass
class Nodes:
    """The nodes of one cluster, its session folder and its state folder."""

    folder: Path
    env: dict[str, str]
    port: int
    made: list[Node] = field(default_factory=list)
    seen: set[psutil.Process] = field(default_factory=set)

    @classmethod
    @contextmanager
    def in_folder(cls, folder: Path) -> Iterator[Self]:
        """Nothing is started yet; whatever was is killed at the end."""
        short = Path("/tmp") / f"rs-{secrets.token_hex(4)}"  # sockets want short paths
        env = {
            **os.environ,
            **TUNED,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            "RAY_TMPDIR": str(short),
            "RAY_idle_worker_killing_time_threshold_ms": "3600000",
            "RAY_worker_niceness": "0",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        env.pop("RAY_ADDRESS", None)
        short.mkdir()
        nodes = cls(folder, env, _free_port())
        try:
            yield nodes
        finally:
            for node in nodes.made:
                nodes.remember(node)
                node.kill()
            for left in nodes.seen:
                with suppress(psutil.Error):
                    left.kill()
            psutil.wait_procs(list(nodes.seen), timeout=30)
            shutil.rmtree(short, ignore_errors=True)

    def remember(self, node: Node) -> None:
        """What belongs to a node: its workers outlive their parents for a moment."""
        self.seen.update(node.processes())

    def head(self, machine: Machine, cpus: int = 1) -> Node:
        """The node with the cluster's memory and the state folder."""
        resources = json.dumps({STATE_RESOURCE: 1})
        asked = ["--head", "--port", str(self.port), "--resources", resources]
        asked += ["--include-dashboard", "false", "--temp-dir", self.env["RAY_TMPDIR"]]
        asked += ["--no-monitor", "--include-log-monitor", "false"]  # they only take time
        self.address = f"{machine.address}:{self.port}"
        return self._start("head", machine, cpus, asked)

    def join(self, machine: Machine, name: str, cpus: int = 1) -> Node:
        """One more node."""
        return self._start(name, machine, cpus, ["--address", self.address])

    def _start(self, name: str, machine: Machine, cpus: int, asked: list[str]) -> Node:
        command = [str(RAY), "start", "--block", "--disable-usage-stats", "--num-cpus", str(cpus)]
        command += ["--node-ip-address", machine.address, "--num-gpus", "0"]
        command += ["--object-store-memory", str(STORE_BYTES), *asked]
        for _ in range(STARTS):
            log = self.folder / f"{name}-{len(self.made)}.log"
            with log.open("w") as said:
                process = machine.start(command, self.env, stdout=said, stderr=said)
            node = Node(name, process, log)
            self.made.append(node)
            until(lambda node=node: node.is_up() or node.has_ended(), f"{name}, see {log}", START_S)
            self.remember(node)
            if node.is_up():
                return node
            node.kill()
        raise AssertionError(node.log.read_text())

    @contextmanager
    def driver(self, machine: Machine, *args: str) -> Iterator[Driver]:
        """A process of ours at the cluster: see ``DRIVER``."""
        command = [sys.executable, str(Path(__file__).with_name("driver.py")), self.address]
        command += [str(self.folder / "state"), *args]
        log = self.folder / f"driver-{secrets.token_hex(2)}.log"
        with log.open("w") as said:
            process = machine.start(command, self.env, stdout=said, stderr=subprocess.STDOUT)
        driver = Driver(process, log)
        try:
            yield driver
        finally:
            driver.kill()


@dataclass
class Driver:
    """``driver.py`` at work: what it says, a line of JSON each."""

    process: subprocess.Popen[str]
    log: Path

    def said(self) -> list[dict[str, Any]]:
        """All that it has said."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"at"')]

    def until(self, reached: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first line of which something holds, of those to come and those that came."""

        def found() -> dict[str, Any] | None:
            lines = self.said()
            assert lines or self.process.poll() is None, self.log.read_text()
            return next((line for line in lines if reached(line)), None)

        got: dict[str, Any] = until(found, f"{what}, see {self.log}")
        return got

    def kill(self) -> None:
        """End it and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# --- namespaces -----------------------------------------------------------------------------------


def why_no_namespaces() -> str:
    """Why two namespaces with a cable cannot be made here; "" where they can."""
    if shutil.which("ip") is None:
        return "there is no `ip` (iproute2)"
    name = f"rs-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


@dataclass(frozen=True)
class Cable:
    """Between two namespaces; ``left`` is the end that is cut."""

    left: Machine
    right: Machine

    def cut(self) -> None:
        """Nothing passes any more; neither side is told."""
        self._set("down")

    def mend(self) -> None:
        """As before."""
        self._set("up")

    def _set(self, state: str) -> None:
        subprocess.run(
            [*self.left.prefix, "ip", "link", "set", "cable", state], check=True, timeout=10
        )


@contextmanager
def two_machines() -> Iterator[Cable]:
    """Two network namespaces, each with an address, and a cable between them."""
    tag = secrets.token_hex(2)
    names = f"rs-{tag}-l", f"rs-{tag}-r"
    machines = [
        Machine(f"10.77.0.{number}", ("ip", "netns", "exec", name))
        for number, name in enumerate(names, 1)
    ]
    with ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
        _ip("link", "add", f"rsl{tag}", "type", "veth", "peer", "name", f"rsr{tag}")
        for machine, name, end in zip(machines, names, (f"rsl{tag}", f"rsr{tag}"), strict=True):
            _ip("link", "set", end, "netns", name)
            inside = ("netns", "exec", name, "ip")
            _ip(*inside, "link", "set", end, "name", "cable")
            _ip(*inside, "addr", "add", f"{machine.address}/24", "dev", "cable")
            for device in ("cable", "lo"):
                _ip(*inside, "link", "set", device, "up")
        yield Cable(*machines)


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True, timeout=10)
