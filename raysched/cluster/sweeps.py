"""A job over a grid of parameters: one job for each combination, each on a branch of its own.

What the combinations share (the slide's tissue, or all labels where only the measuring differs) is
computed once: the first that needs it leaves it on the user's shelf, and the core lets the others
wait for it.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from raysched.errors import InvalidSetting, InvalidWorkflow, LimitReached, faults_in_words

if TYPE_CHECKING:
    from raysched.cluster.submission import JobRequest

LONGEST_BRANCH = LONGEST_NAME = 64
LONGEST_FOLDER_BYTES = 120
"""Of a results folder's name: with the job's id around it, it must stay a name."""
MOST_DEPENDENCIES = 100_000
"""Of all jobs of a workflow together: each is held in memory and written to the journal."""
GROUPS = ("tissue", "measure")
"""Parameters of these are written ``tissue.threshold``; a name without a dot is the engine's."""


def jobs_of(sweep: Mapping[str, list[Any]]) -> int:
    """How many jobs a sweep stands for."""
    return math.prod(len(values) for values in sweep.values())


def expanded(jobs: Iterable[JobRequest]) -> tuple[JobRequest, ...]:
    """The jobs with every sweep laid out. Who depends on a swept job depends on all of its jobs.

    Raises ``InvalidWorkflow`` for a sweep over what is no parameter or is given already.
    """
    laid_out: list[JobRequest] = []
    names: dict[str, tuple[str, ...]] = {}
    for number, job in enumerate(jobs, start=1):
        name = job.name or str(number)
        named = job.model_copy(update={"name": name})
        parts = _laid_out(named) if job.sweep else (named,)
        if job.sweep:
            names[name] = tuple(part.name or "" for part in parts)
        laid_out.extend(parts)
    _refuse_too_many(laid_out, names)
    return tuple(
        job.model_copy(update={"depends_on": _depending(job.depends_on, names)}) for job in laid_out
    )


def _refuse_too_many(jobs: list[JobRequest], names: Mapping[str, tuple[str, ...]]) -> None:
    """Before they are laid out."""
    total = sum(len(names.get(name, (name,))) for job in jobs for name in set(job.depends_on))
    if total > MOST_DEPENDENCIES:
        raise LimitReached(
            f"The jobs of a workflow may have {MOST_DEPENDENCIES:,} dependencies in all, not "
            f"{total:,}.",
            remedy="Let fewer jobs depend on a sweep, or split the workflow.",
            limit=MOST_DEPENDENCIES,
        )


def _depending(on: Iterable[str], names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Each once, in the order of their first mention."""
    return tuple(
        dict.fromkeys(itertools.chain.from_iterable(names.get(name, (name,)) for name in on))
    )


def _laid_out(job: JobRequest) -> tuple[JobRequest, ...]:
    keys, described = list(job.sweep), job.model_dump(exclude_unset=True)
    found = []
    for number, values in enumerate(itertools.product(*job.sweep.values()), start=1):
        own = f"{(job.name or '')[: LONGEST_NAME - len(f'-{number}')]}-{number}"
        update: dict[str, Any] = {"sweep": {}, "name": own}
        label = "_".join(
            f"{_plain(key.rpartition('.')[2])}-{_word(value)}"
            for key, value in zip(keys, values, strict=True)
        )
        # Whatever is cut off, the number stays: branches of one sweep are all different.
        lead = job.branch[: LONGEST_BRANCH - len(f"/{number}")]
        update["branch"] = f"{lead}/{number} {label}"[:LONGEST_BRANCH].rstrip()
        if job.out is not None:
            folder = f"{number} {label}".encode()[:LONGEST_FOLDER_BYTES].decode(errors="ignore")
            update["out"] = f"{job.out}/{folder}"
        for key, value in zip(keys, values, strict=True):
            group, dot, field = key.rpartition(".")
            is_known = not dot or group in GROUPS
            group = group or "params"
            given = described.get(group) or {}
            _refuse_unknown(job, key, field, given if is_known else None)
            update[group] = given | update.get(group, {}) | {field: value}
        found.append(_checked(job, described | update))
    return tuple(found)


def _checked(job: JobRequest, described: dict[str, Any]) -> JobRequest:
    try:
        return type(job).model_validate(described)
    except ValidationError as error:
        raise InvalidSetting(
            f"The sweep of job {job.name} asks for what is not possible: "
            f"{faults_in_words(error.errors())}.",
            remedy="Leave these values out.",
        ) from None


def _refuse_unknown(job: JobRequest, key: str, field: str, given: Mapping[str, Any] | None) -> None:
    if not field or given is None:
        raise InvalidWorkflow(
            f"The sweep of job {job.name} names {key!r}, which is no parameter.",
            remedy="Write NAME for the engine's own, tissue.NAME and measure.NAME for others.",
        )
    if field in given:
        raise InvalidWorkflow(
            f"Job {job.name} gives {key!r} and sweeps over it.", remedy="Leave out one of the two."
        )


def _word(value: object) -> str:
    """A value as part of a branch's name."""
    text = value if isinstance(value, str) else json.dumps(value)
    return _plain(text) or "empty"


def _plain(text: str) -> str:
    """What of a text a branch may be called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")
