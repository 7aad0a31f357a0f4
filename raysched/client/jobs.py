"""What a client asks of workflows and jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from raysched.client.pages import pages
from raysched.client.wire import Call, Wire, at
from raysched.core.model import JobState
from serve_app.models import Engines, HttpJob, Job, Why, Workflow

Wanted = str | HttpJob | Mapping[str, Any]
"""A job to submit: a slide's name or id, or more of what ``POST /workflows`` takes of a job."""


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

    def workflow(self, workflow: str) -> Workflow:
        """One workflow with its jobs. Raises ``NotFound``."""
        return self._wire.ask(Workflow, Call(method="GET", path=at("workflows", workflow)))

    def jobs(self, *, only_open: bool = False, page: int = 100) -> Iterator[Job]:
        """Your jobs, page by page as they are used."""
        yield from pages(self._wire, "/jobs", "jobs", Job, {"only_open": only_open, "limit": page})

    def job(self, job: str) -> Job:
        """One job: state, progress, why it waits, how it failed. Raises ``NotFound``."""
        return self._wire.ask(Job, Call(method="GET", path=at("jobs", job)))

    def watch(self, job: str, every_s: float = 1.0) -> Iterator[Job]:
        """A job each time it changed, until it has ended or asks something of a person."""
        seen: Job | None = None
        while True:
            now = self.job(job)
            if now != seen:
                yield now
            if now.state.is_final or now.state is JobState.NEEDS_MPP:
                return
            seen = now
            time.sleep(every_s)

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

    def answer_mpp(self, job: str, mpp: float) -> Job:
        """Tell a job that asks for it the pixel size of its slide, um. Raises ``Conflict``."""
        body = {"mpp": mpp}
        return self._wire.ask(Job, Call(method="POST", path=at("jobs", job, "answer"), json=body))

    def engines(self) -> Engines:
        """The engines that a job may name, with the JSON schema of their parameters."""
        return self._wire.ask(Engines, Call(method="GET", path="/engines"))


def _described(job: Wanted) -> Mapping[str, Any]:
    if isinstance(job, str):
        return {"slide": job}
    if isinstance(job, HttpJob):
        return job.model_dump(mode="json", exclude_unset=True)
    return job
