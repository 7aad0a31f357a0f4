"""What keeps a service up, with small services that fail in all ways: real processes, no Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_disks import small_disk
from typer.testing import CliRunner

from raysched.cli.main import app
from raysched.cluster.record import Keeper, UpLock, being_started, keeper_of, left_behind

LAST = 45.0
UP_ONCE = "def up_once():\n    link.tell(up={'url': 'http://a:1', 'port': 1})\n"

KEEPER = """
import json, sys
from pathlib import Path
from raysched.cli.keeper import Means, keep_up
from raysched.cli.voice import Voice, reporting
from raysched.cluster.record import UpLock
from raysched.config import load_config
import typer

state, service = Path(sys.argv[1]), sys.argv[2]
lock = UpLock.take(state)
means = Means((sys.executable, "-c", service, str(state)), silent_s=6.0, pause_s=0.05)
voice = Voice(json=True, verbose=False)
try:
    with reporting(voice):
        code = keep_up(load_config(state=state, serve={"port": 0}), voice, lock, means)
except typer.Exit as error:
    code = error.exit_code
sys.exit(code)
"""

SERVICE = """
import json, os, signal, subprocess, sys, threading
from pathlib import Path
from raysched.cli.link import Link
from raysched.cluster import processes

link = Link.from_stdin()
(order,) = link.heard(None)
processes.end_with(order["keeper"])
folder = Path(sys.argv[1])
lives = len(list(folder.glob("life-*")))
port = order["config"]["serve"]["port"]
fresh = folder / f"fresh-{lives}"
fresh.write_text(json.dumps([order["again"], port]))
fresh.rename(folder / f"life-{lives}")  # who counts lives reads whole ones

def up():
    link.tell(up={"url": "http://127.0.0.1:4321", "port": 4321})
    while True:
        link.tell(beat=True)
        threading.Event().wait(0.1)

def helper(**how):
    code = "import signal; signal.pause()"
    return subprocess.Popen([sys.executable, "-c", code], **how)
"""
"""Begins each service: it leaves a file for each of its lives."""


def once_served(state: Path, keeper: subprocess.Popen[str]) -> Keeper:
    """Who keeps the service up, as soon as that serves."""
    while not (known := keeper_of(state)) or known.url is None:
        assert keeper.poll() is None
    return known


def lives(state: Path) -> list[Any]:
    """What each life of the service was ordered: whether it had served, and the port."""
    return [json.loads(path.read_text()) for path in sorted(state.glob("life-*"))]


@contextmanager
def kept(state: Path, service: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    """A keeper in a process of its own; ``before``: the words of what becomes it."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", KEEPER, str(state), SERVICE + service],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that it says."""
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def below(process: subprocess.Popen[str], least: int) -> list[psutil.Process]:
    """All processes below a keeper, once there are so many."""
    while len(found := psutil.Process(process.pid).children(recursive=True)) < least:
        assert process.poll() is None
    return found


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them end."""
    _, alive = psutil.wait_procs(processes, timeout=LAST)
    return not alive


def test_a_service_that_dies_is_started_again_on_its_port_with_nothing_left(tmp_path: Path) -> None:
    """Also what has left the session of the service, and what has lost its parent."""
    service = "helper(); helper(start_new_session=True)\nup()"
    with kept(tmp_path, service) as keeper:
        before = below(keeper, 3)
        known = once_served(tmp_path, keeper)
        os.kill(known.session, signal.SIGKILL)
        assert said(keeper)["ended"]["why"] == "its process was ended by SIGKILL"
        after = below(keeper, 3)
        assert gone(before)
        assert not {each.pid for each in before} & {each.pid for each in after}
        while len(lives(tmp_path)) < 2:
            assert keeper.poll() is None
        assert lives(tmp_path)[:2] == [[False, 0], [True, 4321]]
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(LAST) == 0
        assert gone(after)
    assert keeper_of(tmp_path) is None


def test_a_service_that_ends_in_order_without_being_asked_is_started_again(tmp_path: Path) -> None:
    with kept(
        tmp_path, "up() if lives else link.tell(up={'url': 'http://a:1', 'port': 1})"
    ) as keeper:
        assert said(keeper)["ended"]["why"] == "its process ended with code 0"
        while len(lives(tmp_path)) < 2:
            assert keeper.poll() is None


def test_a_service_that_somebody_else_has_replaced_is_not_started_again(tmp_path: Path) -> None:
    with kept(tmp_path, "link.tell(replaced=True)") as keeper:
        assert keeper.wait(LAST) == 0
    assert len(lives(tmp_path)) == 1


def test_a_service_is_kept_up_where_nobody_hears_what_is_said(tmp_path: Path) -> None:
    with kept(tmp_path, "up() if lives else sys.exit(1)") as keeper:
        assert keeper.stdout is not None
        keeper.stdout.close()
        while len(lives(tmp_path)) < 2:
            assert keeper.poll() is None
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(LAST) == 0


