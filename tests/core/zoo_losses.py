"""The bug zoo, continued: what is lost for its memory, and lanes for which there is no room."""

from __future__ import annotations

from zoo import Mutant

CARE = (
    "test_attempts.py::"
    "test_what_was_ended_for_its_memory_goes_again_with_care_and_nothing_else_does"
)
ROOM = "test_rules.py::test_who_waits_is_told_that_the_cluster_has_no_room_for_all_lanes"
LOSSES = (
    Mutant(
        "too_large_runs_again_as_before",
        "What was ended for its memory goes again in the same way, and is ended again.",
        "dispatch.py",
        "careful = bool(job.too_large) and unit_key(unit) in job.too_large",
        "careful = False",
        CARE,
    ),
    Mutant(
        "every_loss_is_for_memory",
        "A process that was killed from outside counts as one that was too large.",
        "reports.py",
        "    if event.too_large:\n",
        "    if True:\n",
        CARE,
    ),
    Mutant(
        "careful_for_ever",
        "A unit that was too large once is done with care in every later attempt.",
        "lifecycle.py",
        "    job.too_large = {}\n",
        "",
        "test_attempts.py::test_care_outlives_a_restart_and_ends_with_the_attempt",
    ),
    Mutant(
        "nobody_is_told_that_the_cluster_is_small",
        "Who waits for lanes that the cluster has no room for waits in silence.",
        "lanes.py",
        "pool.wanted, pool.room, pool.lacks = count.wanted, count.room, count.lacks",
        "pass",
        ROOM,
    ),
)
