"""Events and their records: what was ever written can always be read, or says why not."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysched.core import events as ev
from raysched.core.accounts import KeyKind, Role
from raysched.core.limits import Limits
from raysched.core.model import (
    BranchName,
    Failure,
    JobId,
    JobSpec,
    KeyId,
    LaneId,
    NodeId,
    PlanFacts,
    PoolCount,
    PoolName,
    RunId,
    UserId,
    WorkflowId,
)
from raysched.core.scheduler import Scheduler
from raysched.errors import InternalError, JournalDamaged, JournalTooNew
from raysched.journal.codec import KINDS, Codec, Kind, Record, standard_codec
from raysched.testing import FakeCluster, job

ANN, JOB, RUN, LANE = UserId("ann"), JobId("j1"), RunId("r1"), LaneId("lane-0")
KEY, NODE, GPU = KeyId("0a1b"), NodeId("n1"), PoolName("gpu")
LIMITS = Limits(max_done_work_per_user=9)
SPEC = JobSpec(JobId("j2"), BranchName("main"), "tissue_mask", '{"mpp":0.5}', (JOB,))
HERE = replace(SPEC, pool=GPU, slide="5f")

# What is written now. When a field with a default is added to an event, its old line moves to
# EARLIER; any other change needs a new version of the kind, an upgrade, and a line of its own here.
GOLDEN: dict[tuple[str, int], tuple[ev.Event, str]] = {
    ("scheduler_started", 1): (
        ev.SchedulerStarted(1.5, 3),
        '{"at":1.5,"epoch":3,"limits":null}',
    ),
    ("scheduler_started", 2): (
        ev.SchedulerStarted(1.5, 3, LIMITS),
        (
            '{"at":1.5,"epoch":3,"limits":{"max_running_jobs":4,"max_active_users":3,'
            '"max_jobs_per_user":50,"max_jobs_per_workflow":10000,"max_ended_jobs_per_user":200,'
            '"max_done_work_per_user":9,"max_retries":2,"max_losses_per_unit":5,'
            '"retry_backoff_s":2.0,"retry_backoff_max_s":300.0,"slot_tenure_s":600.0,'
            '"first_tile_estimate_s":0.5}}'
        ),
    ),
    ("workflow_submitted", 1): (
        ev.WorkflowSubmitted(1.5, ANN, "k1", WorkflowId("w1"), "Lung", (HERE,)),
        (
            '{"at":1.5,"user":"ann","key":"k1","workflow":"w1","name":"Lung","jobs":[{"job":"j2",'
            '"branch":"main","kind":"tissue_mask","request":"{\\"mpp\\":0.5}",'
            '"depends_on":["j1"],"pool":"gpu","slide":"5f"}],"digest":""}'
        ),
    ),
    ("job_cancel_requested", 1): (
        ev.JobCancelRequested(1.5, ANN, JOB),
        '{"at":1.5,"user":"ann","job":"j1"}',
    ),
    ("job_retry_requested", 1): (
        ev.JobRetryRequested(1.5, ANN, JOB, "k2"),
        '{"at":1.5,"user":"ann","job":"j1","key":"k2"}',
    ),
    ("workflow_cancel_requested", 1): (
        ev.WorkflowCancelRequested(1.5, ANN, WorkflowId("w1")),
        '{"at":1.5,"user":"ann","workflow":"w1"}',
    ),
    ("all_cancel_requested", 1): (ev.AllCancelRequested(1.5, ANN), '{"at":1.5,"user":"ann"}'),
    ("workflow_deleted", 1): (
        ev.WorkflowDeleted(1.5, ANN, WorkflowId("w1"), "k1", (JOB,)),
        '{"at":1.5,"user":"ann","workflow":"w1","key":"k1","jobs":["j1"]}',
    ),
    ("results_deleted", 1): (
        ev.ResultsDeleted(1.5, ANN, JOB, True),
        '{"at":1.5,"user":"ann","job":"j1","retired":true}',
    ),
    ("files_removed", 1): (ev.FilesRemoved(1.5, (JOB,)), '{"at":1.5,"jobs":["j1"]}'),
    ("cluster_paused", 1): (ev.ClusterPaused(1.5, ANN), '{"at":1.5,"by":"ann"}'),
    ("cluster_drained", 1): (ev.ClusterDrained(1.5, ANN), '{"at":1.5,"by":"ann"}'),
    ("cluster_resumed", 1): (ev.ClusterResumed(1.5, ANN), '{"at":1.5,"by":"ann"}'),
    ("node_drained", 1): (
        ev.NodeDrained(1.5, ANN, NODE),
        '{"at":1.5,"by":"ann","node":"n1"}',
    ),
    ("node_resumed", 1): (
        ev.NodeResumed(1.5, ANN, NODE),
        '{"at":1.5,"by":"ann","node":"n1"}',
    ),
    ("mpp_answered", 1): (
        ev.MppAnswered(1.5, ANN, JOB, 0.25),
        '{"at":1.5,"user":"ann","job":"j1","mpp":0.25}',
    ),
    ("user_weighted", 1): (
        ev.UserWeighted(1.5, ANN, 2.0),
        '{"at":1.5,"user":"ann","weight":2.0}',
    ),
    ("user_created", 1): (
        ev.UserCreated(1.5, ANN, "Ann Ω", Role.READ_ONLY, "t1"),
        '{"at":1.5,"user":"ann","name":"Ann Ω","role":"read-only","tag":"t1"}',
    ),
    ("user_changed", 1): (
        ev.UserChanged(1.5, ANN, "Anna", 2.0, 9, 2**40, True),
        (
            '{"at":1.5,"user":"ann","name":"Anna","weight":2.0,"max_jobs":9,'
            '"max_bytes":1099511627776,"disabled":true}'
        ),
    ),
    ("user_deleted", 1): (ev.UserDeleted(1.5, ANN), '{"at":1.5,"user":"ann"}'),
    ("key_made", 1): (
        ev.KeyMade(1.5, ANN, KEY, KeyKind.API, "laptop", Role.USER, "d1", 9.5),
        (
            '{"at":1.5,"user":"ann","key":"0a1b","kind":"api","name":"laptop","role":"user",'
            '"digest":"d1","expires_at":9.5}'
        ),
    ),
    ("key_revoked", 1): (
        ev.KeyRevoked(1.5, ANN, KEY),
        '{"at":1.5,"user":"ann","key":"0a1b"}',
    ),
    ("key_used", 1): (ev.KeyUsed(1.5, KEY), '{"at":1.5,"key":"0a1b"}'),
    ("logged_in", 1): (
        ev.LoggedIn(1.5, KEY, KeyId("2c3d"), "d2", 9.5),
        '{"at":1.5,"key":"0a1b","session":"2c3d","digest":"d2","expires_at":9.5}',
    ),
    ("lane_opened", 1): (
        ev.LaneOpened(1.5, LANE, NODE, GPU),
        '{"at":1.5,"lane":"lane-0","node":"n1","pool":"gpu"}',
    ),
    ("lane_closing", 1): (
        ev.LaneClosing(1.5, LANE, "its node is drained"),
        '{"at":1.5,"lane":"lane-0","cause":"its node is drained"}',
    ),
    ("lane_lost", 1): (
        ev.LaneLost(1.5, LANE, "its node died"),
        '{"at":1.5,"lane":"lane-0","cause":"its node died"}',
    ),
    ("lanes_counted", 1): (
        ev.LanesCounted(1.5, 4, 2, (PoolCount(GPU, 1, 0, "1 GPU"),)),
        (
            '{"at":1.5,"wanted":4,"room":2,"pools":[{"pool":"gpu","wanted":1,"room":0,'
            '"lacks":"1 GPU"}]}'
        ),
    ),
    ("slide_planned", 1): (
        ev.SlidePlanned(1.5, RUN, 0.5, PlanFacts("f1", (4, 3), "w1", True, 1)),
        (
            '{"at":1.5,"run":"r1","seconds":0.5,"plan":{"fingerprint":"f1","chunk_tiles":[4,3],'
            '"work":"w1","reused":true,"may_fail":1}}'
        ),
    ),
    ("mpp_missed", 1): (
        ev.MppMissed(1.5, RUN, "How many µm is a pixel?"),
        '{"at":1.5,"run":"r1","question":"How many µm is a pixel?"}',
    ),
    ("chunk_finished", 1): (
        ev.ChunkFinished(1.5, RUN, 0.5, 120, 1, "ab12"),
        '{"at":1.5,"run":"r1","seconds":0.5,"cells":120,"tiles_failed":1,"checksum":"ab12"}',
    ),
    ("result_assembled", 1): (
        ev.ResultAssembled(1.5, RUN, 0.5, 120),
        '{"at":1.5,"run":"r1","seconds":0.5,"cells":120}',
    ),
    ("chunks_missed", 1): (
        ev.ChunksMissed(1.5, RUN, 0.5, (0, 4), 90, 1),
        '{"at":1.5,"run":"r1","seconds":0.5,"chunks":[0,4],"cells":90,"tiles_failed":1}',
    ),
    ("result_published", 1): (
        ev.ResultPublished(1.5, RUN, 0.5, 120, "ab12"),
        '{"at":1.5,"run":"r1","seconds":0.5,"cells":120,"checksum":"ab12"}',
    ),
    ("run_failed", 1): (
        ev.RunFailed(1.5, RUN, 0.5, Failure("not_a_slide", "No slide.", "Give one."), False),
        (
            '{"at":1.5,"run":"r1","seconds":0.5,"failure":{"code":"not_a_slide","message":'
            '"No slide.","remedy":"Give one."},"retryable":false}'
        ),
    ),
    ("run_lost", 1): (
        ev.RunLost(1.5, RUN, "it held 9 GB", True),
        '{"at":1.5,"run":"r1","cause":"it held 9 GB","too_large":true}',
    ),
    ("run_stopped", 1): (ev.RunStopped(1.5, RUN, 0.5), '{"at":1.5,"run":"r1","seconds":0.5}'),
    ("time_passed", 1): (ev.TimePassed(1.5), '{"at":1.5}'),
}
# What was written once and is on people's disks: a line here may be added, never changed.
EARLIER: list[tuple[str, int, str, ev.Event]] = [
    (
        "workflow_submitted",
        1,
        (
            '{"at":1.5,"user":"ann","key":"k1","workflow":"w1","name":"Lung","jobs":[{"job":"j2",'
            '"branch":"main","kind":"tissue_mask","request":"{\\"mpp\\":0.5}",'
            '"depends_on":["j1"]}],"digest":""}'
        ),
        ev.WorkflowSubmitted(1.5, ANN, "k1", WorkflowId("w1"), "Lung", (SPEC,)),
    ),
    ("lanes_counted", 1, '{"at":1.5,"wanted":4,"room":2}', ev.LanesCounted(1.5, 4, 2)),
    (
        "workflow_submitted",
        1,
        (
            '{"at":1.5,"user":"ann","key":"k1","workflow":"w1","name":"Lung","jobs":[{"job":"j2",'
            '"branch":"main","kind":"tissue_mask","request":"{\\"mpp\\":0.5}",'
            '"depends_on":["j1"]}]}'
        ),
        ev.WorkflowSubmitted(1.5, ANN, "k1", WorkflowId("w1"), "Lung", (SPEC,)),
    ),
    ("lane_opened", 1, '{"at":1.5,"lane":"lane-0"}', ev.LaneOpened(1.5, LANE)),
    ("scheduler_started", 1, '{"at":1.5,"epoch":3}', ev.SchedulerStarted(1.5, 3)),
    ("run_lost", 1, '{"at":1.5,"run":"r1","cause":"killed"}', ev.RunLost(1.5, RUN, "killed")),
    (
        "slide_planned",
        1,
        '{"at":1.5,"run":"r1","seconds":0.5,"plan":{"fingerprint":"f1","chunk_tiles":[4,3]}}',
        ev.SlidePlanned(1.5, RUN, 0.5, PlanFacts("f1", (4, 3))),
    ),
    (
        "slide_planned",
        1,
        (
            '{"at":1.5,"run":"r1","seconds":0.5,"plan":{"fingerprint":"f1","chunk_tiles":[4,3],'
            '"work":"w1","reused":true}}'
        ),
        ev.SlidePlanned(1.5, RUN, 0.5, PlanFacts("f1", (4, 3), "w1", True)),
    ),
    (
        "job_retry_requested",
        1,
        '{"at":1.5,"user":"ann","job":"j1"}',
        ev.JobRetryRequested(1.5, ANN, JOB),
    ),
    (
        "scheduler_started",
        1,
        (
            '{"at":1.5,"epoch":3,"limits":{"max_running_jobs":2,"max_active_users":1,'
            '"max_jobs_per_user":9,"max_jobs_per_workflow":8,"max_retries":0,'
            '"max_losses_per_unit":7,"retry_backoff_s":1.0,"retry_backoff_max_s":6.0,'
            '"slot_tenure_s":0.0,"first_tile_estimate_s":0.25}}'
        ),
        ev.SchedulerStarted(
            1.5,
            3,
            Limits(
                max_running_jobs=2,
                max_active_users=1,
                max_jobs_per_user=9,
                max_jobs_per_workflow=8,
                max_done_work_per_user=0,
                max_retries=0,
                max_losses_per_unit=7,
                retry_backoff_s=1.0,
                retry_backoff_max_s=6.0,
                slot_tenure_s=0.0,
                first_tile_estimate_s=0.25,
            ),
        ),
    ),
]
EVENT_TYPES: tuple[type[Any], ...] = get_args(ev.Event)
codec = standard_codec()


def test_every_event_type_has_exactly_one_kind() -> None:
    assert sorted(EVENT_TYPES, key=repr) == sorted((kind.event for kind in KINDS), key=repr)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_every_kind_and_version_there_ever_was_has_a_golden_record() -> None:
    assert set(GOLDEN) == {(k.name, v) for k in KINDS for v in range(1, k.version + 1)}


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_the_present_version_is_written_exactly_like_its_golden_record(name: str) -> None:
    version = next(kind.version for kind in KINDS if kind.name == name)
    event, body = GOLDEN[name, version]
    assert codec.encode(event) == Record(name, version, body)


@pytest.mark.parametrize(("name", "version"), GOLDEN)
def test_golden_records_of_all_versions_are_read(name: str, version: int) -> None:
    event, body = GOLDEN[name, version]
    assert codec.decode(1, Record(name, version, body)) == event


@pytest.mark.parametrize(("name", "version", "body", "event"), EARLIER)
def test_records_from_before_a_field_was_added_are_read(
    name: str, version: int, body: str, event: ev.Event
) -> None:
    assert codec.decode(1, Record(name, version, body)) == event


def test_a_life_that_remembered_no_done_work_is_replayed_as_it_was_lived() -> None:
    c = FakeCluster(Limits(max_done_work_per_user=0), lanes=3, work=lambda _: "slide")
    c.answer = lambda run, now: unused(*c.succeed(run, now))
    c.submit("ann", *(job(name, f"of {name}") for name in "abcd"))
    c.run(12)
    again = Scheduler()
    for event, decision in zip(c.history, c.decisions, strict=True):
        again.handle(as_written_before(event), decision)
    assert again.state == c.core.state
    assert [view.awaits for view in again.jobs_of(ANN, c.now)] == [None, None, None, "c"]


def unused(after_s: float, event: ev.Event) -> tuple[float, ev.Event]:
    """Nobody's plan finds a result that it could use."""
    if isinstance(event, ev.SlidePlanned):
        event = replace(event, plan=replace(event.plan, reused=False))
    return after_s, event


