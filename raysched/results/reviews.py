"""A review: a random sample of a result, judged yes or no by a person.

    {state}/reviews/{job}/{user}.json    the sample with its verdicts; replaced as a whole
    {state}/reviews/{job}/.lock          held while one is changed

Every replica works on the same files, so each change is made under a lock of the file system. The
sample is drawn without replacement and shown in the order in which it was drawn: whichever items
are answered first are a random sample too. A job's reviews go with its results.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from raysched.errors import Conflict, NotFound, StorageFailed
from raysched.imaging.plan import SlidePlan
from raysched.results.cells import GROUP_CELLS
from raysched.results.chunk_map import published_plan
from raysched.results.damage import damaged, whole, without_result
from raysched.results.manifest import Manifest, read_manifest
from raysched.results.schema import COVERING, SIDES
from raysched.results.storage import DISK, Disk, storage

MARGIN_UM = 24.0
"""What is shown around a cell, on each side."""
Z_95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in level-0 px."""
LOCK = ".lock"


class What(StrEnum):
    """What is judged: single cells, or whole tiles."""

    CELLS = "cells"
    TILES = "tiles"


class Judgement(StrEnum):
    """What a person says of an item: its verdict."""

    YES = "yes"
    NO = "no"


class Part(BaseModel):
    """Base of a review's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Item(Part):
    """One thing to judge: a cell by its id, or a tile by its index. ``x``, ``y``: the upper left
    corner of what is to be looked at, ``width`` by ``height``, in level-0 px. ``at``: when it was
    judged."""

    number: int
    cell: int | None
    tile: int | None
    x: int
    y: int
    width: int
    height: int
    verdict: Judgement | None = None
    at: datetime | None = None


class Review(Part):
    """A user's review of a job. ``population``: cells or tiles that the sample was drawn from."""

    format: Literal[1] = 1
    job: str
    user: str
    what: What
    size: int
    seed: int
    population: int
    begun_at: datetime
    checksum: str
    engine: str
    engine_version: str
    slide: str
    items: tuple[Item, ...]

    @property
    def answered(self) -> int:
        """Items with a verdict."""
        return sum(item.verdict is not None for item in self.items)

    @property
    def yes(self) -> int:
        """Items judged right."""
        return sum(item.verdict is Judgement.YES for item in self.items)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new review is to be; ``seed`` decides what is drawn."""

    what: What
    size: int
    seed: int


def wilson(yes: int, answered: int, z: float = Z_95) -> tuple[float, float] | None:
    """The score interval for a share of ``yes`` among ``answered``; None of none.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, J. Am. Stat.
    Assoc. 22 (1927) 209-212. It keeps its level for few answers and for shares near 0 and 1, where
    the usual one does not (Brown, Cai, DasGupta, Stat. Sci. 16 (2001) 101-133). That a sample is
    drawn without replacement would make it narrower: it is on the safe side.
    """
    if not answered:
        return None
    share, by = yes / answered, z * z / answered
    middle = (share + by / 2) / (1 + by)
    half = z / (1 + by) * math.sqrt(share * (1 - share) / answered + by / (4 * answered))
    low = 0.0 if not yes else max(0.0, middle - half)
    high = 1.0 if yes == answered else min(1.0, middle + half)
    return low, high


def draw(folder: Path, job: str, user: str, wish: Wish, now: datetime) -> Review:
    """A new review of a results folder: the same for the same seed.

    Raises ``NotReady`` without a finished result, ``NotFound`` for a tissue mask, ``Conflict``
    where there is nothing to judge, ``StorageFailed``.
    """
    with storage(folder):
        manifest = read_manifest(folder)
        if manifest is None:
            raise without_result(
                folder,
                "There is nothing to review: the job has no finished result.",
                "Begin when it has succeeded.",
            )
        if wish.what is What.CELLS:
            population = manifest.counts.cells
            chosen = _chosen(range(1, population + 1), wish)
            items = _cells(folder, manifest, chosen)
        else:
            plan = published_plan(folder, manifest)
            tiles = _tiles_to_judge(plan, manifest)
            population = len(tiles)
            items = _tiles(plan, manifest, _chosen(tiles, wish))
    return Review(
        job=job,
        user=user,
        what=wish.what,
        size=len(items),
        seed=wish.seed,
        population=population,
        begun_at=now,
        checksum=manifest.checksum,
        engine=manifest.engine,
        engine_version=manifest.engine_version,
        slide=manifest.slide.name,
        items=items,
    )


def _chosen(of: range | tuple[int, ...], wish: Wish) -> list[int]:
    if not of:
        raise Conflict(
            f"The result has no {wish.what}: there is nothing to review.",
            remedy="Run the job again with other parameters.",
        )
    return random.Random(wish.seed).sample(of, min(wish.size, len(of)))  # noqa: S311 - repeatable


def _cells(folder: Path, manifest: Manifest, chosen: list[int]) -> tuple[Item, ...]:
    """What is to be looked at of each cell, in the order chosen."""
    found: dict[int, Box] = {}
    margin = MARGIN_UM / manifest.slide.mpp
    columns = ["id", *(f"{COVERING}.{side}" for side in SIDES)]
    for path in sorted((folder / "cells").glob("part-*.parquet")):
        with whole(path), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(GROUP_CELLS, columns=columns, use_threads=False):
                ids = batch.column(0).to_numpy()
                for place in np.flatnonzero(np.isin(ids, chosen)).tolist():
                    box = batch.column(1)[place].as_py()
                    x0, y0 = box["xmin"] - margin, box["ymin"] - margin
                    x1, y1 = box["xmax"] + margin, box["ymax"] + margin
                    found[int(ids[place])] = x0, y0, x1, y1
    if missing := set(chosen) - found.keys():
        raise damaged(folder, f"there is no cell {min(missing)}")
    return tuple(
        _item(manifest, found[cell], number, cell=cell)
        for number, cell in enumerate(chosen, start=1)
    )


def _tiles_to_judge(plan: SlidePlan, manifest: Manifest) -> tuple[int, ...]:
    """The tiles with tissue, but for those that could not be read: nothing was found there."""
    holes = {hole.tile for hole in manifest.counts.tiles_failed}
    return tuple(tile for chunk in plan.chunks for tile in chunk if tile not in holes)


def _tiles(plan: SlidePlan, manifest: Manifest, chosen: list[int]) -> tuple[Item, ...]:
    per = plan.grid.l0_per_w
    items = []
    for number, tile in enumerate(chosen, start=1):
        owned = plan.tile(tile).owned
        box = owned.x0 * per, owned.y0 * per, owned.x1 * per, owned.y1 * per
        items.append(_item(manifest, box, number, tile=tile))
    return tuple(items)


def _item(
    manifest: Manifest, box: Box, number: int, *, cell: int | None = None, tile: int | None = None
) -> Item:
    """To look at a box in whole level-0 px, none of them beyond the slide."""
    x0, y0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    width = min(manifest.slide.width, math.ceil(box[2])) - x0
    height = min(manifest.slide.height, math.ceil(box[3])) - y0
    return Item(
        number=number, cell=cell, tile=tile, x=x0, y=y0, width=max(1, width), height=max(1, height)
    )


class ReviewStore:
    """One user's review of one job, below the folder of all: ``top``. Calls wait for each other,
    also those of other processes."""

    def __init__(self, top: Path, job: str, user: str, disk: Disk = DISK) -> None:
        self._folder = _of_job(top, job)
        # The id is not in the path: it might be anything.
        self._path = self._folder / f"{hashlib.sha256(user.encode()).hexdigest()[:32]}.json"
        self._job = job
        self._disk = disk

    def find(self) -> Review | None:
        """The review; None where none was begun. Raises ``StorageFailed``."""
        with storage(self._path):
            try:
                return Review.model_validate_json(self._path.read_bytes())
            except FileNotFoundError:
                return None
            except ValidationError as error:
                raise damaged(self._path, "it is no review") from error

    def read(self) -> Review:
        """The review. Raises ``NotFound`` where none was begun, ``StorageFailed``."""
        found = self.find()
        if found is None:
            raise self._none()
        return found

    def begin(self, review: Review, *, replace: bool) -> Review:
        """Keep a new review. Raises ``Conflict`` where it would take the place of one with
        verdicts, unless it is to ``replace`` that."""
        with storage(self._path):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                answered = self._answered()
                if answered and not replace:
                    raise Conflict(
                        f"You have judged {answered} items of {self._job} already.",
                        remedy="Go on with them, or give replace: true to begin anew.",
                        answered=answered,
                    )
                self._write(review)
        return review

    def judge(self, number: int, verdict: Judgement | None, now: datetime) -> Review:
        """Put down or take back what a person says of an item. Raises ``NotFound``."""
        self.read()  # says that there is none, before there is a lock to take
        with storage(self._path), self._locked():
            review = self.read()
            if not 1 <= number <= len(review.items):
                raise NotFound(
                    f"The review of {self._job} has no item {number}.",
                    remedy=f"Name one of 1 to {len(review.items)}.",
                )
            items = list(review.items)
            judged = {"verdict": verdict, "at": now if verdict is not None else None}
            items[number - 1] = items[number - 1].model_copy(update=judged)
            review = review.model_copy(update={"items": tuple(items)})
            self._write(review)
        return review

    def delete(self) -> None:
        """Nothing there is no fault."""
        with storage(self._path):
            if not self._folder.is_dir():
                return
            with self._locked():
                self._disk.step("remove", self._path)
                self._path.unlink(missing_ok=True)

    def _answered(self) -> int:
        found = self.find()
        return 0 if found is None else found.answered

    def _write(self, review: Review) -> None:
        try:
            self._disk.write(self._path, review.model_dump_json().encode())
        except FileNotFoundError:
            raise self._none() from None

    def _none(self) -> NotFound:
        """None was begun, or it has just gone with the results."""
        return NotFound(f"There is no review of {self._job}.", remedy="POST .../review begins one.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the job's reviews. The kernel drops the lock when its holder ends."""
        try:
            file = (self._folder / LOCK).open("ab")
        except FileNotFoundError:
            raise self._none() from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def delete_reviews(top: Path, job: str, disk: Disk = DISK) -> None:
    """All reviews of a job, whoever's; nothing there is no fault. Raises ``StorageFailed``."""
    if Path(job).name != job or job in ("", ".", ".."):
        return  # no name of ours: nothing can have been placed under it
    folder = _of_job(top, job)
    with storage(folder):
        if folder.is_dir():
            disk.remove_tree(folder)
        if folder.exists():
            raise StorageFailed(
                f"{folder} could not be removed.",
                remedy="Check who owns what is in it; it is tried again when the scheduler starts.",
                path=str(folder),
            )


def _of_job(top: Path, job: str) -> Path:
    if Path(job).name != job or job in ("", ".", ".."):
        raise NotFound(f"There is no job {job[:60]!r}.", remedy="GET /jobs lists yours.")
    return top / job


def utc_now() -> datetime:
    """The time to the second."""
    return datetime.now(UTC).replace(microsecond=0)
