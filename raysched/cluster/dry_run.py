"""A submission as a dry run: how much work it is, what it would cost, when it would be done.

Runs in the caller as ``prepare`` does, for slides are looked at; the actor adds what only it knows.
Nothing is stored.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raysched.cluster.gateway import Gateway
from raysched.cluster.orders import shelf_of
from raysched.cluster.speeds import CostSource, JobSize
from raysched.cluster.submission import Prepared
from raysched.config import Config
from raysched.core.model import JobSpec, JobState
from raysched.core.outlook import JobCost, Outlook
from raysched.core.views import JobView
from raysched.imaging.request import SegmentationRequest, SlideRequest, read_request
from raysched.results.shelf import Shelf
from raysched.results.sizing import Sized, size_up
from raysched.results.storage import size_of

MOST_LOOKS = 8
"""Looks at slides for one dry run, of a third of a second each; other jobs are taken to be like
those that were looked at."""
MOST_FOLDERS = 3
"""Results of the user's that tell how much a tile takes on the disk."""
BYTES_PER_PX = 1.9
"""Of a tile's working px, before any result tells: labels, cells, their outlines."""
NO_SIZE = ("out", "params", "measure")
"""Parts of a request that change nothing of how much there is to do."""


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """What one job would be. ``was_seen``: its slide was looked at; else ``sized`` is the mean of
    those that were."""

    spec: JobSpec
    request: SlideRequest
    sized: Sized
    was_seen: bool
    cost: JobCost
    source: CostSource


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a workflow would be. ``result_bytes``: all results; ``is_measured``: by earlier ones."""

    jobs: tuple[JobEstimate, ...]
    outlook: Outlook
    result_bytes: int
    is_measured: bool

    @property
    def lane_s(self) -> float:
        """Lane seconds of all jobs."""
        return sum(job.cost.lane_s for job in self.jobs)


async def dry_run(gateway: Gateway, prepared: Prepared, config: Config) -> DryRun:
    """Of a checked submission. Raises what submitting it and planning its slides raise."""
    requests = [read_request(spec.kind, spec.request) for spec in prepared.jobs]
    place = shelf_of(prepared.user, config)
    shelf = Shelf(place.folder, place.most_bytes)
    sized, seen = await asyncio.to_thread(look, requests, shelf)
    sizes = tuple(JobSize(each.tiles, each.chunks, each.equal, each.seconds) for each in sized)
    told = await gateway.forecast(prepared, sizes)
    newest = await gateway.jobs(prepared.user)
    usual = await asyncio.to_thread(_bytes_per_px, newest.items)
    estimates = tuple(
        JobEstimate(*each)
        for each in zip(prepared.jobs, requests, sized, seen, told.costs, told.sources, strict=True)
    )
    pixels = sum(each.sized.tiles * _tile_area(each.request) for each in estimates)
    per_px = BYTES_PER_PX if usual is None else usual
    return DryRun(estimates, told.outlook, round(pixels * per_px), usual is not None)


def look(
    requests: list[SlideRequest], shelf: Shelf, at: Callable[[SlideRequest, Shelf], Sized] = size_up
) -> tuple[list[Sized], list[bool]]:
    """What there is to do for each request, and whether its slide was looked at. Slides that were
    not yet looked at go first, then the same slides under other parameters, whose results may be
    there already."""
    by_size: dict[str, Sized] = {}
    in_full: dict[str, Sized] = {}
    for request in requests:
        if _key(request, NO_SIZE) not in by_size and len(in_full) < MOST_LOOKS:
            found = at(request, shelf)
            by_size[_key(request, NO_SIZE)] = in_full[_key(request, ("out",))] = found
    for request in requests:
        known = by_size.get(_key(request, NO_SIZE))
        may_be_equal = known is not None and shelf.is_there and known.question is None
        if may_be_equal and _key(request, ("out",)) not in in_full and len(in_full) < MOST_LOOKS:
            in_full[_key(request, ("out",))] = at(request, shelf)
    like = _mean(by_size.values())
    sized, seen = [], []
    for request in requests:
        known = by_size.get(_key(request, NO_SIZE))
        usual = like if known is None else replace(known, equal=False)
        sized.append(in_full.get(_key(request, ("out",)), usual))
        seen.append(known is not None)
    return sized, seen


def _key(request: SlideRequest, without: tuple[str, ...]) -> str:
    content: dict[str, Any] = request.model_dump(mode="json", exclude=set(without))
    return json.dumps([type(request).__name__, content], sort_keys=True)


def _mean(found: Iterable[Sized]) -> Sized:
    """The usual size of what was looked at and asks no question."""
    known = [each for each in found if each.question is None]
    if not known:
        return Sized()
    return Sized(
        tissue_mm2=sum(each.tissue_mm2 for each in known) / len(known),
        tiles=round(sum(each.tiles for each in known) / len(known)),
        chunks=round(sum(each.chunks for each in known) / len(known)),
        seconds=sum(each.seconds or 0.0 for each in known) / len(known),
    )


def _bytes_per_px(views: tuple[JobView, ...]) -> float | None:
    """What the user's newest results take on the disk for a working px of their tiles."""
    taken, pixels, folders = 0, 0, 0
    for view in views:
        if folders == MOST_FOLDERS:
            break
        if view.state is not JobState.SUCCEEDED or not view.tiles_total:
            continue
        request = read_request(view.kind, view.request)
        size = size_of(Path(request.out))
        if size:
            folders += 1
            taken += size
            pixels += view.tiles_total * _tile_area(request)
    return taken / pixels if pixels else None


def _tile_area(request: SlideRequest) -> int:
    return request.tile_px**2 if isinstance(request, SegmentationRequest) else 0
