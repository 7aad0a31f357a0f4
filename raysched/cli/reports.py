"""``raysched usage`` and ``raysched cluster``: what the operator looks at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Serving
from raysched.cli.service import reach
from raysched.cli.voice import Voice, say_table
from raysched.errors import InvalidSetting

if TYPE_CHECKING:
    from serve_app.report_models import BusyUser, Cluster, Node, UsageDay


SHOWN = ("day", "user", "jobs", "done", "failed", "ended otherwise", "cells", "tiles")


@dataclass(frozen=True, kw_only=True)
class UsageOptions(Serving):
    """The options of ``usage``."""

    since: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="First day, UTC. Default: 30 days in all."),
    ] = None
    until: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Last day, UTC. Default: today.")
    ] = None
    user: Annotated[str | None, typer.Option(help="One user. Default: everybody.")] = None
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with every number.")] = False


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(Serving):
    """The options of ``cluster``."""

    limit: Annotated[int, typer.Option(min=1, max=500, help="Entries of each list.")] = 20


def usage(options: UsageOptions, voice: Voice) -> None:
    """Show what each user used on each day: jobs, cells, lane seconds, waiting times."""
    since, until = _day(options.since), _day(options.until)
    with reach(options) as service:
        report = service.usage_report(since, until, options.user)
    voice.emit(usage=report.model_dump(mode="json"))
    if options.csv:
        voice.say(report.as_csv().rstrip("\r\n"))
        return
    if not report.days:
        voice.say(f"nothing from {report.since} to {report.until}")
        return
    say_table(
        voice,
        "",
        (*SHOWN, "lane time", "wait: median, 90 %, longest"),
        [_usage_row(each) for each in report.days],
    )


def cluster(options: ClusterOptions, voice: Voice) -> None:
    """Show nodes, lanes and what runs in them, users, the queue and the journal."""
    with reach(options) as service:
        shown = service.cluster(options.limit)
    voice.emit(cluster=shown.model_dump(mode="json"))
    if voice.json:
        return
    queue, journal = shown.queue, shown.journal
    voice.say(
        f"raysched {shown.scheduler.version}, since {_at(shown.scheduler.started_at)}, life "
        f"{journal.epoch}; journal: {journal.events:,} events, {journal.size_bytes / 1e6:,.1f} MB"
    )
    if shown.scheduler.paused_at is not None:
        voice.say(f"paused since {_at(shown.scheduler.paused_at)}: nothing new starts")
    if shown.scheduler.draining_at is not None:
        voice.say(f"draining since {_at(shown.scheduler.draining_at)}: nothing new is taken in")
    voice.say(
        f"{queue.jobs_open:,} unfinished jobs, {queue.jobs_running} of {queue.max_running_jobs} "
        f"running; {queue.slots_held} of {queue.slots} slots held, {queue.users_waiting:,} users "
        "wait for one"
    )
    _say_tables(shown, voice)


def _role_of(node: Node) -> str:
    """What is special about a node."""
    if not node.is_alive:
        return "dead"
    special = (("state", node.holds_state), ("draining", node.is_draining))
    return ", ".join(word for word, holds in special if holds)


def _say_tables(shown: Cluster, voice: Voice) -> None:
    say_table(
        voice,
        f"nodes: {shown.nodes_alive} alive",
        ("node", "host", "", "CPUs", "GPUs", "memory"),
        [
            (
                node.id,
                node.host,
                _role_of(node),
                f"{node.cpus:g}",
                f"{node.gpus:g}",
                f"{node.memory_bytes / 1e9:.1f} GB",
            )
            for node in shown.nodes
        ],
    )
    lanes = []
    for lane in shown.lanes:
        work = lane.work
        facts = (
            ("idle", "", "", "")
            if work is None
            else (
                work.user,
                work.job,
                f"{work.stage} {work.chunk}" if work.stage == "segment" else str(work.stage),
                _at(work.since),
            )
        )
        lanes.append((lane.id, lane.node, *facts))
    title = f"lanes: {shown.lanes_busy} of {shown.lanes_open} busy"
    if shown.lanes_open < shown.lanes_wanted:
        title += f"; {shown.lanes_wanted} wanted, the cluster has room for {shown.lanes_room}"
    say_table(voice, title, ("lane", "node", "user", "job", "unit", "since"), lanes)
    say_table(
        voice,
        f"users with unfinished jobs: {shown.queue.users_busy}",
        ("user", "slot", "jobs", "running", "lanes", "weight", "share", "used"),
        [_user_row(each) for each in shown.users],
    )
    say_table(
        voice,
        f"branches: {shown.queue.branches_open}",
        ("user", "branch", "jobs", "at work or next"),
        [(each.user, each.branch, str(each.jobs_open), each.head or "") for each in shown.branches],
    )


def _usage_row(each: UsageDay) -> tuple[str, ...]:
    waits = (each.wait_median_s, each.wait_p90_s, each.wait_max_s)
    return (
        str(each.day),
        each.user,
        str(each.submitted),
        str(each.succeeded),
        str(each.failed),
        str(each.cancelled + each.skipped),
        f"{each.cells:,}",
        f"{each.tiles:,}",
        f"{each.lane_s:,.1f} s",
        ", ".join(f"{wait:,.1f} s" for wait in waits if wait is not None),
    )


def _user_row(each: BusyUser) -> tuple[str, ...]:
    slot = "parked" if each.parked else f"since {_at(each.slot_since)}" if each.slot_since else ""
    if each.queue_rank is not None:
        slot = f"waits: number {each.queue_rank}"
    return (
        each.user,
        slot,
        str(each.jobs_open),
        str(each.jobs_running),
        str(each.lanes),
        f"{each.weight:g}",
        f"{each.share:.0%}",
        f"{each.share_used:.0%}",
    )


def _at(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%m-%d %H:%M:%S")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidSetting(
            f"{text!r} is not a day.", remedy="Write it as YYYY-MM-DD, in UTC."
        ) from None
