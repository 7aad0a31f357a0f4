"""The bug zoo: faults that the core must not have, each as a small change to its source.

Most were seen in systems that answer the same brief; the others are the ways in which each rule of
ARCHITECTURE.md goes wrong most easily. ``test_bug_zoo`` makes each change in a copy of the package
and demands that the test named here notices.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One fault: in ``file`` of ``raysched/core``, ``old`` (found once) becomes ``new``.

    ``killer`` is the test of ``tests/core`` that must notice, as FILE::TEST.
    """

    name: str
    fault: str
    file: str
    old: str
    new: str
    killer: str


SEEN_ELSEWHERE = (
    Mutant(
        "branch_shared_by_tenants",
        "All users share one table of branches, so a name is one lock for all tenants.",
        "state.py",
        "branches: dict[BranchName, Branch] = field(default_factory=dict)",
        "branches: dict[BranchName, Branch] = field(default_factory=lambda one={}: one)",
        "test_defects.py::test_two_tenants_branches_of_one_name_do_not_wait_for_each_other",
    ),
    Mutant(
        "queued_jobs_of_a_branch_start_together",
        "A job leaves its branch's line when it is dispatched, and nothing holds the lock for it.",
        "dispatch.py",
        "state.branch_of(job).current = job.id",
        "state.branch_of(job).line.leave(job.order, job.id)",
        "test_defects.py::test_two_queued_jobs_of_a_branch_do_not_start_together",
    ),
    Mutant(
        "children_wait_for_ever",
        "Nobody tells the followers of a failed job.",
        "lifecycle.py",
        "_skip_followers(state, job, step)",
        "pass",
        "test_defects.py::test_children_of_a_failed_parent_do_not_wait_for_ever",
    ),
    Mutant(
        "crash_leaves_the_job_running",
        "A lane that dies takes its run along unsaid: the run stays in flight for ever.",
        "lanes.py",
        "apply_lost(state, RunLost(event.at, run, event.cause), step)",
        "state.pools[state.sites[event.lane].pool].idle[event.lane] = None",
        "test_defects.py::test_a_worker_that_dies_does_not_leave_its_job_running_for_ever",
    ),
    Mutant(
        "head_of_the_queue_queued_again",
        "Whoever waits is put at the end of the queue again by each event of theirs.",
        "admission.py",
        "elif name not in state.queue:",
        "elif state.queue.pop(name, None) or True:",
        "test_defects.py::test_the_head_of_the_queue_is_not_queued_again_on_each_tick",
    ),
    Mutant(
        "released_while_a_job_runs",
        "A user whose tenure is over loses the slot at once, whatever is in flight.",
        "admission.py",
        " if not state.users[name].runs]",
        "]",
        "test_defects.py::test_a_user_is_not_released_after_a_timeout_while_a_job_runs",
    ),
    Mutant(
        "forward_parents_dropped",
        "A dependency on a job that stands further on in the list is not known yet: dropped.",
        "requests.py",
        "unmet=dict.fromkeys(spec.depends_on)",
        "unmet=dict.fromkeys(name for name in spec.depends_on if name in state.jobs)",
        "test_defects.py::test_dependencies_that_point_forward_are_kept",
    ),
    Mutant(
        "anyone_may_cancel",
        "A job is found by its id alone, whoever asks.",
        "requests.py",
        "if job is None or (user is not None and job.user != user):",
        "if job is None:",
        "test_defects.py::test_nobody_clears_the_jobs_of_another",
    ),
)

