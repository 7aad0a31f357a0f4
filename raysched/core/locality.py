"""Where slides are staged: work on a slide prefers a lane on a node that has it already.

A preference among idle lanes, and nothing else: whose turn it is does not depend on it, and no lane
idles for it. A node has a slide once a unit of that slide has ended well there.
"""

from __future__ import annotations

from itertools import islice

from raysched.core.model import SOMEWHERE, LaneId
from raysched.core.state import Job, Pool, State

MOST_SLIDES = 1000
"""So many are remembered; those that were worked on last stay."""
MOST_LANES = 64
"""So many idle lanes are looked at, those used last, however many there are."""


def note_staged(state: State, job: Job, lane: LaneId) -> None:
    """A unit of the job's slide has ended well in a lane."""
    slide, node = job.spec.slide, state.sites[lane].node
    if not slide or node == SOMEWHERE:
        return
    nodes = state.staged.get(slide)
    if nodes is None:
        nodes = state.staged[slide] = {}
        if len(state.staged) > MOST_SLIDES:
            state.staged.popitem(last=False)
    else:
        state.staged.move_to_end(slide)
    nodes[node] = None


def forget_nodes(state: State) -> None:
    """A lane was lost. Of nodes without lanes, also those that went while no scheduler lived,
    nobody will look for anything."""
    there = {site.node for site in state.sites.values()}
    for slide, nodes in list(state.staged.items()):
        for node in [node for node in nodes if node not in there]:
            del nodes[node]
        if not nodes:
            del state.staged[slide]


def take_lane(state: State, pool: Pool, job: Job) -> LaneId:
    """The idle lane for a job's unit: of those on nodes that have its slide, else of all, the one
    used last, which is the warmest."""
    nodes = state.staged.get(job.spec.slide) if len(pool.idle) > 1 else None
    if nodes:
        for lane in islice(reversed(pool.idle), MOST_LANES):
            if state.sites[lane].node in nodes:
                del pool.idle[lane]
                return lane
    lane, _ = pool.idle.popitem()
    return lane