def as_written_before(event: ev.Event) -> ev.Event:
    """The event, by way of a record of the version before ``max_done_work_per_user``."""
    if not isinstance(event, ev.SchedulerStarted):
        return event
    body = json.loads(codec.encode(event).body)
    del body["limits"]["max_done_work_per_user"]
    return codec.decode(1, Record("scheduler_started", 1, json.dumps(body)))


@given(st.one_of([st.from_type(kind) for kind in EVENT_TYPES]))
def test_an_event_that_was_written_is_read_back_the_same(event: ev.Event) -> None:
    record = codec.encode(event)
    assert repr(codec.decode(1, record)) == repr(event)  # repr, since NaN is not equal to itself
    assert codec.encode(codec.decode(1, record)) == record


def test_numbers_that_json_does_not_have_survive() -> None:
    event = ev.MppAnswered(-math.inf, ANN, JOB, math.nan)
    assert repr(codec.decode(1, codec.encode(event))) == repr(event)


def test_half_characters_of_an_odd_file_name_become_question_marks() -> None:
    failure = Failure("slide_missing", "There is no caf\udce9.svs", "Look again.")
    event = ev.RunFailed(1.5, RUN, 0.5, failure, False)
    assert codec.decode(1, codec.encode(event)) == replace(
        event, failure=replace(failure, message="There is no caf?.svs")
    )