ORDER_AND_FAILURE = (
    Mutant(
        "revived_job_breaks_the_branch_lock",
        "The head of a branch is the first in line, also while a later job has begun.",
        "state.py",
        "return self.current or self.line.first()",
        "return self.line.first()",
        "test_defects.py::test_a_revived_job_does_not_start_beside_a_later_one_of_its_branch",
    ),
    Mutant(
        "successor_in_the_branch_runs_after_a_failure",
        "A failure reaches those who named the job, but not its successor in the branch.",
        "graph.py",
        "if job.after is not None:",
        "if False:",
        "test_rules.py::test_a_failure_skips_what_needs_it_and_nothing_else",
    ),
    Mutant(
        "retry_revives_nothing",
        "A retry moves the failed job alone; what it had skipped stays skipped.",
        "lifecycle.py",
        "return [job for job in skipped if job.id not in kept], kept",
        "return [], kept",
        "test_rules.py::test_a_retry_revives_what_was_skipped_at_its_old_place_in_the_branch",
    ),
    Mutant(
        "retry_revives_too_much",
        "A retry revives a job that another failed job still keeps from running.",
        "lifecycle.py",
        "if to_blame is None or",
        "if True or",
        "test_rules.py::test_a_job_with_two_failed_parents_is_revived_only_when_both_are_retried",
    ),
    Mutant(
        "revived_grandchild_waits_for_ever",
        "A job whose parent stays skipped is revived, and waits for that parent.",
        "lifecycle.py",
        "kept.setdefault(job.id, to_blame)",
        "pass",
        "test_defects.py"
        "::test_a_grandchild_of_two_failed_jobs_is_kept_skipped_by_the_one_that_is_not_retried",
    ),
    Mutant(
        "person_s_retry_has_no_attempts",
        "Attempts are counted from the submission, not from a person's last retry.",
        "lifecycle.py",
        "job.tries <= state.limits.max_retries",
        "job.attempt <= state.limits.max_retries",
        "test_attempts.py::test_a_retry_by_a_person_gives_all_attempts_again",
    ),
    Mutant(
        "back_off_never_over",
        "Nobody asks to be woken at the end of a back-off.",
        "dispatch.py",
        "times = [state.alarms[0][0]] if state.alarms else []",
        "times = []",
        "test_attempts.py::test_failed_attempts_wait_longer_and_longer_then_the_job_fails",
    ),
    Mutant(
        "poison_runs_for_ever",
        "A unit that kills its process each time goes again and again.",
        "reports.py",
        "if job.losses[unit] > state.limits.max_losses_per_unit:\n"
        "        failure = Failure(\n"
        '            "work_lost"',
        'if False:\n        failure = Failure(\n            "work_lost"',
        "test_defects.py::test_a_unit_that_kills_every_worker_does_not_run_for_ever",
    ),
)

REPORTS_AND_CANCEL = (
    Mutant(
        "lost_chunk_counted_as_done",
        "A chunk that was lost or failed is not put back: its job is done with a hole.",
        "lifecycle.py",
        "if run.unit.stage is SEGMENT and job.progress is not None:",
        "if False:",
        "test_defects.py::test_a_chunk_that_is_lost_runs_again_and_counts_once",
    ),
    Mutant(
        "chunk_in_flight_lost_at_a_restart",
        "What was in flight when the scheduler died is not done again.",
        "reports.py",
        "return_unit(job, flight)",
        "pass",
        "test_attempts.py::test_a_restart_runs_the_same_units_again_and_blames_nobody",
    ),
    Mutant(
        "stale_report_believed",
        "A report names its unit, not its dispatch: that of a dead run is taken for the new one's.",
        "dispatch.py",
        'RunId(f"{state.epoch}-{state.runs_started}")',
        'RunId(f"{job.id}-{job.stage}-{chunk}")',
        "test_attempts.py::test_a_lost_lane_loses_its_run_and_the_late_report_of_it_is_ignored",
    ),
    Mutant(
        "report_counted_twice",
        "A run stays in flight after its report: the same report again counts again.",
        "reports.py",
        "run = state.runs.pop(name)",
        "run = state.runs[name]\n"
        "    state.jobs[run.unit.job].runs[name] = None\n"
        "    state.users[state.jobs[run.unit.job].user].runs[name] = None",
        "test_defects.py::test_a_report_that_comes_twice_counts_once",
    ),
    Mutant(
        "chunk_counted_after_the_cancel",
        "A chunk that ends after the cancel still moves the progress.",
        "reports.py",
        "if job.state is SEGMENTING:",
        "if True:",
        "test_rules.py"
        "::test_a_cancelled_job_stops_its_runs_and_is_cancelled_when_the_last_has_ended",
    ),
    Mutant(
        "chunk_starts_after_the_cancel",
        "A cancel stops the runs in flight but leaves the job at work: its next chunk starts.",
        "requests.py",
        "move(job, Cause.CANCEL_ASKED)",
        "pass",
        "test_defects.py::test_no_chunk_starts_after_a_cancel_was_acknowledged",
    ),
    Mutant(
        "publish_after_the_cancel",
        "A cancel while publishing is acknowledged and forgotten: the job succeeds.",
        "requests.py",
        "in (JobState.CANCELLED, CANCELLING)",
        "in (JobState.CANCELLED, CANCELLING, JobState.PUBLISHING)",
        "test_rules.py::test_a_result_that_comes_after_the_cancel_does_not_count",
    ),
    Mutant(
        "key_ignored",
        "The idempotency key is not looked up: a request sent twice is two workflows.",
        "requests.py",
        "if known is not None:",
        "if False:",
        "test_defects.py::test_a_request_that_is_sent_twice_is_one_workflow",
    ),
    Mutant(
        "two_schedulers_of_one_epoch",
        "A second scheduler may start in the epoch of the first.",
        "reports.py",
        "if event.epoch <= state.epoch:",
        "if event.epoch < state.epoch:",
        "test_transitions.py::test_an_epoch_that_does_not_grow_is_refused",
    ),
)

