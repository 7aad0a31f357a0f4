"""Everything that may happen in a small world happens, and all that ought to hold does.

Random lives (``test_machine``) go far; this goes everywhere, within the budgets of each world: two
users with two branches and three jobs each, and one crash at any moment. In every world each run
may end well at any time, lanes that were lost come back at any time, and time passes whenever the
core asked to be woken. What may go wrong besides, and how often, is in the world's own line.

``RAYSCHED_NIGHTLY=1`` adds worlds in which everything may go wrong in one life.
"""

from __future__ import annotations

import pytest
from small_world import Search, World

from tests.nightly import NIGHTLY

SMALL = [
    World("a failure, a retry and a cancel, one lane",
          failures=1, retries=1, cancels=1, at_least=17_000),
    World("a failure and a retry, two lanes", lanes=2, failures=1, retries=1, at_least=24_000),
    World("a cancel, two lanes", lanes=2, cancels=1, at_least=17_000),
    World("a lost run or lane, two lanes", lanes=2, losses=1, at_least=9_900),
    World("a failed attempt and a loss, one slot",
          users=1, failures=1, losses=1, max_retries=1, max_losses=1, at_least=20_000),
    World("a failed attempt, one slot with a tenure",
          users=1, tenure_s=1.0, failures=1, max_retries=1, at_least=18_000),
    World("a failed attempt, a failure and a retry, one job at a time, two lanes",
          lanes=2, running=1, max_retries=1, failures=1, retries=1, at_least=5_900),
    World("two chunks that cost, a cancel, one job at a time, two lanes",
          lanes=2, running=1, chunks=2, unit_s=1.0, cancels=1, at_least=3_800),
    World("equal work of a chunk, a failed attempt, one slot, two lanes",
          lanes=2, users=1, chunks=1, work="slide", failures=1, max_retries=1, at_least=10_000),
    World("a sweep over one work, a failed attempt, one slot, two lanes",
          lanes=2, users=1, chunks=1, work="slide", sweep=True, failures=1, max_retries=1,
          at_least=6_500),
    World("units that cost, two lanes", lanes=2, unit_s=1.0, at_least=3_100),
]  # fmt: skip
LARGER = [
    World("all of it once, one lane, one slot with a tenure",
          users=1, tenure_s=1.0, failures=1, losses=1, cancels=1, retries=1,
          at_least=620_000),
    World("a failure, a loss and a cancel, two lanes",
          lanes=2, failures=1, losses=1, cancels=1, at_least=220_000),
    World("two failed attempts and a retry, one lane, units that cost",
          failures=2, retries=1, max_retries=1, unit_s=1.0, at_least=89_000),
    World("a chunk, a failure and a cancel, two lanes",
          lanes=2, chunks=1, failures=1, cancels=1, at_least=166_000),
]  # fmt: skip


@pytest.mark.timeout(0 if NIGHTLY else 300)
@pytest.mark.slow
@pytest.mark.parametrize("world", SMALL + LARGER * NIGHTLY, ids=lambda world: world.name)
def test_whatever_happens_in_a_small_world_the_rules_hold_and_all_can_end(world: World) -> None:
    search = Search(world)
    search.run()
    stuck = search.stuck()
    assert stuck == [], f"no job can end after\n{search.story(stuck[0])}"
    assert len(search.nodes) >= world.at_least