def test_what_a_shell_had_started_before_it_became_the_keeper_is_not_ended(tmp_path: Path) -> None:
    """As a container does: `ray start --head; exec raysched up --address ...`."""
    shell = ("sh", "-c", 'sleep 600 & exec "$@"', "sh")
    with kept(tmp_path, "up() if lives else sys.exit(1)", *shell) as keeper:
        said(keeper)
        while len(lives(tmp_path)) < 2:
            assert keeper.poll() is None
        (sleeper,) = [each for each in below(keeper, 1) if each.name() == "sleep"]
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(LAST) == 0
        assert sleeper.is_running()
        sleeper.kill()


@pytest.mark.slow
def test_a_service_that_stands_still_is_started_again(tmp_path: Path) -> None:
    with kept(tmp_path, "up()") as keeper:
        known = once_served(tmp_path, keeper)
        os.kill(known.session, signal.SIGSTOP)
        assert "has not answered" in said(keeper)["ended"]["why"]


@pytest.mark.slow
def test_a_service_that_does_not_stay_up_is_given_up_with_words(tmp_path: Path) -> None:
    service = "link.tell(why='it was tired') if lives else up_once()\nsys.exit(75)"
    with kept(tmp_path, UP_ONCE + service) as keeper:
        ended = [said(keeper)["ended"] for _ in range(5)]
        assert [each["again_in_s"] for each in ended] == [0.05, 0.1, 0.2, 0.4, 0.8]
        assert ended[1]["why"] == "it was tired"
        error = said(keeper)["error"]
        assert "6 times in a row" in error["message"]
        assert keeper.wait(LAST) == error["exit_code"] == 4


@pytest.mark.slow
def test_a_cluster_of_others_that_is_away_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    service = "link.tell(refused='cluster_unreachable') if lives else up_once()\nsys.exit(4)"
    with kept(tmp_path, UP_ONCE + service) as keeper:
        for _ in range(7):
            assert "ended" in said(keeper)
        assert keeper.poll() is None


def test_a_service_that_never_served_and_says_why_is_not_started_again(tmp_path: Path) -> None:
    with kept(tmp_path, "link.tell(refused='conflict')\nsys.exit(2)") as keeper:
        assert keeper.wait(LAST) == 2
    assert len(lives(tmp_path)) == 1


def test_a_second_signal_stops_a_service_that_does_not_stop(tmp_path: Path) -> None:
    with kept(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nup()") as keeper:
        once_served(tmp_path, keeper)
        keeper.send_signal(signal.SIGINT)
        keeper.send_signal(signal.SIGQUIT)
        assert said(keeper) == {"stopped": {"at_once": True}}
        assert keeper.wait(LAST) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends children with their parent")
def test_a_killed_keeper_takes_its_service_with_it_and_what_stays_is_known(tmp_path: Path) -> None:
    with kept(tmp_path, "helper()\nup()") as keeper:
        helpers = below(keeper, 2)
        known = once_served(tmp_path, keeper)
        keeper.kill()
        keeper.wait()
        service = [each for each in helpers if each.pid == known.session]
        assert gone(service)
        left = left_behind(tmp_path)
        assert [each.pid for each in left] == [
            each.pid for each in helpers if each.pid != known.session
        ]
        lock = UpLock.take(tmp_path)
        assert lock is not None
        assert left_behind(tmp_path) == []  # somebody serves: it may be theirs
        lock.release()
        for each in left:
            each.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends children with their parent")
def test_the_next_up_ends_what_a_killed_one_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path))
    with kept(tmp_path, "helper()\nup()") as keeper:
        helpers = below(keeper, 2)
        known = once_served(tmp_path, keeper)
        keeper.kill()
        keeper.wait()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["up", "--host", "127.0.0.1", "--port", str(port)])
    assert f"(process {known.pid}) had left" in result.output
    assert "in use already" in result.output
    assert gone(helpers)


def test_down_ends_nobody_who_has_the_number_of_an_up_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path))
    other = subprocess.Popen(["sleep", "600"])
    lock = UpLock.take(tmp_path)
    assert lock is not None
    lock.tell(elsewhere := Keeper(pid=other.pid, version="1", mark="another-machine/1"))
    assert "another machine" in str(being_started(elsewhere))
    result = CliRunner().invoke(app, ["down", "--now"])
    assert result.exit_code == 4
    assert "from another machine or container" in result.output
    assert other.poll() is None
    joined = Keeper(pid=os.getpid(), version="1", cluster="10.0.0.1:6379")
    assert "--address 10.0.0.1:6379" in being_started(joined).remedy
    other.kill()
    other.wait()
    lock.release()


def test_who_serves_is_known_on_a_full_disk() -> None:
    with small_disk("64k") as disk:
        lock = UpLock.take(disk.path)
        assert lock is not None
        lock.tell(None)
        disk.fill()
        said = Keeper(pid=os.getpid(), version="1", url="http://here:1")
        lock.tell(said)
        assert keeper_of(disk.path) == said
        lock.release()
