"""Processes that Ray has started do not outlive their raylet, whatever they are doing."""

from __future__ import annotations

import subprocess
import sys

import pytest

PARENT = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode())  # the name that others see
subprocess.run([sys.executable, "-c", sys.argv[2]])
"""
CHILD = """
import threading
from raysched.cluster.processes import end_with_raylet
end_with_raylet()
print("began", flush=True)
threading.Event().wait(1 if {is_soon} else 600)
print("went on", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can do it")
@pytest.mark.parametrize(("parent", "goes_on"), [("raylet", False), ("sh", True)])
def test_a_process_ends_in_the_middle_of_its_work_when_its_raylet_is_killed(
    parent: str, goes_on: bool
) -> None:
    command = [sys.executable, "-c", PARENT, parent, CHILD.format(is_soon=goes_on)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "began\n"
        started.kill()
        # all who could write have ended
        assert started.stdout.read() == ("went on\n" if goes_on else "")
