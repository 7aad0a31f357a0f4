"""``raysched up`` at 3 a.m.: whatever of it is killed comes back, and ``down`` leaves nothing."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from operating import WAIT_S, run_verb, up

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


def test_what_is_killed_comes_back_with_its_work_and_down_leaves_nothing(
    tmp_path: Path, sample_slide: Path, checksum: str
) -> None:
    state = tmp_path / "state"
    with up(state, sample_slide.parent) as service:
        url = service.where["url"]
        assert service.where["admin_key"]
        for victim, why in [
            ("gcs_server", "gcs_server"),
            ("raylet", ""),  # Ray may end the driver before anybody has looked
            ("the service's process", "its process was ended by SIGKILL"),
        ]:
            job = service.submit(sample_slide, victim)
            service.until(job, "segmenting")
            service.kill(victim)
            assert why in service.until_said("ended")["why"]
            again = service.until_said("up")
            assert again["url"] == url
            assert (again["admin_key"], again["login"]) == (None, None)
            assert service.until(job, "succeeded")["checksum"] == checksum
        assert service.api("GET", "/readyz")["ready"]
        code, lines = run_verb(service.env, "doctor")
        assert (code, lines[-1]["doctor"]) == (0, {"wrong": 0, "repaired": 0}), lines
        long, _ = [service.submit(sample_slide, f"long {edge}", edge) for edge in (128, 136)]
        service.until(long, "segmenting")
        service.seen |= set(psutil.Process(service.process.pid).children(recursive=True))
        assert run_verb(service.env, "down") == (0, [{"down": {"stopped": ["up"]}}])
        assert service.until_said("stopped")["jobs_open"] > 0
        assert service.process.wait(WAIT_S) == 0
    _, alive = psutil.wait_procs(service.seen, timeout=WAIT_S)
    assert alive == []
    assert run_verb(service.env, "down") == (0, [{"down": {"stopped": []}}])
    code, lines = run_verb(service.env, "doctor")
    assert (code, lines[-1]["doctor"]) == (0, {"wrong": 0, "repaired": 0}), lines
    assert not (state / "cluster.json").exists()
