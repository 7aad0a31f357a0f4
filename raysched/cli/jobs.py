"""The verbs about jobs of the running service: look, follow, answer, end, try again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import OneJob, Serving
from raysched.cli.service import Service, reach
from raysched.cli.voice import Interrupted, Voice
from raysched.core.model import JobState

if TYPE_CHECKING:
    from raysched.core.views import JobView
    from serve_app.models import Job, Workflow


@dataclass(frozen=True, kw_only=True)
class StatusOptions(Serving):
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


@dataclass(frozen=True, kw_only=True)
class RetryOptions(OneJob):
    """The options of ``retry``."""

    failed_tiles: Annotated[
        bool,
        typer.Option(
            "--failed-tiles",
            help="Of a job that succeeded with failed tiles: run these again, as a new job.",
        ),
    ] = False


def status(options: StatusOptions, voice: Voice) -> None:
    """Show your newest jobs, the last submitted last, or one of them."""
    with reach(options) as service:
        if options.job:
            _say(service.job(options.job), service, voice)
            return
        page = service.newest_jobs(only_open=options.open)
    voice.emit(**page.model_dump(mode="json"))
    if not page.jobs:
        voice.say("no jobs")
    if page.next is not None:
        voice.say("older jobs are not shown: GET /api/v1/jobs lists them all")
    for job in reversed(page.jobs):
        voice.say(row(job))


def watch(options: OneJob, voice: Voice) -> None:
    """Follow a job to its end. Ctrl-C stops watching, not the job."""
    from raysched.cli.progress import progress

    with reach(options) as service:
        with progress(voice) as shown:
            try:
                job = service.follow(options.job, shown.show)
            except KeyboardInterrupt:
                raise Interrupted(f"{options.job} goes on.") from None
        _say(job, service, voice)
    if job.state is JobState.FAILED:
        from raysched.cli.run import job_failure

        raise job_failure(job)


def explain(options: OneJob, voice: Voice) -> None:
    """Say why a job is where it is, and what comes next."""
    with reach(options) as service:
        job = service.job(options.job)
    why = job.why.model_dump(mode="json")
    voice.emit(explanation={"job": job.id, "state": job.state, **why})
    voice.say(standing(job))
    if job.failure:
        voice.say(f"  do: {job.failure.remedy}")
    if job.question:
        voice.say(f"  answer with: raysched answer {job.id} --mpp X")


def answer(options: AnswerOptions, voice: Voice) -> None:
    """Answer a job that asks for the pixel size of its slide."""
    with reach(options) as service:
        _say(service.answer_mpp(options.job, options.mpp), service, voice)


def cancel(options: OneJob, voice: Voice) -> None:
    """Cancel a job: nothing new of it starts once this returns."""
    with reach(options) as service:
        _say(service.cancel(options.job), service, voice)


def retry(options: RetryOptions, voice: Voice) -> None:
    """Try a failed job again, and what was skipped because of it."""
    with reach(options) as service:
        if options.failed_tiles:
            say_submitted(service.retry_failed_tiles(options.job), voice)
            return
        _say(service.retry(options.job), service, voice)


def standing(job: Job) -> str:
    """A job's state and why, in a line."""
    sentence = job.why.sentence
    return sentence if sentence.startswith(f"{job.state} ") else f"{job.state}: {sentence}"


def one_line(name: str) -> str:
    """A file name as it can stand in a line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def row(job: Job) -> str:
    """One line about one job."""
    tiles = f"{job.tiles_done}/{job.tiles_total if job.tiles_total is not None else '?'} tiles"
    facts = f"{tiles:>14}  {job.cells:>9,} cells"
    holes = f"  {failed_tiles(job)}" if job.tiles_failed else ""
    return f"{job.id}  {job.state:<13} {facts}  {job.branch}  {one_line(job.slide)}{holes}"


def failed_tiles(job: Job | JobView) -> str:
    """How many tiles of a job could not be read."""
    return f"{job.tiles_failed:,} failed {'tile' if job.tiles_failed == 1 else 'tiles'}"


def say_submitted(workflow: Workflow, voice: Voice) -> None:
    """What became of a submission."""
    voice.emit(workflow=workflow.model_dump(mode="json"))
    voice.say(f"{workflow.id} {workflow.name}")
    for job in workflow.jobs:
        voice.say(f"  {job.id}  {job.branch}  {job.slide}")
    if more := sum(workflow.states.values()) - len(workflow.jobs):
        voice.say(f"  and {more:,} more")
    voice.note(f"follow one with: raysched watch {workflow.jobs[0].id}")


def _say(job: Job, service: Service, voice: Voice) -> None:
    voice.emit(job=job.model_dump(mode="json"))
    voice.say(row(job))
    voice.say(f"  {job.why.sentence}")
    if job.question:
        voice.say(f"  {job.question}")
        voice.say(f"  answer with: raysched answer {job.id} --mpp X")
    if job.failure:
        voice.say(f"  error: {job.failure.message}")
        voice.say(f"  do: {job.failure.remedy}")
    if job.state is JobState.SUCCEEDED and job.tiles_failed:
        voice.say(f"  read these tiles again with: raysched retry {job.id} --failed-tiles")
    if job.state is JobState.SUCCEEDED and job.results_deleted_at is None:
        voice.say(f"  {service.place(job)}")
