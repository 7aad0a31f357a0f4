"""The cluster of configs/compose.yaml without Docker: its command lines as processes of this
machine, with the environment that the image and the file give them.

Only processes that are started here are ever ended, by their ids.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[2] / "configs"


def interpolated(text: str) -> str:
    """As Docker reads a file where none of its variables is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


COMPOSE: dict[str, Any] = yaml.safe_load(interpolated((CONFIGS / "compose.yaml").read_text()))
SERVICES: dict[str, Any] = COMPOSE["services"]
