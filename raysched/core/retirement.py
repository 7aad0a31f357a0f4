"""What ended long ago leaves memory, workflow by workflow, and stays in the journal's archive.

Each user keeps the newest ended workflows, so one user's work never drives out another's (I13).
"""

from __future__ import annotations

from hashlib import blake2b

from raysched.core.commands import Retire
from raysched.core.model import UserId, WorkflowId
from raysched.core.state import State, User
from raysched.core.step import Step


def retire_ended(state: State, name: UserId, step: Step) -> None:
    """Retire a user's oldest ended workflows while there are more jobs than may be kept.

    The newest stays, however large: whoever waits for it must still find it.
    """
    user = state.users[name]
    while user.jobs_ended > state.limits.max_ended_jobs_per_user and len(user.ended) > 1:
        _retire(state, user, next(iter(user.ended)), step)


def _retire(state: State, user: User, name: WorkflowId, step: Step) -> None:
    workflow = state.workflows.pop(name)
    del user.ended[name]
    del user.keys[workflow.key]
    user.retired_keys.add(key_digest(workflow.key))
    jobs = tuple(state.jobs.pop(job) for job in workflow.jobs)
    for job in jobs:
        del user.jobs[job.id]
    user.jobs_ended -= len(jobs)
    user.jobs_retired += len(jobs)
    step.commands.append(Retire(workflow, jobs))


def key_digest(key: str) -> int:
    """64 bits of a key: enough to tell the keys of one user apart, in a tenth of their memory."""
    return int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest())


def is_retired(user: User, key: str) -> bool:
    """Whether the workflow of this key is known and has left memory."""
    return bool(user.retired_keys) and key_digest(key) in user.retired_keys


def is_deleted(user: User, key: str) -> bool:
    """Whether the workflow of this key was deleted."""
    return bool(user.deleted_keys) and key_digest(key) in user.deleted_keys