CAPS_AND_SHARES = (
    Mutant(
        "one_job_too_many_runs",
        "max_running_jobs is passed by one.",
        "dispatch.py",
        "len(pool.running) < state.limits.max_running_jobs",
        "len(pool.running) <= state.limits.max_running_jobs",
        "test_fairness.py::test_no_more_jobs_run_than_the_cap_allows_and_the_others_say_so",
    ),
    Mutant(
        "one_user_too_many_is_active",
        "max_active_users is passed by one.",
        "admission.py",
        "len(state.slots) < state.limits.max_active_users",
        "len(state.slots) <= state.limits.max_active_users",
        "test_fairness.py::test_users_wait_for_a_slot_first_in_first_out_and_are_told_how_long",
    ),
    Mutant(
        "slots_last_in_first_out",
        "A free slot goes to whoever came last.",
        "admission.py",
        "state.queue.popitem(last=False)",
        "state.queue.popitem()",
        "test_fairness.py::test_users_wait_for_a_slot_first_in_first_out_and_are_told_how_long",
    ),
    Mutant(
        "tenure_ignored",
        "Whoever holds a slot keeps it until all is done, however long others wait.",
        "admission.py",
        "if state.queue and tenure_s > 0:",
        "if False:",
        "test_fairness.py"
        "::test_a_user_whose_tenure_is_over_parks_at_the_chunks_end_and_queues_at_the_end",
    ),
    Mutant(
        "tiny_job_waits_for_giants",
        "Nobody is parked: a job gets under the cap only when another has ended.",
        "dispatch.py",
        "pool.parking = _whom_to_park(state, pool, running)",
        "pool.parking = None",
        "test_fairness.py"
        "::test_a_tiny_job_gets_in_within_a_chunk_when_giants_fill_the_cap_and_the_lanes",
    ),
    Mutant(
        "who_was_parked_is_remembered",
        "A parked job that has ended is recorded as parked with every event while no lane is idle.",
        "dispatch.py",
        "if pool.parking not in pool.running:  #",
        "if False:  #",
        "test_replay.py::test_who_was_parked_is_forgotten_when_it_ends_although_no_lane_is_left",
    ),
    Mutant(
        "lanes_idle_beside_a_parked_giant",
        "The parked job gets no lane even when no other job under the cap can use it.",
        "dispatch.py",
        "return min(others or able,",
        "return min(others,",
        "test_attacks.py"
        "::test_many_branches_of_tiny_jobs_leave_no_lane_idle_while_a_giant_has_chunks",
    ),
    Mutant(
        "restarts_charge_whole_estimates",
        "A run that a restart killed is charged its whole estimate, however short it was.",
        "reports.py",
        "cost = min(state.now - flight.started_at, flight.est_s)",
        "cost = flight.est_s",
        "test_attacks.py::test_restarts_do_not_move_shares_to_whoever_has_the_smaller_chunks[130]",
    ),
    Mutant(
        "only_the_last_retry_key_is_known",
        "The keys of earlier retries are forgotten: a late repeat is one more retry.",
        "requests.py",
        "job.earlier_retry_keys += (job.retry_key,)",
        "pass",
        "test_attacks.py::test_a_late_repeat_of_an_old_retry_is_no_new_retry",
    ),
    Mutant(
        "idle_time_banks_credit",
        "Whoever comes back is served as if they had been owed the time they were away.",
        "fairness.py",
        "if tag < self.virtual:",
        "if False:",
        "test_fairness.py::test_time_without_work_banks_no_credit",
    ),
    Mutant(
        "branches_multiply_the_share",
        "A user's work is charged per branch, so that opening branches buys lanes.",
        "dispatch.py",
        "est_s / user.weight",
        "est_s / len(user.branches)",
        "test_fairness.py::test_two_users_share_evenly_however_many_branches_one_of_them_opens",
    ),
    Mutant(
        "slow_chunks_are_free",
        "A user is charged what a chunk was thought to take, never what it took.",
        "reports.py",
        "pool.turns.correct(",
        "(lambda *_: None)(",
        "test_fairness.py::test_what_counts_is_the_time_that_chunks_took_between_users_and_"
        "between_branches[users0]",
    ),
)

