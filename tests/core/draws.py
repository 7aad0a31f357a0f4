"""What random lives are made of: limits, workflows, plans, reports and what people ask for."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from raysched.core.limits import Limits
from raysched.core.model import PlanFacts

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
PLANS = st.sampled_from(
    [PlanFacts(f"p{chunks}", TILES[:chunks]) for chunks in range(5)]
    + [EQUAL, EQUAL, replace(EQUAL, reused=True), PlanFacts("p4", TILES, "slide")]
    + [replace(EQUAL, work="other slide")]
)
SECONDS = st.sampled_from((0.0, 0.5, 4.0))
