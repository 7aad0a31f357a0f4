"""What a worker says becomes an event that the journal gives back as it is."""

from __future__ import annotations

import pytest

from raysched.cluster import tasks
from raysched.cluster.run_endings import Lost, event_of
from raysched.core.events import Event, MppMissed, RunFailed, RunLost
from raysched.core.model import Failure, RunId
from raysched.journal.codec import standard_codec

RUN = RunId("1-1")


@pytest.mark.parametrize(
    ("ending", "event"),
    [
        (
            tasks.Failed(Failure("boom", "no \udcff file", "fix \udcff"), retryable=True),
            RunFailed(5.0, RUN, 1.0, Failure("boom", "no ? file", "fix ?"), True),
        ),
        (tasks.Asked("how large is \udcff?"), MppMissed(5.0, RUN, "how large is ??")),
        (Lost("killed by \udcff"), RunLost(5.0, RUN, "killed by ?")),
    ],
)
def test_half_characters_from_a_worker_do_not_make_the_replay_differ_from_life(
    ending: object, event: Event
) -> None:
    assert event_of(5.0, RUN, 1.0, ending) == event  # type: ignore[arg-type]
    codec = standard_codec()
    assert codec.decode(1, codec.encode(event)) == event
