"""What is said in a process while a unit runs goes into its job's log."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from pathlib import Path

import pytest

from raysched.cluster.accounts import Secret
from raysched.cluster.capture import LogPlace, captured
from raysched.core.accounts import KeyKind
from raysched.core.model import JobId, RunId, Stage, Unit
from raysched.results.logbook import Line, Place, folder_of, lines_of

UNIT = Unit(JobId("job-1"), 2, Stage.SEGMENT, 7)
RUN = RunId("1-5")
LANE = "raysched-lane-0"
said_by_engine = logging.getLogger("some_engine.inner")
said_by_us = logging.getLogger("raysched.results.stages")
said_by_own_engine = logging.getLogger("raysched.imaging.classical")


@pytest.fixture
def place(tmp_path: Path) -> LogPlace:
    return LogPlace(tmp_path / "logs", LANE, 10**6)


def kept(place: LogPlace) -> list[Line]:
    return [line for line, _ in lines_of(folder_of(place.logs, "job-1"), LANE, Place())]


def words(place: LogPlace) -> list[tuple[str, str, str, str]]:
    return [(line.level, line.source, line.logger, line.message) for line in kept(place)]


def test_records_warnings_and_prints_are_kept_with_who_and_when(
    place: LogPlace, capfd: pytest.CaptureFixture[str]
) -> None:
    with captured(UNIT, RUN, place):
        said_by_engine.info("model %s", "ready")
        said_by_us.warning("slow disk")
        said_by_own_engine.error("no tissue")
        said_by_engine.debug("not wanted")
        print("looking", "at", "a tile")
        print("no end of line", end="")
        sys.stderr.write("10 %\r50 %\r100 %\n\n")
    said_by_engine.info("after it")
    print("after it")
    assert words(place) == [
        ("info", "engine", "some_engine.inner", "model ready"),
        ("warning", "system", "raysched.results.stages", "slow disk"),
        ("error", "engine", "raysched.imaging.classical", "no tissue"),
        ("info", "engine", "stdout", "looking at a tile"),
        ("warning", "engine", "stderr", "100 %"),
        ("info", "engine", "stdout", "no end of line"),
    ]
    assert {(line.attempt, line.stage, line.chunk, line.run) for line in kept(place)} == {
        (2, "segment", 7, "1-5")
    }
    out, err = capfd.readouterr()
    assert out == "looking at a tile\nno end of lineafter it\n"
    assert "100 %" in err


def test_a_warning_is_said_again_in_the_next_unit(place: LogPlace) -> None:
    def dark() -> None:
        warnings.warn("too dark", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for _ in range(2):
            with captured(UNIT, RUN, place):
                dark()
                dark()
    assert [(line.level, line.logger) for line in kept(place)] == [("warning", "py.warnings")] * 2
    assert all("UserWarning: too dark" in line.message for line in kept(place))


def test_a_traceback_is_kept_whole(place: LogPlace) -> None:
    with captured(UNIT, RUN, place):
        try:
            raise ValueError("broken tile")  # noqa: TRY301
        except ValueError:
            said_by_engine.exception("a tile failed")
    (line,) = kept(place)
    assert line.level == "error"
    assert line.message.startswith("a tile failed\nTraceback (most recent call last):\n")
    assert line.message.endswith("ValueError: broken tile")


def test_what_other_threads_say_is_kept_line_by_line(place: LogPlace) -> None:
    def speak(name: str) -> None:
        for number in range(200):
            said_by_engine.warning("%s %s", name, number)

    with captured(UNIT, RUN, place):
        threads = [threading.Thread(target=speak, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wanted = [f"{name} {number}" for name in "abc" for number in range(200)]
    assert sorted(line.message for line in kept(place)) == sorted(wanted)


def test_the_secret_of_a_key_is_not_kept(place: LogPlace) -> None:
    key = Secret.new(KeyKind.API)
    with captured(UNIT, RUN, place):
        print("with", key.text)
        said_by_engine.error("with %s", key.text)
    assert [line.message for line in kept(place)] == [f"with rsk_{key.key}_..."] * 2


def test_a_log_that_cannot_be_written_ends_no_unit(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    before = sys.stdout
    with captured(UNIT, RUN, LogPlace(tmp_path / "logs", LANE, 10**6)):
        print("said all the same")
    assert sys.stdout is before
