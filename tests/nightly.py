"""Whether tests search long and with new seeds, which is for the night; what lets a change land
does the same every time."""

from __future__ import annotations

import os

NIGHTLY = os.environ.get("RAYSCHED_NIGHTLY") == "1"
