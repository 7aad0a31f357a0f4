"""The bug zoo of tiles that could not be read: see ``zoo``."""

from __future__ import annotations

from zoo import Mutant

FAILED_TILES = (
    Mutant(
        "all_tiles_may_fail",
        "However little of a slide could be read, its job succeeds.",
        "reports.py",
        "if may_fail is not None and progress.tiles_failed > may_fail:",
        "if False:",
        "test_failed_tiles.py::test_an_attempt_fails_as_soon_as_more_tiles_have_failed_than_may",
    ),
    Mutant(
        "one_failed_tile_too_few",
        "The job fails with as many failed tiles as may be.",
        "reports.py",
        "progress.tiles_failed > may_fail",
        "progress.tiles_failed >= may_fail",
        "test_failed_tiles.py"
        "::test_a_job_with_no_more_failed_tiles_than_may_be_succeeds_and_says_how_many",
    ),
    Mutant(
        "fails_when_all_is_computed",
        "That too many tiles have failed is noticed at the end: the rest was computed for nothing.",
        "reports.py",
        "if may_fail is not None and progress.tiles_failed > may_fail:",
        "if may_fail is not None and progress.tiles_failed > may_fail and not progress.pending:",
        "test_failed_tiles.py::test_an_attempt_fails_as_soon_as_more_tiles_have_failed_than_may",
    ),
    Mutant(
        "failed_tiles_count_as_done",
        "A retry leaves the chunks with failed tiles as they are: what can be read is not read.",
        "reports.py",
        "if plan.may_fail is not None:",
        "if False:",
        "test_failed_tiles.py"
        "::test_the_retry_of_a_person_does_only_the_chunks_with_failed_tiles_again",
    ),
    Mutant(
        "old_journals_are_decided_anew",
        "Chunks with failed tiles go again also where they did not when the journal was written.",
        "reports.py",
        "if plan.may_fail is not None:",
        "if True:",
        "test_failed_tiles.py"
        "::test_nothing_of_a_plan_of_an_older_version_goes_again_when_it_is_planned_anew",
    ),
    Mutant(
        "lost_chunks_keep_their_holes",
        "What had failed in a chunk that storage lost still counts when it was done again.",
        "reports.py",
        "progress.holes.pop(chunk, None)",
        "pass",
        "test_failed_tiles.py"
        "::test_a_chunk_that_storage_lost_counts_as_it_was_done_the_second_time",
    ),
    Mutant(
        "holes_are_no_news",
        "A job with failed tiles says that it is done, as one without.",
        "explain.py",
        "if failed else",
        "if False else",
        "test_failed_tiles.py"
        "::test_a_job_with_no_more_failed_tiles_than_may_be_succeeds_and_says_how_many",
    ),
)
