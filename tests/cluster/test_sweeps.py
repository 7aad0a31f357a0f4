"""Workflows of several kinds and sweeps, from what a person writes to what the core takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raysched.cluster.submission import JobRequest, Prepared, Submission, prepare
from raysched.config import Config, load_config
from raysched.errors import InvalidSetting, InvalidWorkflow, LimitReached, RayschedError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(state=tmp_path)


def prepared(config: Config, slide: Path, *jobs: dict[str, Any]) -> Prepared:
    requests = tuple(JobRequest(slide=str(slide), **job) for job in jobs)
    return prepare(Submission(jobs=requests), user="ann", key="k", config=config)


def requests_of(prepared: Prepared) -> list[dict[str, Any]]:
    return [json.loads(job.request) for job in prepared.jobs]


def test_a_sweep_is_a_job_for_each_combination_on_branches_of_their_own(
    config: Config, sample_slide: Path
) -> None:
    sweep = {"min_area_um2": [10, 20], "tissue.threshold": [None, 30], "measure.ring_um": [3]}
    made = prepared(config, sample_slide, {"branch": "try", "sweep": sweep, "params": {}})
    assert [job.branch for job in made.jobs] == [
        "try/1 min_area_um2-10_threshold-null_ring_um-3",
        "try/2 min_area_um2-10_threshold-30_ring_um-3",
        "try/3 min_area_um2-20_threshold-null_ring_um-3",
        "try/4 min_area_um2-20_threshold-30_ring_um-3",
    ]
    found = [
        (
            request["params"]["min_area_um2"],
            request["tissue"]["threshold"],
            request["measure"]["ring_um"],
        )
        for request in requests_of(made)
    ]
    assert found == [(10.0, None, 3.0), (10.0, 30, 3.0), (20.0, None, 3.0), (20.0, 30, 3.0)]
    assert len({request["out"] for request in requests_of(made)}) == 4


def test_who_depends_on_a_sweep_depends_on_all_of_it(config: Config, sample_slide: Path) -> None:
    made = prepared(
        config,
        sample_slide,
        {"name": "mask", "kind": "tissue_mask"},
        {"name": "many", "depends_on": ("mask",), "sweep": {"min_area_um2": [10, 20]}},
        {"depends_on": ("many",)},
    )
    mask, *many, last = made.jobs
    assert [job.kind for job in made.jobs] == ["tissue_mask", *["cell_segmentation"] * 3]
    assert [job.depends_on for job in many] == [(mask.job,)] * 2
    assert last.depends_on == tuple(job.job for job in many)


def test_the_same_sweep_asked_for_twice_is_the_same_workflow(
    config: Config, sample_slide: Path
) -> None:
    job = {"sweep": {"min_area_um2": [10, 20]}}
    assert prepared(config, sample_slide, job) == prepared(config, sample_slide, job)


def test_results_of_a_sweep_lie_below_the_folder_that_was_named(
    config: Config, sample_slide: Path, tmp_path: Path
) -> None:
    job = {"out": str(tmp_path / "out"), "sweep": {"min_area_um2": [10, 20]}}
    outs = [request["out"] for request in requests_of(prepared(config, sample_slide, job))]
    assert outs == [
        str(tmp_path / "out" / "1 min_area_um2-10"),
        str(tmp_path / "out" / "2 min_area_um2-20"),
    ]


@pytest.mark.parametrize(
    "values", [["../../etc", "a\0b", "x" * 300, "", {"a": 1}], list(range(1000))]
)
def test_branches_of_a_sweep_are_valid_and_all_different(
    config: Config, sample_slide: Path, values: list[Any]
) -> None:
    from raysched.cluster.sweeps import expanded

    job = JobRequest(slide="s", branch="b" * 64, sweep={"engine_parameter": values})
    branches = [part.branch for part in expanded([job])]
    assert len(set(branches)) == len(values)
    for branch in branches:
        JobRequest(slide="s", branch=branch)


def test_a_long_name_keeps_its_beginning(config: Config, sample_slide: Path) -> None:
    from raysched.cluster.sweeps import expanded

    job = JobRequest(slide="s", name="n" * 61 + "---", out="o", sweep={"x" * 300: ["v" * 300]})
    (one,) = expanded([job])
    assert one.name == "n" * 61 + "-" + "-1"
    assert len((one.out or "").encode()) <= 130


def test_what_depends_on_a_sweep_many_times_does_so_once(
    config: Config, sample_slide: Path
) -> None:
    made = prepared(
        config,
        sample_slide,
        {"name": "many", "sweep": {"min_area_um2": [10, 20]}},
        {"depends_on": ("many",) * 1000},
    )
    assert made.jobs[-1].depends_on == (made.jobs[0].job, made.jobs[1].job)


def test_two_sweeps_that_depend_on_each_other_are_bounded() -> None:
    from raysched.cluster.sweeps import expanded

    values = list(range(1000))
    one = JobRequest(slide="s", name="a", sweep={"x": values})
    two = JobRequest(slide="s", depends_on=("a",), sweep={"x": values})
    with pytest.raises(LimitReached, match="1,000,000"):
        expanded([one, two])


BAD: dict[str, tuple[dict[str, Any], type[RayschedError], str]] = {
    "unknown engine parameter": ({"sweep": {"size": [1]}}, InvalidSetting, "size"),
    "unknown group": ({"sweep": {"color.hue": [1]}}, InvalidWorkflow, "'color.hue'"),
    "not a group": ({"sweep": {"params.min_area_um2": [1]}}, InvalidWorkflow, "'params."),
    "a dot alone": ({"sweep": {".min_area_um2": [1]}}, InvalidWorkflow, "'.min_area_um2'"),
    "no name": ({"sweep": {"tissue.": [1]}}, InvalidWorkflow, "'tissue.'"),
    "out of range": ({"sweep": {"measure.ring_um": [1, 99]}}, InvalidSetting, "ring_um"),
    "given twice": (
        {"params": {"min_area_um2": 1}, "sweep": {"min_area_um2": [1]}},
        InvalidWorkflow,
        "sweeps over it",
    ),
    "too many": ({"sweep": {c: list(range(100)) for c in "abcd"}}, LimitReached, "100000000"),
    "engine of a mask": ({"kind": "tissue_mask", "engine": "classical"}, InvalidWorkflow, "engine"),
    "sweep of a mask": (
        {"kind": "tissue_mask", "sweep": {"min_area_um2": [1]}},
        InvalidWorkflow,
        "params",
    ),
    "unknown kind": ({"kind": "cell_counting"}, InvalidWorkflow, "tissue_mask"),
    "unknown tissue": ({"sweep": {"tissue.hue": [1]}}, InvalidSetting, "tissue.hue"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_is_refused_by_name(config: Config, sample_slide: Path, case: str) -> None:
    job, error, words = BAD[case]
    with pytest.raises(error) as refused:
        prepared(config, sample_slide, job)
    assert words in refused.value.message + refused.value.remedy
    assert list(config.state.iterdir()) == []


def test_a_sweep_over_the_tissue_of_masks(config: Config, sample_slide: Path) -> None:
    job = {"kind": "tissue_mask", "sweep": {"tissue.threshold": [20, 30]}}
    made = requests_of(prepared(config, sample_slide, job))
    assert [request["tissue"]["threshold"] for request in made] == [20, 30]
