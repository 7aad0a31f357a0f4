"""Verbs of the command line as a person runs them: in a process of their own, beside the service's
(being disconnected there, the one that runs the tests would end its own cluster)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.http.conftest import Service

SEPARATOR = "== exit "
PROGRAM = """
import json, sys
from raysched.cli.main import app
for arguments in json.loads(sys.argv[1]):
    print("== exit %d" % (app(arguments, standalone_mode=False) or 0), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """What a verb printed, and its exit code."""

    text: str
    exit: int


def say(service: Service, *verbs: list[str], cwd: Path | None = None) -> list[Said]:
    """Each verb in turn, all in one other process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(verbs)],
        env={**os.environ, "RAYSCHED_STATE": str(service.config.state)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    said, text = [], ""
    for line in done.stdout.splitlines(keepends=True):
        if line.startswith(SEPARATOR):
            said.append(Said(text, int(line.removeprefix(SEPARATOR))))
            text = ""
        else:
            text += line
    return said
