"""The bug zoo of the operator's gates and of what is cancelled or deleted whole: see ``zoo``."""

from __future__ import annotations

from zoo import Mutant

GATES_AND_ENDINGS = (
    Mutant(
        "paused_goes_on",
        "A pause is shown and forgotten: chunks go on being sent.",
        "dispatch.py",
        "is_paused = state.paused_at is not None",
        "is_paused = False",
        "test_gates.py"
        "::test_while_paused_what_runs_ends_and_nothing_starts_until_the_operator_resumes",
    ),
    Mutant(
        "paused_lets_the_new_in",
        "Only jobs that were there when the operator paused wait.",
        "dispatch.py",
        "is_paused = state.paused_at is not None",
        "is_paused = state.paused_at is not None and not step.jobs",
        "test_gates.py"
        "::test_while_paused_what_runs_ends_and_nothing_starts_until_the_operator_resumes",
    ),
    Mutant(
        "restart_ends_the_pause",
        "A new life of the scheduler does not know of the pause.",
        "reports.py",
        "    state.wake_at = None\n    if state.removals:",
        "    state.wake_at = state.paused_at = None\n    if state.removals:",
        "test_gates.py::test_a_pause_outlives_restarts",
    ),
    Mutant(
        "resume_forgets_the_drain",
        "The end of a pause leaves the door shut.",
        "gates.py",
        "state.paused_at = state.drained_at = None",
        "state.paused_at = None",
        "test_gates.py::test_asking_twice_is_harmless_and_the_first_time_counts",
    ),
    Mutant(
        "drained_takes_in",
        "New work is taken in while the cluster is drained.",
        "requests.py",
        "if state.drained_at is not None:",
        "if False:",
        "test_gates.py"
        "::test_while_drained_new_work_is_refused_and_what_was_taken_in_runs_to_its_end",
    ),
    Mutant(
        "paused_jobs_tell_another_reason",
        "A job that waits for the operator says that it waits for a lane.",
        "explain.py",
        '    that of the operator, behind whom everybody waits."""\n'
        "    if state.paused_at is not None:",
        '    that of the operator, behind whom everybody waits."""\n    if False:',
        "test_gates.py::test_every_job_that_waits_says_that_the_operator_paused_and_since_when",
    ),
    Mutant(
        "followers_are_skipped_instead",
        "A workflow is cancelled from its first job on: the others are skipped, as by a failure.",
        "endings.py",
        "for name in reversed(list(names)):",
        "for name in list(names):",
        "test_deleting.py::test_a_workflow_is_cancelled_whole_and_no_other_with_it",
    ),
    Mutant(
        "cancels_somebody_elses_workflow",
        "Whoever knows a workflow's id may cancel it.",
        "endings.py",
        "workflow is None or (user is not None and workflow.user != user)",
        "workflow is None",
        "test_deleting.py::test_another_users_workflow_is_not_there",
    ),
    Mutant(
        "deleting_what_runs_is_acknowledged",
        "Whoever deletes a workflow that runs is told that it is deleted.",
        "endings.py",
        "if left := state.unfinished.get(event.workflow):",
        "if left := state.unfinished.get(event.workflow):\n        return False\n    if left:",
        "test_deleting.py::test_a_workflow_is_deleted_only_when_all_its_jobs_have_ended",
    ),
    Mutant(
        "key_of_the_deleted_starts_work_again",
        "With the workflow its key is forgotten: a late repeat of the request starts the work.",
        "endings.py",
        "    user.deleted_keys.add(key)\n",
        "",
        "test_deleting.py::test_the_key_of_a_deleted_workflow_is_known_and_never_starts_work_again",
    ),
    Mutant(
        "files_stay_after_a_crash",
        "What was to be removed when the scheduler died is never removed.",
        "reports.py",
        "if state.removals:",
        "if False:",
        "test_deleting.py::test_files_are_removed_again_after_a_restart_until_that_is_done",
    ),
    Mutant(
        "results_of_the_living_deleted",
        "The staging folder of a running job is removed under it.",
        "endings.py",
        "    if not job.state.is_final:\n        raise",
        "    if False:\n        raise",
        "test_deleting.py::test_the_results_of_a_job_that_has_not_ended_are_not_deleted",
    ),
    Mutant(
        "deleted_chunks_count_as_done",
        "A retried job goes on from chunks that were deleted.",
        "lifecycle.py",
        "job.progress, job.cells = None, 0",
        "pass",
        "test_deleting.py"
        "::test_a_failed_job_whose_files_were_deleted_begins_from_nothing_when_it_is_retried",
    ),
)
