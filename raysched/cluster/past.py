"""What has left the scheduler's memory: found in the archive, seen as if it were there."""

from __future__ import annotations

from raysched.cluster.life import Life
from raysched.core.commands import Retire
from raysched.core.model import JobId, UserId, WorkflowId
from raysched.core.scheduler import Scheduler
from raysched.core.views import JobView, WorkflowView


async def past_job(life: Life, user: UserId, job: JobId) -> JobView:
    """A job that has left memory. Raises ``NotFound``."""
    found = await life.look_up(user, job=job)
    core = Scheduler()
    if found is not None:
        core = Scheduler.of_retired(found, life.core.cleared_by(user))
    return core.job_view(user, job, life.now())


async def past_workflow(
    life: Life, user: UserId, workflow: WorkflowId, shown: slice
) -> WorkflowView:
    """A workflow that has left memory, with some of its jobs. Raises ``NotFound``."""
    found = await life.look_up(user, workflow=workflow)
    if found is None:
        return Scheduler().workflow_view(user, workflow, life.now())
    return workflow_of(life, found, shown)


def workflow_of(life: Life, retired: Retire, shown: slice) -> WorkflowView:
    """The view of a workflow that was found there, with some of its jobs."""
    workflow = retired.workflow
    core = Scheduler.of_retired(retired, life.core.cleared_by(workflow.user))
    return core.workflow_view(workflow.user, workflow.workflow, workflow.submitted_at, shown)
