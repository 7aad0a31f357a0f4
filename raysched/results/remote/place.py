"""Where an object store is. Light to import: it travels with each order and each answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StorePlace:
    """``url``: all of it lies below. ``folder``: where a node keeps copies, ``results`` where the
    service keeps those of results; ``slides_bytes``, ``results_bytes``: of these so much: beyond it
    what was not used for longest goes."""

    url: str
    endpoint: str | None
    region: str | None
    folder: Path
    slides_bytes: int
    results: Path
    results_bytes: int
