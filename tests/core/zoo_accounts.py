"""The bug zoo of users and keys: see ``zoo``."""

from __future__ import annotations

from zoo import Mutant

WHO_MAY_ASK = (
    Mutant(
        "session_outlives_its_key",
        "A key is revoked, and whoever has logged in with it goes on.",
        "identity.py",
        "            if session.parent == name:\n",
        "            if session.parent == key.digest:\n",
        "test_accounts.py::test_a_revoked_key_opens_nothing_nor_do_its_sessions",
    ),
    Mutant(
        "login_link_works_twice",
        "Whoever finds the one-time link in a history logs in with it.",
        "identity.py",
        "    if is_once:\n        del keys[event.key]\n",
        "",
        "test_accounts.py::test_a_one_time_login_works_once",
    ),
    Mutant(
        "prefix_is_enough",
        "A key is looked up by its public part, and the rest is not compared.",
        "identity.py",
        "if not compare_digest(digest.encode(),",
        "if False and compare_digest(digest.encode(),",
        "test_accounts.py::test_a_key_opens_only_as_a_whole",
    ),
    Mutant(
        "disabled_goes_on_with_the_next",
        "A disabled user's waiting jobs begin one after the other.",
        "admission.py",
        " or state.is_held(job)",
        "",
        "test_accounts.py::test_of_a_disabled_user_what_has_begun_goes_on_and_nothing_else_begins",
    ),
    Mutant(
        "deleted_id_is_free_again",
        "A new user gets the id, and with it the jobs and results, of one who was deleted.",
        "identity.py",
        "    if known is None:\n        return True\n",
        "    if known is None or known.deleted_at is not None:\n        return True\n",
        "test_accounts.py"
        "::test_deleting_a_user_cancels_their_jobs_and_shuts_their_keys_and_keeps_the_id",
    ),
    Mutant(
        "every_use_is_written",
        "Each request of each user becomes a record of the journal.",
        "identity.py",
        " and (key.used_at is None or event.at >= key.used_at + USED_STEP_S)",
        "",
        "test_accounts.py::test_the_last_use_is_news_once_a_minute",
    ),
)
