"""Being the entry point of a Ray job (``ray job submit``): nothing twice, nothing gets lost."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

from raysched.errors import InvalidSetting


def key_of(work: str) -> str:
    """The idempotency key of some work, as text: in a Ray job it follows from its submission id and
    the work, so that an entry point that runs again submits nothing twice; else it is a new one."""
    ray_job = _submission()
    if ray_job is None:
        return uuid.uuid4().hex
    return "ray-" + hashlib.sha256(f"{ray_job}\0{work}".encode()).hexdigest()


def results_folder(out: Path | None, usual: Path) -> Path | None:
    """Where ``run`` leaves its results; None: where the service keeps them, which is usual in a Ray
    job."""
    return out or (usual if _submission() is None else None)


def check_paths(*paths: Path | None) -> None:
    """Refuse, in a Ray job, what lies in its working folder: other nodes do not have it, and Ray
    deletes it. Raises ``InvalidSetting``."""
    here = Path.cwd()
    for path in paths if _submission() is not None else ():
        if path is not None and (not path.is_absolute() or here in path.parents):
            raise InvalidSetting(
                f"{path} is in the working folder of the Ray job, which Ray deletes.",
                remedy="Give an absolute path that every node has; leave --out out for results.",
            )


def _submission() -> str | None:
    from raysched.config import ray_submission  # pydantic: what refuses an option does without

    return ray_submission()
