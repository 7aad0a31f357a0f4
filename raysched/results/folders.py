"""Where a job works. Light to import: the scheduler's process asks for it, too."""

from __future__ import annotations

from pathlib import Path


def staging_folder(out: Path, job: str) -> Path:
    """Where a job's attempt works: beside ``out``, so that publishing is one rename."""
    return out.parent / f".{out.name}.{job}.partial"


RESULT, HANDED = "result", "publish."


def handed_name(run: str) -> str:
    """What the complete result is called while one run of publish has it (``results/fencing.py``);
    the run "" takes it as it is, where nobody else can be at work on the job."""
    return f"{HANDED}{run}" if run else RESULT
