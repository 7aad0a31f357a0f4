"""Tests of the tests: every fault of the zoo, put into a copy of the core, is noticed by name.

A mutant lives in a copy of the package and of ``tests/core``; the test that should kill it runs
there in a process of its own. What counts is a failed assertion: a mutant that cannot be imported,
or that breaks a test by accident, proves nothing. The check of the invariants is switched off in
the copies: a test has to notice in its own words, because the invariants read the same state that
the mutant has bent and might share its mistake.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

import pytest
from zoo import SEEN_ELSEWHERE, Mutant
from zoo import ZOO as SCHEDULING
from zoo_accounts import WHO_MAY_ASK
from zoo_endings import GATES_AND_ENDINGS
from zoo_lanes import LANES
from zoo_losses import LOSSES
from zoo_tiles import FAILED_TILES

ROOT = Path(__file__).parents[2]
ZOO = (*SCHEDULING, *WHO_MAY_ASK, *GATES_AND_ENDINGS, *LANES, *LOSSES, *FAILED_TILES)
AT_ONCE = 2
LIMIT_S = 60
ASSERTION = re.compile(r"assert |AssertionError\b|Failed: DID NOT RAISE")
SWITCHED_OFF = "\n\ndef check(scheduler: Scheduler) -> None:\n    pass\n"


def changed(source: str, mutant: Mutant) -> str:
    """The mutant's source. A text that is not there once means that the zoo must follow."""
    times = source.count(mutant.old)
    assert times == 1, (
        f"{mutant.name}: {mutant.file} has {mutant.old!r} {times} times, not once; "
        "the core has changed: make the same fault in its new words, in zoo.py"
    )
    return source.replace(mutant.old, mutant.new)


def copy_of_the_core(to: Path) -> None:
    """The package and the tests of its core. Not ``tests/conftest.py``: it imports Ray."""
    no_bytecode = shutil.ignore_patterns("__pycache__", ".hypothesis")
    shutil.copytree(ROOT / "raysched", to / "raysched", ignore=no_bytecode)
    shutil.copytree(ROOT / "tests" / "core", to / "tests" / "core", ignore=no_bytecode)
    with (to / "raysched" / "core" / "invariants.py").open("a") as invariants:
        invariants.write(SWITCHED_OFF)


def python(at: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in a copy, importing that copy. Plugins cost more time than the tests."""
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=at,
        env={
            **inherited,
            "PYTHONPATH": str(at),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def run_tests(at: Path, *tests: str) -> dict[str, str]:
    """Run tests in a copy: by test 'passed', or the first line of why it did not pass."""
    paths = [f"tests/core/{test}" for test in tests]
    report = at / "report.xml"
    options = ("-q", "-p", "no:cacheprovider", f"--junitxml={report}")
    done = python(at, "-m", "pytest", *options, *paths)
    said: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        where = f"{case.get('classname', '').rsplit('.', 1)[-1]}.py::{case.get('name')}"
        bad = next((each for each in case if each.tag in {"failure", "error", "skipped"}), None)
        said[where] = "passed" if bad is None else bad.get("message", "").split("\n")[0]
    assert set(said) == set(tests), f"not all ran:\n{done.stdout}\n{done.stderr}"
    return said


def last_words(mutant: Mutant) -> str:
    """What the mutant's killer says of it. Raises ``AssertionError`` if that could not run."""
    with TemporaryDirectory(prefix=f"zoo-{mutant.name}-") as folder:
        at = Path(folder)
        copy_of_the_core(at)
        file = at / "raysched" / "core" / mutant.file
        file.write_text(changed(file.read_text(), mutant))
        return run_tests(at, mutant.killer)[mutant.killer]


@pytest.fixture(scope="module")
def heard(request: pytest.FixtureRequest) -> Iterator[Callable[[Mutant], str]]:
    """Begins with all mutants that were asked for, a few at a time; gives the last words of one."""
    given = (getattr(item, "callspec", None) for item in request.session.items)
    asked = [each.params["mutant"] for each in given if each and "mutant" in each.params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        coming: dict[str, Future[str]] = {
            mutant.name: pool.submit(last_words, mutant) for mutant in asked
        }
        yield lambda mutant: coming[mutant.name].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ZOO, ids=lambda mutant: mutant.name)
def test_every_fault_is_noticed_by_the_test_that_is_for_it(
    mutant: Mutant, heard: Callable[[Mutant], str]
) -> None:
    said = heard(mutant)
    assert ASSERTION.match(said), f"{mutant.killer} lets this live: {mutant.fault}"
    print(f"{mutant.name}: killed by {mutant.killer}: {said}")


def test_the_core_as_it_is_passes_every_test_that_the_zoo_names(tmp_path: Path) -> None:
    copy_of_the_core(tmp_path)
    tests = {mutant.killer for mutant in ZOO}
    assert run_tests(tmp_path, *sorted(tests)) == dict.fromkeys(tests, "passed")


def test_what_runs_in_a_copy_is_the_copy(tmp_path: Path) -> None:
    copy_of_the_core(tmp_path)
    asked = "import raysched.core.dispatch as core, raysched.testing as fake"
    shown = python(tmp_path, "-c", f"{asked}; print(core.__file__); print(fake.__file__)").stdout
    package = tmp_path / "raysched"
    files = [package / "core" / "dispatch.py", package / "testing" / "__init__.py"]
    assert shown.split() == [str(file) for file in files]


def test_a_change_that_does_no_harm_counts_as_survived() -> None:
    harmless = replace(ZOO[0], new=f"{ZOO[0].old}  # no harm")
    assert not ASSERTION.match(last_words(harmless))


def test_a_mutant_that_cannot_be_imported_does_not_count_as_killed() -> None:
    with pytest.raises(AssertionError, match=r"not all ran:[\s\S]*SyntaxError"):
        last_words(replace(ZOO[0], new="no python"))


def test_a_mutant_that_breaks_its_test_by_accident_does_not_count_as_killed() -> None:
    said = last_words(replace(ZOO[0], new="branches: None = None"))
    assert said.startswith("AttributeError") and not ASSERTION.match(said)


@pytest.mark.parametrize("old", ["no such text", "job"])
def test_a_text_that_is_not_there_once_is_said_clearly(old: str) -> None:
    source = (ROOT / "raysched" / "core" / ZOO[0].file).read_text()
    with pytest.raises(AssertionError, match="times, not once; the core has changed"):
        changed(source, replace(ZOO[0], old=old))


def test_names_are_used_once_and_every_fault_seen_elsewhere_has_a_test_of_its_own() -> None:
    assert len({mutant.name for mutant in ZOO}) == len(ZOO)
    assert len({mutant.killer for mutant in SEEN_ELSEWHERE}) == len(SEEN_ELSEWHERE)
