"""What processes write about themselves."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from datetime import datetime

import pytest

from raysched.cluster.accounts import Secret
from raysched.core.accounts import KeyKind
from raysched.logs import LogFormat, about, redacted, write_logs


@contextmanager
def written(form: LogFormat = LogFormat.JSON, level: str = "info") -> Iterator[io.StringIO]:
    """What this process writes to stderr meanwhile; pytest's own handlers, which raise what ours
    must bear, are away."""
    root, stderr = logging.getLogger(), io.StringIO()
    ours = [logging.getLogger(name) for name in ("raysched", "serve_app")]
    before = [*root.handlers], [logger.level for logger in ours]
    root.handlers = []
    try:
        with redirect_stderr(stderr):
            write_logs(form, level)
            write_logs(form, level)  # once more is the same
            yield stderr
    finally:
        root.handlers = before[0]
        for logger, was in zip(ours, before[1], strict=True):
            logger.setLevel(was)


log = logging.getLogger("raysched.some.part")


def test_a_record_is_one_line_of_json_with_what_it_is_about() -> None:
    with written(LogFormat.JSON) as stderr:
        with about(user="ann", workflow="wf-1"), about(job="job-1", attempt=2, run="1-5", x=None):
            log.warning("slow\ndisk: %s", "sda", extra={"facts": {"seconds": 0.5}})
        log.debug("not wanted")
        log.info("about nothing")
        first, second = map(json.loads, stderr.getvalue().splitlines())
        assert datetime.fromisoformat(first.pop("at")).tzinfo is not None
        assert first == {
            "level": "warning",
            "logger": "raysched.some.part",
            "message": "slow\ndisk: sda",
            "user": "ann",
            "workflow": "wf-1",
            "job": "job-1",
            "attempt": 2,
            "run": "1-5",
            "seconds": 0.5,
        }
        assert second.keys() == {"at", "level", "logger", "message"}


@pytest.mark.parametrize("form", LogFormat)
def test_an_exception_comes_along(form: LogFormat) -> None:
    with written(form) as stderr:
        try:
            raise ValueError("broken")  # noqa: TRY301
        except ValueError:
            log.exception("it failed")
        assert "ValueError: broken" in stderr.getvalue()
        if form is LogFormat.JSON:
            (line,) = stderr.getvalue().splitlines()
            assert json.loads(line)["exception"].endswith("ValueError: broken")


def test_text_is_for_a_person() -> None:
    with written(LogFormat.TEXT) as stderr:
        with about(job="job-1"):
            log.info("planned")
        assert stderr.getvalue().endswith(" INFO raysched.some.part: planned job=job-1\n")


@pytest.mark.parametrize("form", LogFormat)
@pytest.mark.parametrize("kind", KeyKind)
def test_the_secret_of_a_key_is_never_written(form: LogFormat, kind: KeyKind) -> None:
    key = Secret.new(kind)
    secret = key.text.rsplit("_", 1)[1]
    with written(form) as stderr:
        with about(user=f"of {key.text}"):
            log.info("with %s", key.text, extra={"facts": {"header": f"Bearer {key.text}"}})
            try:
                raise ValueError(key.text)  # noqa: TRY301
            except ValueError:
                log.exception("no good: %r", {"key": key.text})
        assert secret[:8] not in stderr.getvalue()
        assert key.key in stderr.getvalue()
        assert redacted("of nobody") == "of nobody"


def test_a_process_writes_each_record_once() -> None:
    with written(LogFormat.TEXT) as stderr:
        log.info("once")
        assert stderr.getvalue().count("once") == 1


def test_a_record_whose_arguments_do_not_fit_is_written_all_the_same() -> None:
    with written(LogFormat.JSON) as stderr:
        log.info("%d cells", "many")
        assert "arguments that do not fit" in json.loads(stderr.getvalue())["message"]
