"""``--dry-run``: what the work would be, said in a few lines. Nothing is submitted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from raysched.cli.jobs import one_line
from raysched.cli.voice import Voice, say_table

if TYPE_CHECKING:
    from raysched.cluster.gateway import Gateway
    from raysched.cluster.submission import Prepared
    from raysched.config import Config
    from serve_app.estimate_models import Estimate, EstimatedJob

MOST_SHOWN = 40
"""Jobs in the table; --json has all."""


LANE_WAIT_S = 10.0
POLL_S = 0.1


async def estimated(gateway: Gateway, prepared: Prepared, config: Config) -> Estimate:
    """The dry run of a checked submission. Of a service that has only just started, the first lane
    is waited for: without any, no time can be told."""
    from raysched.cluster.dry_run import dry_run
    from serve_app.estimate_models import Estimate

    for _ in range(round(LANE_WAIT_S / POLL_S)):
        if (await gateway.health()).lanes:
            break
        await asyncio.sleep(POLL_S)
    return Estimate.of(await dry_run(gateway, prepared, config))


def say_estimate(estimate: Estimate, voice: Voice) -> None:
    """Say what a dry run has found."""
    voice.emit(estimate=estimate.model_dump(mode="json"))
    if voice.json:
        return
    say_table(
        voice,
        "",
        ("job", "slide", "tissue", "tiles", "chunks", "um/px", "lane time", "known from"),
        [_row(job) for job in estimate.jobs[:MOST_SHOWN]],
    )
    if len(estimate.jobs) > MOST_SHOWN:
        voice.say(f"and {len(estimate.jobs) - MOST_SHOWN:,} more jobs")
    _say_whole(estimate, voice)
    voice.note("this was a dry run: nothing was submitted")


def _say_whole(estimate: Estimate, voice: Voice) -> None:
    count = f"{len(estimate.jobs)} jobs" if len(estimate.jobs) > 1 else "1 job"
    voice.say(
        f"{count}: {_time(estimate.lane_s)} of lane time, about "
        f"{estimate.result_bytes / 1e6:,.1f} MB of results ({estimate.result_bytes_from})"
    )
    if estimate.backlog_s:
        voice.say(f"ahead of it: {_time(estimate.backlog_s)} of lane time of your own jobs")
    if estimate.queue_rank is not None:
        voice.say(f"you would wait for a slot as number {estimate.queue_rank}")
    if estimate.starts_in_s is None or estimate.ends_in_s is None:
        why = "no lane is open" if not estimate.lanes_open else "slots are held until done"
        voice.say(f"when it would begin cannot be told: {why}")
        return
    voice.say(
        f"begins in about {_time(estimate.starts_in_s)}, ends in about "
        f"{_time(estimate.ends_in_s)}, with {estimate.lanes:.1f} of {estimate.lanes_open} lanes"
    )


def _row(job: EstimatedJob) -> tuple[str, ...]:
    source = str(job.seconds_from)
    if job.question:
        source = f"asks first: {job.question}"
    elif job.reused:
        source = "an equal job's results would be used"
    elif not job.was_seen:
        source = f"{source}; size: as the other slides"
    sized = job.working_mpp is not None
    return (
        str(job.number),
        one_line(job.slide),
        f"{job.tissue_mm2:.2f} mm2",
        str(job.tiles),
        str(job.chunks),
        f"{job.mpp:.4g} ({job.mpp_source})" if sized else "",
        _time(job.lane_s),
        source,
    )


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
