"""The bug zoo of lanes that come, close and go: see ``zoo``."""

from __future__ import annotations

from zoo import Mutant

ENDS = (
    "test_closing_lanes.py"
    "::test_what_runs_in_a_closing_lane_ends_and_counts_and_then_the_lane_is_given_back"
)

NEAR = "test_locality.py::test_chunks_prefer_an_idle_lane_on_a_node_that_has_the_slide"

LANES = (
    Mutant(
        "a_closing_lane_goes_on",
        "A lane that is to go gets the next chunk when it is free: its node is never empty.",
        "reports.py",
        "    if lane in state.closing:\n",
        "    if False:\n",
        ENDS,
    ),
    Mutant(
        "an_idle_lane_that_closes_stays_in_turn",
        "A lane in which nothing runs is given back while it still takes units.",
        "lanes.py",
        "        del state.pools[state.sites[event.lane].pool].idle[event.lane]\n        step",
        "        step",
        "test_closing_lanes.py::test_a_lane_that_is_idle_is_given_back_at_once_and_gets_nothing",
    ),
    Mutant(
        "a_closing_lane_is_never_given_back",
        "Nobody is told that a lane that is to go is free: the node is held for ever.",
        "reports.py",
        "step.commands.append(ReleaseLane(lane))",
        "pass",
        ENDS,
    ),
    Mutant(
        "what_runs_in_a_closing_lane_is_lost",
        "A lane that is to go is given back with what runs in it.",
        "lanes.py",
        "if state.lanes[event.lane] is None:",
        "if state.pools[''].idle.setdefault(event.lane) is None:",
        ENDS,
    ),
    Mutant(
        "who_waits_for_lanes_that_cannot_come_holds_a_slot",
        "Users who wait for a pool that no node has lanes for hold slots that others could use.",
        "admission.py",
        "if own.ready and state.is_served(pool):",
        "if own.ready:",
        "test_pools.py::test_whoever_waits_for_lanes_that_cannot_come_holds_no_slot",
    ),
    Mutant(
        "lanes_that_come_are_told_to_nobody",
        "Users who waited for a pool that nobody served never get a slot when a lane opens.",
        "admission.py",
        "for pool in sorted(before ^ served_pools(state)):",
        "for pool in sorted(before - served_pools(state)):",
        "test_pools.py::test_whoever_waits_for_lanes_that_cannot_come_holds_no_slot",
    ),
    Mutant(
        "closing_lanes_count_as_open",
        "Whoever waits is told of a turn at lanes that take nothing any more.",
        "explain.py",
        "return len(state.lanes) - len(state.closing)",
        "return len(state.lanes)",
        "test_closing_lanes.py::test_while_all_lanes_close_whoever_waits_is_told_that_none_is_open",
    ),
    Mutant(
        "a_lane_that_died_stays_closed",
        "A lane that died while it was to go is still to go when another of its name opens.",
        "lanes.py",
        "    state.closing.pop(event.lane, None)\n",
        "",
        "test_closing_lanes.py"
        "::test_a_closing_lane_that_dies_loses_its_unit_which_runs_again_elsewhere",
    ),
    Mutant(
        "drains_of_nodes_do_not_outlive_restarts",
        "A drained node is forgotten at a restart, and gets work before it is switched off.",
        "reports.py",
        "    state.closing = {}\n",
        "    state.closing = {}\n    state.drained_nodes = {}\n",
        "test_closing_lanes.py"
        "::test_a_drained_node_is_remembered_until_it_is_resumed_also_by_the_next_life",
    ),
    Mutant(
        "any_lane_will_do",
        "A lane of whatever shape takes whatever work: an engine that needs a GPU gets none.",
        "lanes.py",
        "state.pool(event.pool).idle[event.lane] = None",
        "state.pool(MAIN).idle[event.lane] = None",
        "test_pools.py::test_all_units_of_a_job_run_in_lanes_of_its_pool",
    ),
    Mutant(
        "a_branch_stays_in_its_first_pool",
        "A branch whose next job is of another pool stays in turn where the last one ran.",
        "admission.py",
        "if turns is not own:",
        "if False:",
        "test_pools.py"
        "::test_a_branch_does_not_stay_in_turn_in_the_pool_of_a_job_that_was_cancelled",
    ),
    Mutant(
        "one_cap_for_all_pools",
        "Jobs in the lanes of one pool keep those of another from starting beside idle lanes.",
        "dispatch.py",
        "cap_is_free = len(pool.running) <",
        "cap_is_free = state.jobs_running() <",
        "test_pools.py::test_the_cap_and_who_is_parked_are_of_each_pool",
    ),
    Mutant(
        "what_is_lacking_is_not_told",
        "Who waits for a lane that no node can hold is told that lanes are starting.",
        "explain.py",
        "    if pool.lacks:\n",
        "    if False:\n",
        "test_pools.py::test_whoever_waits_is_told_which_resource_no_node_has",
    ),
    Mutant(
        "locality_is_ignored",
        "Work goes to whatever lane was used last: each node fetches each slide.",
        "locality.py",
        "if state.sites[lane].node in nodes:",
        "if False:",
        NEAR,
    ),
    Mutant(
        "a_lane_idles_for_locality",
        "Work waits for a lane on the node that has its slide while others are idle.",
        "dispatch.py",
        "            if job is None:\n                break\n            dispatch(",
        "            near = state.staged.get(job.spec.slide) if job is not None else None\n"
        "            there = {state.sites[lane].node for lane in pool.idle}\n"
        "            if job is None or (near and not near.keys() & there):\n"
        "                break\n            dispatch(",
        "test_locality.py::test_no_lane_idles_because_the_slide_is_elsewhere",
    ),
    Mutant(
        "slides_are_never_forgotten",
        "Every slide that was ever worked on stays in memory.",
        "locality.py",
        "if len(state.staged) > MOST_SLIDES:",
        "if False:",
        "test_locality.py::test_the_slides_worked_on_last_are_remembered_and_no_more",
    ),
    Mutant(
        "a_dead_node_has_slides",
        "A node that is gone is remembered for each slide that was ever there.",
        "locality.py",
        "            del nodes[node]\n        if not nodes:\n",
        "            pass\n        if not nodes:\n",
        "test_locality.py::test_a_node_without_lanes_is_forgotten",
    ),
)
