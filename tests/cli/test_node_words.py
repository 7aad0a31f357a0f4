"""What a person is told of a node that they drain."""

from __future__ import annotations

from io import StringIO

import pytest

from raysched.cli.gates import _say_node
from raysched.cli.voice import Voice
from serve_app.node_models import NodeLanes
from serve_app.report_models import Node


def told(lanes: int, *, holds_state: bool) -> str:
    node = Node(
        id="aabb0011",
        host="host-1",
        is_alive=True,
        holds_state=holds_state,
        is_draining=True,
        cpus=4.0,
        gpus=0.0,
        memory_bytes=1,
    )
    out = StringIO()
    _say_node(NodeLanes(node=node, lanes=lanes), Voice(json=False, verbose=False, out=out))
    return out.getvalue()


def test_a_drained_node_without_lanes_may_be_switched_off() -> None:
    assert "it may be switched off" in told(0, holds_state=False)
    assert "switch" not in told(2, holds_state=False)


@pytest.mark.parametrize(
    ("lanes", "words"), [(0, "not to be switched off"), (2, "do not switch it off")]
)
def test_the_node_with_the_scheduler_is_never_to_be_switched_off(lanes: int, words: str) -> None:
    said = told(lanes, holds_state=True)
    assert words in said
    assert "the scheduler and its HTTP" in said
    assert "may be switched off" not in said