@pytest.mark.parametrize("cells", ["many", 1.5, None, object()])
def test_an_event_with_a_value_of_the_wrong_type_is_refused_before_it_is_written(
    cells: Any,
) -> None:
    with pytest.raises(InternalError, match="ChunkFinished cannot be written") as caught:
        codec.encode(ev.ChunkFinished(1.5, RUN, 0.5, cells, 0, "ab12"))
    assert caught.value.facts == {"event": "ChunkFinished"}


def test_what_is_not_an_event_is_refused() -> None:
    with pytest.raises(InternalError, match="not in the codec's table"):
        codec.encode(SPEC)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "record",
    [Record("slide_eaten", 1, '{"at":1.5}'), Record("time_passed", 2, '{"at":1.5}')],
)
def test_an_unknown_kind_or_version_is_said_to_be_of_a_newer_raysched(record: Record) -> None:
    with pytest.raises(JournalTooNew, match=r"Record 7 .* written by a newer raysched") as caught:
        codec.decode(7, record)
    assert caught.value.facts == {"seq": 7, "kind": record.kind, "version": record.version}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "EOF"),
        ("null", "empty"),
        ("[]", "Input should be an object"),
        ('{"at":1.5', "EOF"),
        ('{"at":"1.5"}', "at: Input should be a valid number"),
        ("{}", "at: Field required"),
    ],
)
def test_a_body_that_cannot_be_understood_is_damage_and_says_where(body: str, why: str) -> None:
    with pytest.raises(JournalDamaged, match=f"Record 7 .*time_passed version 1.* {why}"):
        codec.decode(7, Record("time_passed", 1, body))


