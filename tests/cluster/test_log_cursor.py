"""Cursors of a job's log that nobody was given."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode

import pytest

from raysched.cluster.job_log import Cursor
from raysched.errors import InvalidSetting


@pytest.mark.parametrize(
    "said",
    ["[" * 100_000, "[0, 0, 0, 1" + "0" * 400 + ", {}]", "[0, 0, 0, NaN, {}]"],
    ids=["deep", "larger than any time", "no number"],
)
def test_a_cursor_that_was_made_up_is_refused(said: str) -> None:
    text = urlsafe_b64encode(zlib.compress(said.encode(), 9)).decode()
    with pytest.raises(InvalidSetting):
        Cursor.read(text)
