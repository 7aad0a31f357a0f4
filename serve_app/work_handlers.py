"""What each route about more than one job does: lists, cancelling, deleting, events, gates."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from raysched.cluster.listing import JobQuery, WorkflowQuery
from raysched.core.events import ClusterDrained, ClusterPaused, ClusterResumed, OperatorEvent
from raysched.core.model import JobId, JobState, WorkflowId
from serve_app.desk import At, Desk, Pulse, ready
from serve_app.models import Gates, Job, Jobs, Stopping, Workflow, Workflows
from serve_app.pages import PAGE_USUAL, Cursor, Limit, place_of
from serve_app.queue_handlers import names_all
from serve_app.streaming import EventStream, mark_of

Text = Annotated[str | None, Field(min_length=1, max_length=200)]
LastSeen = Annotated[
    str | None,
    Header(max_length=100, description="id of the last event that you have seen: go on after it"),
]


class JobFilter(BaseModel):
    """Which jobs are wanted; all that is given must fit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: JobState | None = None
    open: Annotated[bool | None, Field(description="true: not ended; false: ended")] = None
    branch: Text = None
    kind: Text = None
    slide: Annotated[Text, Field(description="part of the slide's name, in any case")] = None
    workflow: Text = None

    def query(self) -> JobQuery:
        """The same for the scheduler."""
        workflow = WorkflowId(self.workflow) if self.workflow else None
        return JobQuery(self.state, self.open, self.branch, self.kind, self.slide, workflow)


class WorkflowFilter(BaseModel):
    """Which workflows are wanted; all that is given must fit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    open: Annotated[bool | None, Field(description="true: some job has not ended")] = None
    name: Annotated[Text, Field(description="part of the name, in any case")] = None


async def list_jobs(
    at: At,
    wanted: Annotated[JobFilter, Query()],
    limit: Limit = PAGE_USUAL,
    cursor: Cursor = None,
) -> Jobs:
    """Your jobs, newest first, also those that ended long ago. Ask on with `next` as `cursor`."""
    after = place_of(cursor)
    return Jobs.of(await at.gateway.jobs(at.user, wanted.query(), after=after, most=limit))


async def list_workflows(
    at: At,
    wanted: Annotated[WorkflowFilter, Query()],
    limit: Limit = PAGE_USUAL,
    cursor: Cursor = None,
) -> Workflows:
    """Your workflows, newest first, without their jobs. Ask on with `next` as `cursor`."""
    query, after = WorkflowQuery(wanted.open, wanted.name), place_of(cursor)
    return Workflows.of(await at.gateway.workflows(at.user, query, after=after, most=limit))


async def get_workflow(
    at: At, workflow: str, limit: Limit = PAGE_USUAL, cursor: Cursor = None
) -> Workflow:
    """One workflow with the first of its jobs, in order of submission; ask on for the others."""
    place = place_of(cursor)
    after = place.job if place is not None else 0
    name = WorkflowId(workflow)
    return Workflow.of(await at.gateway.workflow(at.user, name, after=after, most=limit), after)


async def cancel_workflow(at: At, workflow: str) -> Workflow:
    """Cancel all jobs of a workflow that have not ended."""
    return Workflow.of(await at.gateway.cancel_workflow(at.user, WorkflowId(workflow)))


async def cancel_mine(at: At) -> Stopping:
    """Cancel all of your jobs that have not ended."""
    return Stopping(jobs=await at.gateway.cancel_all(at.user))


async def delete_workflow(request: Request, at: At, workflow: str) -> None:
    """Delete a workflow that has ended, with all files that the service keeps of it. Its
    Idempotency-Key stays known: it is answered with 409, and never starts work again."""
    await at.gateway.delete_workflow(at.user, WorkflowId(workflow))
    request.app.state.looking.forget(at.user)


async def delete_results(request: Request, at: At, job: str) -> Job:
    """Delete the results of a job that has ended, and what it has computed. The job stays."""
    shown = Job.of(await at.gateway.delete_results(at.user, JobId(job)))
    request.app.state.looking.forget(at.user)
    return shown


async def stream_events(request: Request, at: At, last_event_id: LastSeen = None) -> EventStream:
    """Your jobs as they change, as server-sent events: `job` with the job as GET /jobs/{job} shows
    it, `workflow_deleted` with its id; and `queue`, as GET /queue shows it. A stream begins with
    `reset`, and has one wherever something may have been missed: list your jobs then; from there
    on nothing is. With Last-Event-ID it goes on where it ended, if that is still known."""
    seen = mark_of(last_event_id)
    return EventStream(request, at.user, seen, names_all=names_all(at))


async def pause_cluster(at: At) -> Gates:
    """Let nothing new start: what runs ends, everything else waits and says so."""
    return await _hold(at, ClusterPaused(0.0, at.asking.caller.user))


async def drain_cluster(at: At) -> Gates:
    """Take no new work in (503): what was taken in runs to its end."""
    return await _hold(at, ClusterDrained(0.0, at.asking.caller.user))


async def resume_cluster(at: At) -> Gates:
    """End a pause and a drain."""
    return await _hold(at, ClusterResumed(0.0, at.asking.caller.user))


async def _hold(at: Desk, event: OperatorEvent) -> Gates:
    await at.gateway.hold(event)
    return Gates.of(await ready(Pulse(at.gateway)))