def test_a_field_that_is_not_known_is_not_damage_but_of_a_newer_raysched() -> None:
    with pytest.raises(JournalTooNew, match=r"Record 7 .*time_passed version 1.* newer") as caught:
        codec.decode(7, Record("time_passed", 1, '{"at":1.5,"zone":"UTC"}'))
    assert "Run the raysched that wrote it" in caught.value.remedy


def test_a_version_below_the_first_is_damage() -> None:
    with pytest.raises(JournalDamaged, match="there is no version 0"):
        codec.decode(7, Record("time_passed", 0, '{"at":1.5}'))


@dataclass(frozen=True, slots=True)
class DoorOpened:
    """What an event may look like after two changes of its meaning."""

    at: float
    door: str
    angle_deg: float


def name_the_door(body: dict[str, object]) -> dict[str, object]:
    return {"at": body["at"], "door": f"door-{body['number']}", "turns": body["turns"]}


def turns_to_degrees(body: dict[str, object]) -> dict[str, object]:
    turns = body["turns"]
    assert isinstance(turns, float)
    return {"at": body["at"], "door": body["door"], "angle_deg": turns * 360}


THIRD: Any = Kind("door_opened", DoorOpened, version=3)  # type: ignore[arg-type]
doors = Codec([THIRD], {("door_opened", 1): name_the_door, ("door_opened", 2): turns_to_degrees})


@pytest.mark.parametrize(
    ("version", "body"),
    [
        (1, '{"at":1.5,"number":4,"turns":0.25}'),
        (2, '{"at":1.5,"door":"door-4","turns":0.25}'),
        (3, '{"at":1.5,"door":"door-4","angle_deg":90.0}'),
    ],
)
def test_older_versions_are_upgraded_step_by_step_while_reading(version: int, body: str) -> None:
    record = Record("door_opened", version, body)
    door: Any = doors.decode(1, record)
    assert door == DoorOpened(1.5, "door-4", 90.0)
    assert doors.body(1, record) == json.loads('{"at":1.5,"door":"door-4","angle_deg":90.0}')


def test_a_codec_that_could_not_read_an_older_version_is_refused() -> None:
    with pytest.raises(InternalError, match="door_opened version 2 could not be read"):
        Codec([THIRD], {("door_opened", 1): name_the_door})
