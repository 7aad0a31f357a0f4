"""What is installed to find cells is listed with what it takes, also where some of it is broken."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raysched import __version__
from raysched.cli.engines import limits
from raysched.cli.main import app
from raysched.errors import EngineFailed
from raysched.imaging.classical import ClassicalParams
from raysched.imaging.engine import load_engine

CODE = """
from raysched.imaging.classical import ClassicalEngine

class Nameless(ClassicalEngine):
    pass

class Halved:
    name, version = "halved", "1"

class Crashing:
    def __init__(self):
        raise RuntimeError("no driver")

class Vague(ClassicalEngine):
    name = "vague"
    target_mpp = "fine"
"""
OURS = f"raysched {__version__}"
LACKING = any(find_spec(name) is None for name in ("torch", "onnxruntime", "onnx"))
"""The extra ``instanseg`` is not installed."""
POINTS = {"nameless": "Nameless", "halved": "Halved", "crashing": "Crashing", "vague": "Vague"}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package whose engines cannot be used, each for another reason."""
    (tmp_path / "broken_engines.py").write_text(CODE)
    metadata = tmp_path / "broken_engines-7.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-engines\nVersion: 7\n")
    points = [f"{name} = broken_engines:{kind}" for name, kind in POINTS.items()]
    points += ["absent = no_such_module_here:Engine", "classical = broken_engines:Nameless"]
    (metadata / "entry_points.txt").write_text("\n".join(["[raysched.engines]", *points]))
    # after our own, so that our `classical` is the first of its name
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["engines", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_engine_is_listed_with_its_parameters_their_limits_and_meaning() -> None:
    lines = said().splitlines()
    assert lines[:5] == [
        f"classical 3 (raysched {__version__}): sees 0.5 um/px, looks 34 um far",
        "  threshold     0.6    0.2 to 3.0     factor on the slide's haematoxylin threshold",
        "  likeness      0.4    0.0 to 1.0     least likeness to a nucleus; more finds fewer",
        "  min_area_um2  5.0    1.0 to 100.0   smallest nucleus, um2",
        "  max_area_um2  300.0  50.0 to 400.0  largest, um2",
    ]
    assert lines[5].startswith(f"instanseg ({OURS}) cannot be used" if LACKING else "instanseg 1 ")
    assert not LACKING or "pip install 'raysched[instanseg]'" in lines[5]


def test_programs_get_the_json_schema() -> None:
    listed = json.loads(said("--json"))
    engine, *others = listed["engines"]
    assert engine["parameters"] == ClassicalParams.model_json_schema()
    assert [each["name"] for each in others + listed["unusable"]] == ["instanseg"]
    assert [each["name"] for each in listed["unusable"]] == ["instanseg"] * LACKING


@pytest.mark.usefixtures("broken")
def test_what_cannot_be_used_is_listed_with_the_reason_and_keeps_nothing_else_away() -> None:
    listed = json.loads(said("--json"))
    usable = ["classical"] if LACKING else ["classical", "instanseg"]
    assert [each["name"] for each in listed["engines"]] == usable
    assert listed["engines"][0]["package"] == f"raysched {__version__}"
    unusable = [each for each in listed["unusable"] if each["name"] != "instanseg"]
    reasons = {each["name"]: each["why"] for each in unusable}
    assert {each["package"] for each in unusable} == {"broken-engines 7"}
    assert reasons.keys() == {*POINTS, "absent", "classical"}
    for name, words in {
        "absent": "cannot be loaded: ModuleNotFoundError",
        "crashing": "no driver",
        "halved": "has no Params, target_mpp, halo_um, prepare, segment, optical_density",
        "nameless": "calls itself 'classical'",
        "vague": "cannot be described: ValueError",
        "classical": "has an engine of this name, which is the one",
    }.items():
        assert words in reasons[name]
        assert f"{name} (broken-engines 7) cannot be used: {reasons[name]}" in said().splitlines()


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", ["absent", "crashing", "halved", "nameless"])
def test_who_asks_for_a_broken_engine_is_told_which_and_what_to_do(name: str) -> None:
    with pytest.raises(EngineFailed, match=f"Engine '{name}' cannot be") as caught:
        load_engine(name)
    assert caught.value.facts == {"engine": name}
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "boolean"}, "boolean"),
        ({"exclusiveMinimum": 0, "type": "number"}, "above 0"),
        ({"minimum": 1, "type": "integer"}, "from 1"),
        ({"maximum": 2, "minimum": 1, "type": "integer"}, "1 to 2"),
        ({"enum": ["fast", "good"], "type": "string"}, "fast, good"),
        ({"anyOf": [{"minimum": 1, "type": "integer"}, {"type": "null"}]}, "from 1 or null"),
        ({"$ref": "#/$defs/Mode"}, "a, b"),
        ({}, "any"),
    ],
)
def test_limits_are_said_as_people_say_them(field: dict[str, Any], words: str) -> None:
    assert limits(field, {"$defs": {"Mode": {"enum": ["a", "b"], "type": "string"}}}) == words
