"""Checks of a workflow's graph, and walks along it. Pure functions; nothing here writes.

A job must follow the jobs it ``depends_on`` and its predecessor in its branch of the workflow:
both are edges, so a cycle that closes through the branch order is a cycle too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from raysched.core.model import BranchName, JobId, JobSpec, JobState
from raysched.core.state import Job
from raysched.errors import InvalidWorkflow

MOST_LINKS = 10
"""Links of a cycle that its sentence tells."""

_ENDED_BADLY = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.SKIPPED})


def check_graph(jobs: Sequence[JobSpec], is_known: Callable[[JobId], bool]) -> None:
    """Refuse a workflow whose graph makes no sense, naming what is wrong with it."""
    if not jobs:
        raise InvalidWorkflow(
            "The workflow has no jobs.", remedy="Submit at least one job in a workflow."
        )
    ids: dict[JobId, None] = {}
    for spec in jobs:
        if spec.job in ids or is_known(spec.job):
            raise InvalidWorkflow(
                f"Job id {spec.job} is used more than once.",
                remedy="Give every job an id of its own.",
                job=spec.job,
            )
        ids[spec.job] = None
    for spec in jobs:
        for needed in spec.depends_on:
            if needed == spec.job:
                raise InvalidWorkflow(
                    f"Job {spec.job} depends on itself.",
                    remedy="Remove the job's own id from its depends_on.",
                    job=spec.job,
                )
            if needed not in ids:
                raise InvalidWorkflow(
                    f"Job {spec.job} depends on {needed}, which is not in the workflow.",
                    remedy="Name only jobs of the same workflow in depends_on.",
                    job=spec.job,
                    depends_on=needed,
                )
    _check_acyclic(jobs)


def neighbours(jobs: Sequence[JobSpec]) -> Iterator[tuple[JobSpec, JobId | None]]:
    """Each job with its predecessor in its branch of this workflow."""
    last: dict[BranchName, JobId] = {}
    for spec in jobs:
        yield spec, last.get(spec.branch)
        last[spec.branch] = spec.job


def _check_acyclic(jobs: Sequence[JobSpec]) -> None:
    """Depth first over what each job must follow, without recursion (10,000 jobs may chain)."""
    follows: dict[JobId, list[tuple[JobId, str]]] = {}
    for spec, before in neighbours(jobs):
        follows[spec.job] = [(needed, "depends on") for needed in spec.depends_on]
        if before is not None:
            follows[spec.job].append((before, f"comes in branch {spec.branch} after"))
    finished: set[JobId] = set()
    for root, edges in follows.items():
        if root in finished:
            continue
        path: dict[JobId, str] = {root: ""}
        stack = [(root, iter(edges))]
        while stack:
            job, edges_left = stack[-1]
            step = next(edges_left, None)
            if step is None:
                stack.pop()
                path.pop(job)
                finished.add(job)
                continue
            needed, how = step
            if needed in path:
                _refuse_cycle(path, needed, how)
            if needed not in finished:
                path[needed] = how
                stack.append((needed, iter(follows[needed])))


def _refuse_cycle(path: Mapping[JobId, str], closing: JobId, how: str) -> None:
    names = list(path)
    cycle = names[names.index(closing) :]
    hows = [*(path[job] for job in cycle[1:]), how]
    links = zip(cycle, hows, [*cycle[1:], closing], strict=True)
    story = [f"{job} {link} {needed}" for job, link, needed in links]
    if len(story) > MOST_LINKS:  # the fact names all
        left_out = f"and so on, {len(story) - MOST_LINKS} more"
        story[MOST_LINKS // 2 : -(MOST_LINKS // 2)] = [left_out]
    raise InvalidWorkflow(
        f"The workflow has a cycle: {', '.join(story)}.",
        remedy="Remove one of these dependencies, or put the jobs in another order or branch.",
        cycle=[*cycle, closing],
    )


def followers(job: Job) -> Iterator[JobId]:
    """The jobs that cannot run unless this one succeeds, one step away."""
    yield from job.dependents
    if job.after is not None:
        yield job.after


def leaders(job: Job) -> Iterator[JobId]:
    """The jobs that must succeed before this one can run, one step away."""
    yield from job.spec.depends_on
    if job.before is not None:
        yield job.before


def reach(root: Job, jobs: Mapping[JobId, Job], wanted: Callable[[Job], bool]) -> list[Job]:
    """All jobs reached from ``root`` along followers through wanted jobs only, breadth first."""
    found: dict[JobId, Job] = {}
    at = [root]
    while at:
        following = []
        for job in at:
            for name in followers(job):
                other = jobs[name]
                if name not in found and wanted(other):
                    found[name] = other
                    following.append(other)
        at = following
    return list(found.values())


def culprit(job: Job, jobs: Mapping[JobId, Job], forgiven: Mapping[JobId, object]) -> JobId | None:
    """The failed or cancelled job, outside ``forgiven``, that still keeps ``job`` from running."""
    for name in leaders(job):
        other = jobs[name]
        if name not in forgiven and other.state in _ENDED_BADLY:
            return other.skipped_by or name
    return None
