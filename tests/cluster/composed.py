"""The cluster of configs/compose.yaml without Docker: its command lines as processes of this
machine, with the environment that the image and the file give them.

Only processes that are started here are ever ended, by their ids.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep as pause
from typing import Any, TypeVar

import httpx
import psutil
import yaml

CONFIGS = Path(__file__).parents[2] / "configs"
BIN = Path(sys.executable).parent
WAIT_S = 300.0
LOOK_S = 0.05
STARTS = 4
STORE_BYTES = 100 * 1024**2
T = TypeVar("T")


def interpolated(text: str, **variables: str) -> str:
    """As Docker reads a file with these variables set, and no other."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1], found[2]), text)


TEXT = (CONFIGS / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(interpolated(TEXT))
SERVICES: dict[str, Any] = COMPOSE["services"]


def of_the_image() -> dict[str, str]:
    """The environment that the image sets."""
    text = (CONFIGS / "Dockerfile").read_text()
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return dict(each.split("=", 1) for each in block.replace("\\\n", " ").split())


def until(what: Callable[[], T | None], why: Callable[[], str]) -> T:
    """What it says, once that is something."""
    deadline = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < deadline, why()
        pause(LOOK_S)  # what is waited for is in other processes, which tell nobody
    return found


@dataclass
class Composed:
    """The nodes, the service on the head, and the ways to them. ``ports``: of this machine, by
    what they are for."""

    folder: Path
    temporary: Path
    slides: Path
    ports: dict[str, int]
    token: str
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports['gcs']}"

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.ports['dashboard']}"

    def here(self, text: str) -> str:
        """A text of the file, for this machine: its names, ports and folders."""
        for there, here in (
            ("head:6379", self.address),
            ("--port 6379", f"--port {self.ports['gcs']}"),
            ("--object-store-memory 536870912", f"--object-store-memory {STORE_BYTES}"),
            ("/data/", f"{self.folder}/data/"),
            ("/run/secrets/", f"{self.folder}/secrets/"),
            ("/slides", str(self.slides)),
        ):
            text = text.replace(there, here)
        return text

    def environment(self, service: str) -> dict[str, str]:
        """Of a service's processes. Ray's health checks have its own patience: this machine may be
        too busy for that of the image, and no node hangs."""
        told = {**of_the_image(), **SERVICES[service]["environment"]}
        told = {name: value for name, value in told.items() if "_health_check_" not in name}
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {
            **own,
            **{name: self.here(value) for name, value in told.items()},
            "PATH": f"{self.folder}/bin:{BIN}:{os.environ['PATH']}",
            "RAY_TMPDIR": str(self.temporary),
            "RAYSCHED_SERVE__PORT": "0",
            "RAYSCHED_CLUSTER__START_TIMEOUT_S": str(WAIT_S),
            "RAYSCHED_LIMITS__DEFAULT_BURST": "100000",  # a test asks faster than people do
        }

    def start(self, name: str, service: str, *more: str) -> None:
        """A node, as the service says, until it has joined. Ray gives up after 30 s, which pass on
        a busy machine: then it is started again, as Docker does. One after the other, since on one
        machine they share the folder of Ray's session."""
        for _ in range(STARTS):
            self._start(name, service, *more)

            def joined(process: subprocess.Popen[bytes] = self.nodes[name]) -> bool:
                return "Ray runtime started" in self.said(name) or process.poll() is not None

            until(joined, lambda: self.said(name))
            if self.nodes[name].poll() is None:
                return
        raise AssertionError(self.said(name))

    def _start(self, name: str, service: str, *more: str) -> None:
        compose = yaml.safe_load(interpolated(TEXT, WORKER_CPUS="1"))
        command = shlex.split(self.here(compose["services"][service]["command"]))
        command += ["--node-ip-address", "127.0.0.1", "--disable-usage-stats", *more]
        with (self.folder / f"{name}.out").open("w") as out:
            self.nodes[name] = subprocess.Popen(
                command,
                env=self.environment(service),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, name: str) -> str:
        """All that a node has said so far."""
        return (self.folder / f"{name}.out").read_text()

    def lines(self, what: str) -> list[dict[str, Any]]:
        """What the service has said about something: a line of JSON each."""
        lines = self.said("head").splitlines()
        return [json.loads(line)[what] for line in lines if line.startswith(f'{{"{what}"')]

    def until_up(self) -> dict[str, Any]:
        """Where the service is, once it serves."""

        def found() -> list[dict[str, Any]]:
            assert self.nodes["head"].poll() is None, self.said("head")
            return self.lines("up")

        return until(found, lambda: self.said("head"))[0]

    def ray(self, path: str, **how: Any) -> httpx.Response:
        """Ask Ray's dashboard, with its token unless told otherwise."""
        headers = how.pop("headers", {"Authorization": f"Bearer {self.token}"})
        return httpx.get(f"{self.dashboard}{path}", headers=headers, timeout=60, **how)

    def rows(self, what: str, **asked: str) -> list[dict[str, Any]]:
        """What Ray's state API has of one sort, in full."""
        params = {"detail": "1", "limit": "10000", "timeout": "60", **asked}
        answer = self.ray(f"/api/v0/{what}", params=params).raise_for_status().json()
        rows: list[dict[str, Any]] = answer["data"]["result"]["result"]
        return rows

    def api(self, method: str, path: str, **how: Any) -> Any:
        """Ask the service, as its administrator."""
        headers = {"Authorization": f"Bearer {self.where['admin_key']}"}
        url = f"{self.where['url']}{path}"
        answer = httpx.request(method, url, headers=headers, timeout=60, **how)
        return answer.raise_for_status().json()

    def submit(self, slide: str, **job: Any) -> str:
        """Submit a slide; the id of its job."""
        work = {"jobs": [{"slide": slide, **job}]}
        return str(self.api("POST", "/api/v1/workflows", json=work)["jobs"][0]["id"])

    def until_ended(self, job: str) -> dict[str, Any]:
        """A job, once it has ended."""

        def ended() -> dict[str, Any] | None:
            view = self.api("GET", f"/api/v1/jobs/{job}")
            return view if view["state"] in {"succeeded", "failed", "cancelled"} else None

        return until(ended, lambda: str(self.api("GET", f"/api/v1/jobs/{job}")))

    def processes(self) -> list[psutil.Process]:
        """All that the nodes have started: it has their folder in its environment, or is below what
        has (titles overwrite the environment)."""
        found = set()
        for each in psutil.process_iter():
            with suppress(psutil.Error):
                if each.environ().get("RAY_TMPDIR") == str(self.temporary):
                    found |= {each, *each.children(recursive=True)}
        return [*found]

    def end(self) -> None:
        """Kill whatever is left."""
        for _ in range(3):  # what is killed may just have started something
            left = self.processes()
            for each in left:
                with suppress(psutil.Error):
                    each.kill()
            psutil.wait_procs(left, timeout=30)
        for process in self.nodes.values():
            process.wait(timeout=30)


