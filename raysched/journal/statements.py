"""The journal's SQL: one named file in ``sql/`` for each statement, read once."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from importlib.resources import files


class Statement(StrEnum):
    """Each statement, by the name of its file."""

    CREATE = "create"
    WHERE_IT_ENDS = "where_it_ends"
    NEXT_EPOCH = "next_epoch"
    APPEND = "append"
    APPEND_ONE = "append_one"
    APPEND_ARCHIVE = "append_archive"
    REPLAY = "replay"
    REPLAY_FORMAT_1 = "replay_format_1"
    MARK = "mark"
    STORY = "story"
    CHAPTER = "chapter"
    ARCHIVED = "archived"
    ARCHIVED_INDEX = "archived_index"
    ARCHIVED_ROWS = "archived_rows"
    ARCHIVED_BETWEEN = "archived_between"
    USAGE = "usage"


@cache
def sql(statement: Statement) -> str:
    """The text of a statement."""
    return (files(__package__) / "sql" / f"{statement}.sql").read_text("utf-8")
