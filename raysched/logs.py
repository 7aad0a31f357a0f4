"""What a process says of itself: one line of JSON, or of text, for each record of ``logging``.

Whoever begins to work on something says so with ``about``; each record made meanwhile carries it.
No secret of a key is ever written: ``redacted``.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum

_ABOUT: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)
_SECRET = re.compile(r"\b(rsk|rsl|rss)_([0-9a-f]{12})_[0-9a-f]+")


class LogFormat(StrEnum):
    """How a record is written."""

    JSON = "json"
    TEXT = "text"


def redacted(text: str) -> str:
    """The text without the secrets of keys; which key it was is left."""
    return _SECRET.sub(r"\1_\2_...", text) if "rs" in text else text


class about:  # noqa: N801 - used as a verb; a function with contextmanager takes twice as long
    """Say what the work inside is about; what is None is left out."""

    __slots__ = ("_named", "_token")

    def __init__(self, **named: object) -> None:
        self._named = named

    def __enter__(self) -> None:
        said = {k: v for k, v in self._named.items() if v is not None}
        self._token = _ABOUT.set({**now_about(), **said})

    def __exit__(self, *_: object) -> None:
        _ABOUT.reset(self._token)


def now_about() -> dict[str, object]:
    """What the work is about right here."""
    return _ABOUT.get() or {}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """``at``, ``level``, ``logger``, ``message``, what it is about, ``exception``."""
        said: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
            **now_about(),
            **getattr(record, "facts", {}),
        }
        if exception := exception_of(record):
            said["exception"] = exception
        return redacted(json.dumps(said, default=str))


class TextFormatter(logging.Formatter):
    """A record for a person."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message; then what it is about; then the traceback."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts = {**now_about(), **getattr(record, "facts", {})}
        named = "".join(f" {name}={value}" for name, value in facts.items())
        line = f"{when} {record.levelname} {record.name}: {message_of(record)}{named}"
        exception = exception_of(record)
        return redacted(f"{line}\n{exception}" if exception else line)


def message_of(record: logging.LogRecord) -> str:
    """What a record says; one whose arguments do not fit says that, and raises nothing."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - an engine's mistake must not end its unit
        return f"{record.msg!r} with arguments that do not fit ({error})"


def exception_of(record: logging.LogRecord) -> str:
    """The traceback of a record, if it has one."""
    if record.exc_info and record.exc_info[0] is not None:
        return logging.Formatter().formatException(record.exc_info)
    return record.exc_text or ""


class _Ours(logging.StreamHandler):  # type: ignore[type-arg]
    """Told apart from handlers of others. ``asked``: form, level and stream."""

    asked: tuple[object, ...] = ()


def write_logs(form: LogFormat, level: str) -> None:
    """Have this process write its records to stderr, from that level on; again changes the form.
    A lane's process says so before each unit: nothing is done where it is so already, since every
    logger of every library is told of a change."""
    root = logging.getLogger()
    ours = [each for each in root.handlers if isinstance(each, _Ours)]
    asked = (form, level, sys.stderr)
    if [each.asked for each in ours] == [asked]:
        return
    for known in ours:
        root.removeHandler(known)
    handler = _Ours(sys.stderr)
    handler.asked = asked
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    root.addHandler(handler)
    handler.setLevel(level.upper())
    logging.getLogger("raysched").setLevel(level.upper())
    logging.getLogger("serve_app").setLevel(level.upper())
