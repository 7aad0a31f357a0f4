"""The files in which jobs keep what was said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raysched.errors import NotFound
from raysched.results.logbook import (
    LEAST_PIECE_BYTES,
    MOST_MESSAGE,
    PIECES,
    Line,
    Logbook,
    Place,
    folder_of,
    lines_of,
    pieces,
    prune,
)

LANE = "raysched-lane-0"


def line(number: int, message: str = "said") -> Line:
    return Line(float(number), "info", "engine", "stdout", message, 1, "segment", number, "1-7")


def kept(folder: Path, place: Place | None = None) -> list[Line]:
    return [each for each, _ in lines_of(folder, LANE, place or Place())]


def write(folder: Path, *lines: Line, most_bytes: int = 10**6) -> None:
    book = Logbook(folder, LANE, most_bytes)
    for each in lines:
        book.write(each)
    book.close()


def test_what_is_written_is_read_back_and_a_place_goes_on_after_it(tmp_path: Path) -> None:
    write(tmp_path, line(1, "tab\tand half a character \udcff"), line(2))
    write(tmp_path, line(3))
    assert kept(tmp_path) == [line(1, "tab\tand half a character \udcff"), line(2), line(3)]
    place = list(lines_of(tmp_path, LANE, Place()))[1][1]
    assert kept(tmp_path, place) == [line(3)]
    last = list(lines_of(tmp_path, LANE, Place()))[2][1]
    assert kept(tmp_path, last) == []
    write(tmp_path, line(4))
    assert kept(tmp_path, last) == [line(4)]


def test_a_line_that_a_crash_has_torn_is_passed_over_and_harms_no_other(tmp_path: Path) -> None:
    write(tmp_path, line(1), line(2))
    path = tmp_path / f"{LANE}.000000.jsonl"
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1
    for cut in range(second, len(whole)):
        path.write_bytes(whole[:cut])
        assert kept(tmp_path) == [line(1)]
        write(tmp_path, line(3))
        rest = [line(2)] if cut == len(whole) - 1 else []  # only its end of line was missing
        assert kept(tmp_path) == [line(1), *rest, line(3)]


def test_the_beginning_and_what_is_newest_are_kept_and_a_line_says_what_was_dropped(
    tmp_path: Path,
) -> None:
    lines = [line(number, "x" * 1000) for number in range(1000)]
    most_bytes = PIECES * LEAST_PIECE_BYTES
    for each in lines:
        write(tmp_path, each, most_bytes=most_bytes)
    held = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert len(pieces(tmp_path)[LANE]) == PIECES
    assert most_bytes / 2 < held <= most_bytes
    found = kept(tmp_path)
    gap = next(number for number, each in enumerate(found) if each.logger == "raysched.log")
    after = len(found) - gap - 1
    dropped = 1000 - gap - after
    assert found[:gap] == lines[:gap]
    assert found[gap + 1 :] == lines[1000 - after :]
    assert found[gap].message.startswith(f"{dropped:,} lines of this lane were dropped")


def test_who_reads_behind_the_writer_is_told_of_the_gap(tmp_path: Path) -> None:
    lines = [line(number, "x" * 1000) for number in range(1000)]
    write(tmp_path, lines[0], most_bytes=1)
    ((_, place),) = lines_of(tmp_path, LANE, Place())
    write(tmp_path, *lines[1:], most_bytes=1)
    found = kept(tmp_path, place)
    assert found[0] == lines[1]
    assert [each.logger for each in found].count("raysched.log") == 1
    assert found[-1] == lines[-1]


def test_a_message_without_end_is_cut(tmp_path: Path) -> None:
    write(tmp_path, line(1, "x" * (MOST_MESSAGE + 5)))
    assert kept(tmp_path) == [line(1, "x" * MOST_MESSAGE + " ... (5 more)")]


def test_the_jobs_that_were_silent_for_longest_lose_their_logs_first(tmp_path: Path) -> None:
    for age, job in enumerate(("job-new", "job-old", "job-oldest")):
        write(tmp_path / job, line(1, "x" * 1000))
        for path in (tmp_path / job).iterdir():
            os.utime(path, (1e9 - age, 1e9 - age))
    size = sum(path.stat().st_size for path in (tmp_path / "job-new").iterdir())
    assert prune(tmp_path, 3 * size) == []
    assert prune(tmp_path, 1.5 * size) == ["job-oldest", "job-old"]
    assert kept(tmp_path / "job-new")
    assert prune(tmp_path / "nothing", 0) == []


@pytest.mark.parametrize("name", ["..", "a/b", "", "x\0", "job-1.", "x" * 101])
def test_what_can_be_no_job_names_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        folder_of(tmp_path, name)
