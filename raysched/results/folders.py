"""Where a job works. Light to import: the scheduler's process asks for it, too."""

from __future__ import annotations

from pathlib import Path


def staging_folder(out: Path, job: str) -> Path:
    """Where a job's attempt works: beside ``out``, so that publishing is one rename."""
    return out.parent / f".{out.name}.{job}.partial"