def _free_ports(*names: str) -> dict[str, int]:
    sockets = {name: socket.socket() for name in names}
    for each in sockets.values():
        each.bind(("127.0.0.1", 0))
    ports = {name: int(each.getsockname()[1]) for name, each in sockets.items()}
    for each in sockets.values():
        each.close()
    return ports


@contextmanager
def composed(folder: Path, slides: Path, workers: int = 2) -> Iterator[Composed]:
    """A head and workers with a CPU each, once the service serves and each worker has a lane."""
    temporary = Path("/tmp") / f"rs-{secrets.token_hex(4)}"  # sockets want short paths
    temporary.mkdir()
    names = ["gcs", "dashboard", "client", *(f"agent-{n}" for n in range(workers + 1))]
    token = secrets.token_hex(32)
    made = Composed(folder, temporary, slides, _free_ports(*names), token)
    for name in ("data", "secrets", "bin"):
        (folder / name).mkdir(parents=True)
    (folder / "secrets" / "ray_token").write_text(f"{token}\n")
    (folder / "bin" / "raysched-head").symlink_to(CONFIGS / "head.sh")
    agents = [("--dashboard-agent-listen-port", str(made.ports[n])) for n in names[3:]]
    try:
        own = ["--dashboard-port", str(made.ports["dashboard"]), "--temp-dir", str(temporary)]
        own += ["--ray-client-server-port", str(made.ports["client"])]
        made.start("head", "head", *own, *agents[0])
        for number, agent in enumerate(agents[1:], 1):
            made.start(f"worker-{number}", "worker", *agent)
        made.where = made.until_up()

        def lanes() -> bool:
            return bool(made.api("GET", "/api/v1/cluster")["lanes_open"] >= workers)

        until(lanes, lambda: str(made.api("GET", "/api/v1/cluster")))
        yield made
    finally:
        made.end()
        shutil.rmtree(temporary, ignore_errors=True)


def stopped_in_order(made: Composed) -> int:
    """End the head as Docker does; its exit code."""
    made.nodes["head"].send_signal(signal.SIGTERM)
    return made.nodes["head"].wait(timeout=WAIT_S)
