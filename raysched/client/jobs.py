"""What a client asks of workflows and jobs."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from raysched.client.live import listen
from raysched.client.pages import pages
from raysched.client.wire import Call, Wire, at
from raysched.core.model import JobState
from serve_app.estimate_models import Estimate
from serve_app.models import (
    Engines,
    HttpJob,
    Job,
    Stopping,
    Why,
    Workflow,
    WorkflowInShort,
)
from serve_app.queue_models import QueuePicture

LARGE = {"limit": 500}

Wanted = str | HttpJob | Mapping[str, Any]
"""A job to submit: a slide's name or id, or more of what ``POST /workflows`` takes of a job."""


@dataclass(frozen=True, slots=True)
class Change:
    """A job as it is now, or the id of a workflow that was deleted; neither where changes may have
    been missed."""

    job: Job | None = None
    deleted: str | None = None


class JobVerbs:
    """Verbs of ``Client``."""

    _wire: Wire

    def submit(self, *jobs: Wanted, name: str = "workflow", key: str | None = None) -> Workflow:
        """Submit jobs as one workflow; the same ``key`` again is the same workflow.

        ``client.submit("a.svs", {"slide": "b.svs", "branch": "b", "params": {...}})``. Raises
        ``InvalidWorkflow``, ``InvalidSetting``, ``SlideError``, ``LimitReached``, ``Conflict``.
        """
        body = {"name": name, "jobs": [_described(job) for job in jobs]}
        return self._wire.ask(Workflow, Call(method="POST", path="/workflows", json=body, key=key))

    def estimate(self, *jobs: Wanted, name: str = "workflow") -> Estimate:
        """What ``submit`` would submit: tissue, tiles, lane seconds, when it would begin and end.
        Nothing is submitted. Raises what ``submit`` raises."""
        body = {"name": name, "jobs": [_described(job) for job in jobs]}
        call = Call(method="POST", path="/workflows/estimate", json=body)
        return self._wire.ask(Estimate, call)

    def workflow(self, workflow: str) -> Workflow:
        """One workflow with all its jobs. Raises ``NotFound``."""
        path = at("workflows", workflow)
        whole = self._wire.ask(Workflow, Call(method="GET", path=path, params=LARGE))
        while whole.next:
            more = {**LARGE, "cursor": whole.next}
            page = self._wire.ask(Workflow, Call(method="GET", path=path, params=more))
            whole = page.model_copy(update={"jobs": (*whole.jobs, *page.jobs)})
        return whole

    def workflows(self, *, page: int = 100, **filters: Any) -> Iterator[WorkflowInShort]:
        """Your workflows, newest first, without their jobs, page by page as they are used.
        Filters: ``open``, ``name``."""
        wanted = {"limit": page, **filters}
        yield from pages(self._wire, "/workflows", "workflows", WorkflowInShort, wanted)

    def cancel_workflow(self, workflow: str) -> Workflow:
        """Cancel all jobs of a workflow that have not ended."""
        path = at("workflows", workflow, "cancel")
        return self._wire.ask(Workflow, Call(method="POST", path=path))

    def cancel_all(self) -> int:
        """Cancel all of your jobs that have not ended; how many are stopping."""
        return self._wire.ask(Stopping, Call(method="POST", path="/me/cancel")).jobs

    def delete_workflow(self, workflow: str) -> None:
        """Delete a workflow that has ended, with all that the service keeps of it. Raises
        ``Conflict`` before its end."""
        self._wire.send(Call(method="DELETE", path=at("workflows", workflow)))

    def jobs(self, *, page: int = 100, **filters: Any) -> Iterator[Job]:
        """Your jobs, newest first, page by page as they are used. Filters: ``open``, ``state``,
        ``branch``, ``kind``, ``slide``, ``workflow``."""
        yield from pages(self._wire, "/jobs", "jobs", Job, {"limit": page, **filters})

    def job(self, job: str) -> Job:
        """One job: state, progress, why it waits, how it failed. Raises ``NotFound``."""
        return self._wire.ask(Job, Call(method="GET", path=at("jobs", job)))

    def queue(self) -> QueuePicture:
        """Who holds slots and who waits for one, at this moment."""
        return self._wire.ask(QueuePicture, Call(method="GET", path="/queue"))

    def changes(self) -> Generator[Change]:
        """Your jobs as they change, for ever; goes on after whatever interrupts it.

        It begins with a change of neither job nor workflow, and has one wherever something may have
        been missed: list your jobs then.
        """
        for event in listen(self._wire, "/events"):
            if event.name == "job":
                yield Change(job=self._wire.read(Job, event.data))
            elif event.name == "workflow_deleted":
                yield Change(deleted=json.loads(event.data)["id"])
            elif event.name == "reset":
                yield Change()

    def watch(self, job: str) -> Iterator[Job]:
        """A job each time it changed, until it has ended or asks something of a person."""
        seen = self.job(job)
        yield seen
        if _rests(seen):
            return
        with closing(self.changes()) as changes:
            for change in changes:
                now = change.job or self.job(job)
                if now.id != job or now == seen:
                    continue
                seen = now
                yield seen
                if _rests(seen):
                    return

    def wait(self, job: str) -> Job:
        """A job once it has ended, or asks something of a person."""
        *_, last = self.watch(job)
        return last

    def explain(self, job: str) -> Why:
        """Why a job is where it is, its position and the expected time."""
        return self._wire.ask(Why, Call(method="GET", path=at("jobs", job, "explain")))

    def cancel(self, job: str) -> Job:
        """Cancel a job: nothing new of it starts once this returns. Raises ``Conflict`` when it
        has ended otherwise."""
        return self._wire.ask(Job, Call(method="POST", path=at("jobs", job, "cancel")))

    def retry(self, job: str) -> Job:
        """Try a failed job again, and what was skipped because of it. Raises ``Conflict``."""
        return self._wire.ask(Job, Call(method="POST", path=at("jobs", job, "retry")))

    def retry_failed_tiles(self, job: str, *, key: str | None = None) -> Workflow:
        """Run the tiles of a job again that could not be read: a new workflow of one job, into
        results of its own; the same ``key`` again is the same workflow. What the job found is used
        again. Raises ``Conflict`` for a job that has none or has not succeeded."""
        call = Call(method="POST", path=at("jobs", job, "failed-tiles"), key=key)
        return self._wire.ask(Workflow, call)

    def answer_mpp(self, job: str, mpp: float) -> Job:
        """Tell a job that asks for it the pixel size of its slide, um. Raises ``Conflict``."""
        body = {"mpp": mpp}
        return self._wire.ask(Job, Call(method="POST", path=at("jobs", job, "answer"), json=body))

    def engines(self) -> Engines:
        """The engines that a job may name, with the JSON schema of their parameters."""
        return self._wire.ask(Engines, Call(method="GET", path="/engines"))


def _rests(job: Job) -> bool:
    return job.state.is_final or job.state is JobState.NEEDS_MPP


def _described(job: Wanted) -> Mapping[str, Any]:
    if isinstance(job, str):
        return {"slide": job}
    if isinstance(job, HttpJob):
        return job.model_dump(mode="json", exclude_unset=True)
    return job
