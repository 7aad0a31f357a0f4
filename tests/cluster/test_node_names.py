"""A person names a node by what they see of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raysched.cluster.node_drains import find_node
from raysched.cluster.sight import ClusterView, NodeView
from raysched.core.overview import overview
from raysched.core.state import State
from raysched.errors import Conflict, NotFound

ONE = NodeView("aabb0011", "host-1", True, True, 4.0, 0.0, 1)
TWO = replace(ONE, node="aabb0022", host="host-2", holds_state=False)
DEAD = replace(TWO, node="ccdd0033", host="host-3", is_alive=False)


def view(*nodes: NodeView) -> ClusterView:
    return ClusterView("1", 1, 0.0, 0.0, 0, 0, nodes, len(nodes), {}, overview(State(), 1))


@pytest.mark.parametrize("name", ["aabb0022", "aabb002", "host-2"])
def test_a_node_goes_by_its_id_the_beginning_of_it_or_its_host(name: str) -> None:
    assert find_node(view(ONE, TWO, DEAD), name) == TWO


@pytest.mark.parametrize("name", ["", "aab", "ccdd0033", "host-3", "nowhere"])
def test_what_names_no_living_node_is_not_found(name: str) -> None:
    with pytest.raises(NotFound, match="There is no node"):
        find_node(view(ONE, TWO, DEAD), name)


def test_what_names_two_nodes_is_refused_with_how_to_tell_them_apart() -> None:
    with pytest.raises(Conflict, match="2 nodes go by 'aabb'") as told:
        find_node(view(ONE, TWO, DEAD), "aabb")
    assert "more of its id" in told.value.remedy
