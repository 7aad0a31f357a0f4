"""Everything that can be killed, in every phase of a job, on a real cluster of four raylets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checker import check
from evidence import Evidence, read_litter, read_results
from scenes import PHASES, Theatre, theatre
from small_slides import NAMES, make_slides, undisturbed
from standing import Target, standing

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small slides."""
    folder = tmp_path_factory.mktemp("slides")
    make_slides(folder)
    return folder


@pytest.fixture(scope="module")
def checksum(slides: Path) -> str:
    """What is found on the slide in this process, undisturbed, by the engine that never waits."""
    return undisturbed(slides / NAMES[0])


@pytest.fixture(scope="module")
def stage(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """One cluster and one state folder for all of them: what one leaves behind the next finds."""
    with standing(tmp_path_factory.mktemp("chaos"), slides) as cluster, theatre(cluster) as users:
        yield users


@pytest.mark.parametrize("target", Target)
def test_whatever_is_killed_in_whatever_phase_every_job_ends_as_it_would_have(
    target: Target, stage: Theatre, checksum: str
) -> None:
    scene = stage.play(target)
    (cat, stopped) = scene.jobs.pop("cancelling")
    assert cat.state(stopped) == "cancelled"
    ended = {phase: user.jobs[job] for phase, (user, job) in scene.jobs.items()}
    wanted = dict.fromkeys(scene.jobs, ("succeeded", checksum))
    assert {phase: (view["state"], view["checksum"]) for phase, view in ended.items()} == wanted


def test_no_promise_was_broken_by_any_of_it(stage: Theatre, checksum: str) -> None:
    """Of all tests above: to be run after them."""
    assert stage.cluster.stop() == []
    results = read_results(stage.cluster.state / "results")
    expected = {result.folder: checksum for result in results}
    litter = read_litter(stage.cluster.state / "results", expected)
    journal = stage.cluster.journal()
    evidence = Evidence(stage.history.calls, journal, results, expected, litter)
    assert check(evidence) == []
    assert "the journal is whole" in stage.cluster.raysched("journal", "verify")
    assert stage.killed == {target: set(PHASES) for target in Target}, "run the whole file"
