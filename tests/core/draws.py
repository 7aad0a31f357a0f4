"""What random lives are made of: limits, workflows, plans, reports and what people ask for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from raysched.core.limits import Limits
from raysched.core.model import JobState, PlanFacts
from tests.nightly import NIGHTLY

BRANCHES = ("x", "y", "z")
TILES = (2, 0, 1, 3)
LIMITS = st.builds(
    Limits,
    max_running_jobs=st.integers(1, 3),
    max_active_users=st.integers(1, 3),
    max_jobs_per_user=st.sampled_from((4, 9)),
    max_jobs_per_workflow=st.just(3),
    max_retries=st.integers(0, 2),
    max_losses_per_unit=st.integers(0, 2),
    retry_backoff_s=st.just(2.0),
    retry_backoff_max_s=st.just(5.0),
    slot_tenure_s=st.sampled_from((0.0, 3.0, 20.0)),
    max_ended_jobs_per_user=st.sampled_from((1, 200, 200)),
    max_done_work_per_user=st.sampled_from((0, 1, 2, 1000)),
)
Shape = list[tuple[str, str, list[int]]]
SHAPE = st.lists(
    st.tuples(
        st.sampled_from(BRANCHES),
        st.sampled_from(("k", "other kind")),
        st.lists(st.integers(0, 3), max_size=2, unique=True),
    ),
    min_size=1,
    max_size=4,
)
ANSWERS = ("well", "well", "well", "missed", "badly", "for good", "lost", "stopped", "mpp", "mpp")
ASK = st.tuples(
    st.sampled_from(
        ("cancel", "cancel", "cancel", "retry", "retry", "mpp", "mpp", "leave", "weigh")
    ),
    st.integers(0, 5),
    st.integers(0, 9),
    st.sampled_from((0.5, 0.25, 9.0)),
)
USUAL = PlanFacts("p2", TILES[:2])
EQUAL = PlanFacts("p2", TILES[:2], "slide")
LIMITED = replace(USUAL, may_fail=2)
REUSED = replace(EQUAL, reused=True)
ENDED_BADLY = (JobState.FAILED, JobState.SKIPPED, JobState.CANCELLED)
PLANS = st.sampled_from(
    [PlanFacts(f"p{chunks}", TILES[:chunks]) for chunks in range(5)]
    + [EQUAL, EQUAL, REUSED, PlanFacts("p4", TILES, "slide")]
    + [replace(EQUAL, work="other slide")]
    + [replace(EQUAL, may_fail=0), replace(USUAL, may_fail=1), PlanFacts("p4", TILES, may_fail=2)]
)
SECONDS = st.sampled_from((0.0, 0.5, 4.0))

REPORTS = ("SlidePlanned", "MppMissed", "ChunkFinished", "ChunksMissed", "ResultAssembled",
           "ResultPublished", "RunFailed", "RunLost", "RunStopped")  # fmt: skip
REFUSALS = ("Conflict", "LimitReached")

TO_BE_MET = {
    *(f"cancel {state}" for state in JobState),
    *(f"{kind} True" for kind in REPORTS),
    *(f"{kind} False" for kind in REPORTS),
    *(f"{kind} True" for kind in ("LaneOpened", "LaneLost", "TimePassed", "SchedulerStarted")),
    *(f"WorkflowSubmitted {how}" for how in (*REFUSALS, "InvalidWorkflow", True, False)),
    *(f"JobRetryRequested {how}" for how in (*REFUSALS, "NotFound", True, False)),
    *(f"JobCancelRequested {how}" for how in ("Conflict", "NotFound", True, False)),
    *(f"MppAnswered {how}" for how in ("Conflict", "NotFound", "InvalidSetting", True, False)),
    *(f"UserWeighted {how}" for how in ("InvalidSetting", True, False)),
    "SchedulerStarted IllegalMove",
    "ResultAssembled IllegalMove",
    "somebody is parked",
    "somebody yields",
    "somebody waits for a slot",
    "somebody waits for equal work",
    "somebody reuses",
    "too many tiles failed",
    "failed tiles go again",
    "work is done",
    "equal work side by side",
}

SETTINGS = settings(
    max_examples=20_000 if NIGHTLY else 400,
    stateful_step_count=200 if NIGHTLY else 80,
    derandomize=not NIGHTLY,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