EQUAL_WORK = (
    Mutant(
        "reused_chunks_are_done_again",
        "A plan that finds all chunks done in an equal job's result is done like any other.",
        "reports.py",
        "if plan.reused:",
        "if False:",
        "test_equal_work.py"
        "::test_a_job_whose_equal_has_succeeded_goes_straight_to_assemble_with_all_its_tiles_done",
    ),
    Mutant(
        "a_reused_result_that_is_gone_counts_as_done",
        "Chunks that an equal job's result had stay done though the new plan does not find them.",
        "reports.py",
        "lost = known.reused and not plan.reused",
        "lost = False",
        "test_equal_work.py::test_a_plan_that_no_longer_finds_the_equal_result_does_all_chunks",
    ),
    Mutant(
        "equal_work_side_by_side",
        "Nobody looks whether another job computes the same: the slide is segmented twice.",
        "equal_work.py",
        "if name != job.id",
        "if False",
        "test_equal_work.py"
        "::test_equal_jobs_of_one_user_compute_once_and_the_later_takes_the_result",
    ),
    Mutant(
        "never_released",
        "Who waits for equal work is not told that the other has failed.",
        "equal_work.py",
        "        other.awaits = None\n",
        "        pass\n",
        "test_equal_work.py"
        "::test_when_the_one_at_work_fails_for_good_the_first_that_waits_goes_to_work",
    ),
    Mutant(
        "waits_out_the_back_off",
        "A failed attempt keeps its claim until the next one, and the others wait it out.",
        "lifecycle.py",
        "    step.touch(job)\n    equal_work.leave(state, job, step)\n",
        "    step.touch(job)\n",
        "test_equal_work.py"
        "::test_nobody_sits_out_the_back_off_of_the_one_at_work_which_then_waits_itself",
    ),
    Mutant(
        "waits_for_another_users",
        "What is at work is known for all users together: one waits for another's equal job.",
        "state.py",
        "at_work: dict[str, dict[JobId, dict[JobId, None]]] = field(default_factory=dict)",
        "at_work: dict[str, dict[JobId, dict[JobId, None]]] = "
        "field(default_factory=lambda one={}: one)",
        "test_equal_work.py::test_another_users_equal_work_is_not_waited_for",
    ),
    Mutant(
        "work_without_a_name_is_equal",
        "Plans of old workers, which name no work, are taken for equal.",
        "equal_work.py",
        "    if work:\n        state.users",
        "    if True:\n        state.users",
        "test_equal_work.py::test_work_without_a_name_equals_no_other",
    ),
    Mutant(
        "released_while_the_failed_attempt_runs",
        "A failed attempt is no longer waited for, though its other chunks are in flight: two jobs "
        "compute the same at once.",
        "lifecycle.py",
        "retryable and job.tries <= state.limits.max_retries)\n",
        "retryable and job.tries <= state.limits.max_retries)\n"
        "    equal_work.leave(state, job, step)\n",
        "test_equal_work.py::test_a_failed_attempt_is_waited_for_until_its_last_run_has_ended",
    ),
    Mutant(
        "released_before_the_result_is_there",
        "A job is no longer waited for once it publishes: the others find no result and segment.",
        "reports.py",
        "move(job, Cause.ASSEMBLED)",
        "move(job, Cause.ASSEMBLED)\n    equal_work.leave(state, job, step)",
        "test_equal_work.py::test_equal_work_is_waited_for_until_its_result_is_there[publishing]",
    ),
    Mutant(
        "all_that_waited_go_to_work",
        "Who has waited once is not known to be at work: the others go beside it.",
        "reports.py",
        "    equal_work.begin(state, job)\n",
        "    if not any(run.unit.stage is PLAN for run in state.runs.values()):\n"
        "        equal_work.begin(state, job)\n",
        "test_equal_work.py::test_several_that_are_planned_at_once_do_not_go_to_work_together",
    ),
    Mutant(
        "done_work_is_not_remembered",
        "Nobody knows that work is done: those that waited wait again, one behind the other.",
        "equal_work.py",
        "    done[work] = None\n    done.move_to_end(work)\n",
        "",
        "test_equal_work.py"
        "::test_of_many_jobs_of_one_work_one_goes_first_and_then_all_others_side_by_side",
    ),
    Mutant(
        "failed_work_counts_as_done",
        "Work counts as done though its job failed: all that waited compute it at once.",
        "equal_work.py",
        "job.state is SUCCEEDED and",
        "True and",
        "test_equal_work.py"
        "::test_when_the_one_at_work_fails_for_good_the_first_that_waits_goes_to_work",
    ),
    Mutant(
        "another_users_work_counts_as_done",
        "What one user has done counts as done for all, in whose stores nothing of it is.",
        "state.py",
        "done_work: OrderedDict[str, None] = field(default_factory=OrderedDict)",
        "done_work: OrderedDict[str, None] = field(default_factory=lambda one=OrderedDict(): one)",
        "test_equal_work.py::test_work_that_another_user_has_done_is_still_done_by_one_at_a_time",
    ),
    Mutant(
        "waits_for_another_though_it_is_done",
        "Only those that wait for the job that succeeded go on, not those that wait for another.",
        "equal_work.py",
        "for more in here.values():",
        "for more in ():",
        "test_equal_work.py::test_a_job_that_succeeds_by_reuse_says_that_its_work_is_done",
    ),
    Mutant(
        "done_work_is_never_forgotten",
        "Every work that was ever done stays in memory.",
        "equal_work.py",
        "        del done[name]\n",
        "        pass\n",
        "test_equal_work.py::test_the_work_that_was_done_last_is_known_and_older_work_is_forgotten",
    ),
    Mutant(
        "work_that_jobs_are_at_is_forgotten",
        "Work is forgotten while several are at it: they do at once what nobody has done.",
        "equal_work.py",
        " if name not in user.at_work)",
        ")",
        "test_equal_work.py::test_work_that_jobs_are_at_is_not_forgotten",
    ),
)

ZOO = (*SEEN_ELSEWHERE, *ORDER_AND_FAILURE, *REPORTS_AND_CANCEL, *CAPS_AND_SHARES, *EQUAL_WORK)
