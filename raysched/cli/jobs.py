"""The verbs about jobs of the running service: look, follow, answer, end, try again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Common, OneJob
from raysched.cli.session import ask, settings
from raysched.cli.voice import Interrupted, Voice
from raysched.core.model import LOCAL_USER, JobId, JobState

if TYPE_CHECKING:
    from raysched.core.views import JobView


@dataclass(frozen=True, kw_only=True)
class StatusOptions(Common):
    """The options of ``status``."""

    job: Annotated[
        str | None, typer.Argument(metavar="[JOB]", help="Id of a job. Default: all.")
    ] = None
    open: Annotated[bool, typer.Option("--open", help="Only unfinished jobs.")] = False


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(OneJob):
    """The options of ``answer``."""

    mpp: Annotated[
        float, typer.Option(min=0.08, max=2.0, help="Pixel size in um at full resolution.")
    ]


def status(options: StatusOptions, voice: Voice) -> None:
    """Show your newest jobs, the last submitted last, or one of them."""
    config = settings(options.address)
    if options.job:
        job = JobId(options.job)
        _say(ask(config, lambda gateway: gateway.job(LOCAL_USER, job)), voice)
        return
    from raysched.cluster.listing import JobQuery

    query = JobQuery(open=True if options.open else None)
    page = ask(config, lambda gateway: gateway.jobs(LOCAL_USER, query))
    if voice.json:
        from serve_app.models import Jobs

        voice.emit(**Jobs.of(page).model_dump(mode="json"))
        return
    if not page.items:
        voice.say("no jobs")
    if page.next is not None:
        voice.say("older jobs are not shown: GET /api/v1/jobs lists them all")
    for view in reversed(page.items):
        voice.say(row(view))


def watch(options: OneJob, voice: Voice) -> None:
    """Follow a job to its end. Ctrl-C stops watching, not the job."""
    from raysched.cli.follow import follow
    from raysched.cli.progress import progress

    job = JobId(options.job)
    with progress(voice) as shown:
        try:
            view = ask(settings(options.address), lambda gateway: follow(gateway, job, shown.show))
        except KeyboardInterrupt:
            raise Interrupted(f"{job} goes on.") from None
    _say(view, voice)
    if view.state is JobState.FAILED:
        from raysched.cli.run import job_failure

        raise job_failure(view)


def explain(options: OneJob, voice: Voice) -> None:
    """Say why a job is where it is, and what comes next."""
    job = JobId(options.job)
    view = ask(settings(options.address), lambda gateway: gateway.job(LOCAL_USER, job))
    if voice.json:
        from serve_app.models import Why

        why = Why.of(view.explanation, ()).model_dump(mode="json")
        voice.emit(explanation={"job": job, "state": view.state, **why})
    voice.say(f"{view.state}: {view.explanation.sentence}")
    if view.failure:
        voice.say(f"  do: {view.failure.remedy}")
    if view.question:
        voice.say(f"  answer with: raysched answer {job} --mpp X")


def answer(options: AnswerOptions, voice: Voice) -> None:
    """Answer a job that asks for the pixel size of its slide."""
    job, mpp = JobId(options.job), options.mpp
    _say(
        ask(settings(options.address), lambda gateway: gateway.answer_mpp(LOCAL_USER, job, mpp)),
        voice,
    )


def cancel(options: OneJob, voice: Voice) -> None:
    """Cancel a job: nothing new of it starts once this returns."""
    job = JobId(options.job)
    _say(ask(settings(options.address), lambda gateway: gateway.cancel(LOCAL_USER, job)), voice)


def retry(options: OneJob, voice: Voice) -> None:
    """Try a failed job again, and what was skipped because of it."""
    job = JobId(options.job)
    _say(ask(settings(options.address), lambda gateway: gateway.retry(LOCAL_USER, job)), voice)


def one_line(name: str) -> str:
    """A file name as it can stand in a line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def row(view: JobView) -> str:
    """One line about one job."""
    slide = Path(json.loads(view.request)["slide"]).name
    tiles = f"{view.tiles_done}/{view.tiles_total if view.tiles_total is not None else '?'} tiles"
    facts = f"{tiles:>14}  {view.cells:>9,} cells"
    return f"{view.job}  {view.state:<13} {facts}  {view.branch}  {one_line(slide)}"


def _say(view: JobView, voice: Voice) -> None:
    if voice.json:
        from serve_app.models import Job

        voice.emit(job=Job.of(view).model_dump(mode="json"))
        return
    request = json.loads(view.request)
    voice.say(row(view))
    voice.say(f"  {view.explanation.sentence}")
    if view.question:
        voice.say(f"  {view.question}")
        voice.say(f"  answer with: raysched answer {view.job} --mpp X")
    if view.failure:
        voice.say(f"  error: {view.failure.message}")
        voice.say(f"  do: {view.failure.remedy}")
    if view.state is JobState.SUCCEEDED and view.results_deleted_at is None:
        voice.say(f"  results in {request['out']}")
