"""Builds what a person may see of a job from the state. Reads only."""

from __future__ import annotations

from collections import Counter

from raysched.core.explain import eta_s, explain, seconds_per_tile
from raysched.core.model import JobState, Stage
from raysched.core.state import Job, State, Workflow
from raysched.core.views import JobView, WorkflowView

_STAGES = {
    JobState.PLANNING: Stage.PLAN,
    JobState.SEGMENTING: Stage.SEGMENT,
    JobState.ASSEMBLING: Stage.ASSEMBLE,
    JobState.PUBLISHING: Stage.PUBLISH,
}


def view_job(state: State, job: Job, now: float) -> JobView:
    """One job as its owner sees it at ``now``."""
    progress = job.progress
    is_segmenting = job.state is JobState.SEGMENTING and bool(job.runs)
    return JobView(
        job=job.id,
        workflow=job.workflow,
        user=job.user,
        branch=job.spec.branch,
        kind=job.spec.kind,
        state=job.state,
        stage=_STAGES.get(job.state),
        attempt=job.attempt,
        explanation=explain(state, job, now),
        tiles_done=progress.tiles_done if progress else 0,
        tiles_total=sum(progress.plan.chunk_tiles) if progress else None,
        tiles_failed=progress.tiles_failed if progress else 0,
        chunks_done=progress.chunks_done if progress else 0,
        chunks_total=len(progress.plan.chunk_tiles) if progress else None,
        cells=job.cells,
        tiles_per_s=_tiles_per_s(state, job) if is_segmenting else None,
        eta_s=eta_s(state, job),
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
        checksum=job.checksum,
        question=job.question,
        failure=job.failure,
        request=job.spec.request,
        awaits=job.awaits,
        reused=progress is not None and progress.plan.reused,
        results_deleted_at=state.users[job.user].cleared.get(job.id),
        chunks_running=_chunks_running(state, job),
        mpp=job.mpp,
    )


def view_workflow(
    state: State, workflow: Workflow, now: float, shown: slice = slice(None)
) -> WorkflowView:
    """One workflow as its owner sees it, with those of its jobs that are wanted."""
    jobs = [state.jobs[name] for name in workflow.jobs]
    return WorkflowView(
        workflow.workflow,
        workflow.user,
        workflow.name,
        workflow.submitted_at,
        tuple(view_job(state, job, now) for job in jobs[shown]),
        Counter(job.state for job in jobs),
        workflow.digest,
    )


def _chunks_running(state: State, job: Job) -> tuple[int, ...]:
    units = (state.runs[run].unit for run in job.runs)
    return tuple(sorted(unit.chunk for unit in units if unit.stage is Stage.SEGMENT))


def _tiles_per_s(state: State, job: Job) -> float | None:
    """Tiles per second of lane time, over the lanes the job has now."""
    per_tile_s = seconds_per_tile(state, job)
    return len(job.runs) / per_tile_s if per_tile_s > 0 else None
