"""Where what a job left is, and reading while it is written. Knows no HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from raysched.core.model import JobState
from raysched.core.views import JobView
from raysched.errors import NotFound, NotReady
from raysched.imaging.request import read_request

PIECE_BYTES = 256 * 1024


def refuse_deleted(view: JobView) -> None:
    """Raises ``NotFound`` where a job's results were deleted by their owner."""
    if view.results_deleted_at is not None:
        at = datetime.fromtimestamp(view.results_deleted_at, UTC)
        raise NotFound(
            f"The results of {view.job} were deleted on {at:%Y-%m-%d at %H:%M} UTC.",
            remedy="Submit the slide again to make them anew.",
        )


def results_of(view: JobView) -> Path:
    """Where a job's results are. Raises ``NotReady`` before, ``NotFound`` once they are gone."""
    refuse_deleted(view)
    if view.state is not JobState.SUCCEEDED:
        raise NotReady(
            f"{view.job} has no results: it is {view.state}.",
            remedy="Ask again when it has succeeded; GET .../explain says what it waits for.",
            state=view.state,
        )
    folder = Path(read_request(view.kind, view.request).out)
    if not folder.is_dir():
        raise NotFound(
            f"The results of {view.job} are no longer there.",
            remedy="They were moved or deleted; submit the slide again to make them anew.",
        )
    return folder


def find_result(folder: Path, name: str) -> Path:
    """The file of that relative name in a results folder. Raises ``NotFound``."""
    try:
        path = (folder / name).resolve(strict=True)
        if path.is_relative_to(folder.resolve()) and path.is_file():
            return path
    except (OSError, ValueError, RuntimeError):
        pass
    raise NotFound(
        f"The results hold no file {name[:200]!r}.", remedy="GET .../results lists the files."
    )


def result_files(folder: Path) -> Iterator[Path]:
    """All regular files of a results folder, by name. Links are not followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def cells_of(view: JobView) -> Path:
    """The folder with a job's cells: its results, or what an unfinished job has so far.

    Raises ``NotReady`` when there is neither, ``NotFound`` when the results are gone.
    """
    from raysched.results.folders import staging_folder
    from raysched.results.manifest import read_provenance

    refuse_deleted(view)
    if view.state is not JobState.SUCCEEDED:
        out = Path(read_request(view.kind, view.request).out)
        staging = staging_folder(out, view.job)
        if staging.is_dir():
            return staging
        if view.state is JobState.PUBLISHING:  # done, but for the scheduler to hear of it
            published = read_provenance(out)
            if published is not None and published.job == view.job:
                return out
    return results_of(view)


def pulled(write: Callable[[BinaryIO], object]) -> Iterator[bytes]:
    """What a function writes to a stream, in pieces, while it writes.

    The function runs in a thread behind an operating system pipe, so it is never more than a
    piece ahead of the reader, and a reader that goes away ends it. What it raises is raised here.
    """
    reading, writing = os.pipe()
    raised: list[BaseException] = []

    def produce() -> None:
        try:
            with os.fdopen(writing, "wb", PIECE_BYTES) as to:
                write(to)
        except BrokenPipeError:  # the reader has gone
            pass
        except BaseException as error:  # noqa: BLE001 - carried to the reader
            raised.append(error)

    producer = threading.Thread(target=produce, name="pulled", daemon=True)
    producer.start()
    try:
        with os.fdopen(reading, "rb", 0) as source:
            while piece := source.read(PIECE_BYTES):
                yield piece
    finally:
        producer.join()  # until it has ended its work goes on, and counts as going on
    if raised:
        raise raised[0]
