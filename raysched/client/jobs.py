"""What a client asks of workflows and jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from raysched.client.wire import Call, Wire, at
from serve_app.models import Engines, HttpJob, Job, Why, Workflow

M = TypeVar("M", bound=BaseModel)
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
        yield from self._pages("/jobs", "jobs", Job, {"only_open": only_open, "limit": page})

    def job(self, job: str) -> Job:
        """One job: state, progress, why it waits, how it failed. Raises ``NotFound``."""
        return self._wire.ask(Job, Call(method="GET", path=at("jobs", job)))

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

    def _pages(self, path: str, name: str, kind: type[M], params: Mapping[str, Any]) -> Iterator[M]:
        """The members ``name`` of all pages of a list."""
        cursor: dict[str, str] = {}
        while True:
            call = Call(method="GET", path=path, params={**params, **cursor})
            page = self._wire.send(call).json()
            for each in page[name]:
                yield self._wire.read(kind, json.dumps(each))
            if not page.get("next"):
                return
            cursor = {"cursor": page["next"]}


def _described(job: Wanted) -> Mapping[str, Any]:
    if isinstance(job, str):
        return {"slide": job}
    if isinstance(job, HttpJob):
        return job.model_dump(mode="json", exclude_unset=True)
    return job
