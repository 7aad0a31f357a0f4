"""What is looked at in the moment in which a job ends is whole, in one place or the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.view_access import Looking
from tests.http.by_hand import Units, cut_slide
from tests.http.here import Here, run
from tests.http.test_chunks_and_measures import begun

PATHS = ("overlay/0/0/0?style=fill", "view", "picture?x=0&y=0&width=480&height=480")


@pytest.mark.parametrize("gone", ["planned.json", "tissue.npz"])
def test_while_what_a_job_had_so_far_is_removed_nobody_sees_a_part_of_it(
    gone: str, tmp_path: Path, sample_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_slide(sample_slide, tmp_path / "slides")

    async def work(here: Here) -> None:
        job, staging = await begun(here, Units(here, monkeypatch))
        expected = [(await here.http.get(f"/jobs/{job}/{path}")).content for path in PATHS]
        pauses = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:  # as the result is there, a moment later, when the actor knows
                (tmp_path / gone).rename(staging / gone)

        for path, content in zip(PATHS, expected, strict=True):
            here.app.state.looking = Looking(pause=pause)
            pauses.clear()
            (staging / gone).rename(tmp_path / gone)
            answer = await here.http.get(f"/jobs/{job}/{path}")
            assert (answer.status_code, answer.content) == (200, content)
            assert len(pauses) == 3

    run(tmp_path, monkeypatch, work)
