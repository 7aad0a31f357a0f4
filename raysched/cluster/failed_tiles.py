"""The failed tiles of a job, run again alone: by a new job of the same request.

What a job has published never changes, so what its tiles hold after all is in a result of its own.
The new job takes what the old one found from its user's shelf and asks the engine for the rest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from raysched.cluster.submission import Prepared, job_id, refuse_taken, slide_name, workflow_id
from raysched.config import Config
from raysched.core.model import JobId, JobSpec, JobState
from raysched.core.views import JobView
from raysched.errors import Conflict
from raysched.imaging.engine import engine_params
from raysched.imaging.request import SegmentationRequest, SlideRequest, read_request
from raysched.imaging.slide import open_slide

NAME_CHARS = 200
"""Of the name of a workflow, and of the folder that another is named after."""


def failed_tiles_again(view: JobView, *, key: str, config: Config) -> Prepared:
    """The workflow that runs a job's failed tiles again, checked, with ids that follow from the
    user and the key. The same key again is the same workflow.

    Raises ``Conflict`` where there is nothing to run again, ``UnknownEngine``, ``InvalidSetting``
    and the slide errors; nothing is stored.
    """
    refuse_without(view)
    name = job_id(view.user, key, 1)
    request = read_request(view.kind, view.request)
    if isinstance(request, SegmentationRequest):
        engine_params(request.engine, request.params)
    with open_slide(request.slide):
        pass
    out = _place(Path(request.out), view.job, name, config)
    refuse_taken(out, name)
    mpp = request.mpp if view.mpp is None else view.mpp
    again = request.model_copy(update={"out": str(out), "mpp": mpp})
    slide = slide_name(request.slide)
    spec = JobSpec(name, view.branch, view.kind, again.model_dump_json(), slide=slide)
    workflow, title = workflow_id(view.user, key), title_of(view.job, request)
    engine = request.engine if isinstance(request, SegmentationRequest) else ""
    digest = digest_of_again(view.job)
    return Prepared(view.user, key, workflow, title, (spec,), digest, (engine,))


def refuse_without(view: JobView) -> None:
    """Raise ``Conflict`` for a job that has not ended, or whose failed tiles are not all that is to
    be done of it."""
    if view.state is JobState.SUCCEEDED and view.tiles_failed:
        return
    said = f"is {view.state}: its failed tiles are run again once it has succeeded"
    remedy = f"Wait for it: `raysched watch {view.job}`."
    if view.state is JobState.SUCCEEDED:
        said, remedy = "has no failed tiles", "Nothing is left to be run again."
    elif view.state is JobState.FAILED:
        said = "has failed: more than its failed tiles is left to be done"
        remedy = f"`raysched retry {view.job}` computes only what failed and what is left."
    elif view.state.is_final:
        said = f"was {view.state}: more than its failed tiles is left to be done"
        remedy = "Submit it again: tiles that it has finished are not computed again."
    raise Conflict(f"Job {view.job} {said}.", remedy=remedy, job=view.job, state=view.state.value)


def title_of(job: JobId, request: SlideRequest) -> str:
    """How the workflow is called, so that people see what it is."""
    return f"failed tiles of {job}, {Path(request.slide).name}"[:NAME_CHARS]


def digest_of_again(job: JobId) -> str:
    """Names what is asked for: the same for each time that it is asked."""
    return hashlib.sha256(f"failed tiles of {job}".encode()).hexdigest()


def _place(old: Path, job: JobId, name: JobId, config: Config) -> Path:
    """Where the service places results, if it had placed the old one's; else beside these, under a
    name that no other job has."""
    results = config.results.absolute()
    if old == results / job:
        return results / name
    tag = name.removeprefix("job-")
    return old.with_name(f"{old.name[:NAME_CHARS]}-failed-tiles-{tag}")
