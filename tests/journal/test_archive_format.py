"""What is in people's archives is read for ever: a line here may be added, never changed."""

from __future__ import annotations

from dataclasses import replace

from raysched.core.commands import Retire
from raysched.core.model import (
    BranchName,
    Failure,
    JobId,
    JobSpec,
    JobState,
    PlanFacts,
    PoolName,
    Stage,
    UserId,
    WorkflowId,
)
from raysched.core.state import Job, Progress, Workflow
from raysched.journal import archive

SPEC = JobSpec(JobId("j1"), BranchName("main"), "cells", "{}", (JobId("j0"),))
KEPT = Retire(
    Workflow(WorkflowId("w1"), UserId("ann"), "k1", "Lung", 1.5, (JobId("j1"),), "d1"),
    (
        Job(
            spec=replace(SPEC, pool=PoolName("gpu"), slide="s1"),
            user=UserId("ann"),
            workflow=WorkflowId("w1"),
            order=7,
            submitted_at=1.5,
            before=JobId("j0"),
            dependents=[JobId("j2")],
            state=JobState.FAILED,
            stage=Stage.SEGMENT,
            attempt=4,
            tries=3,
            progress=Progress(
                PlanFacts("f1", (4, 3), "s1", may_fail=0), [1], 1, 4, 1, 120, 2.5, {0: (1, 120)}
            ),
            mpp=0.25,
            losses={"segment 1": 2},
            too_large={"segment 1": None},
            retry_key="k2",
            earlier_retry_keys=("k0", "k1"),
            failure=Failure("boom", "It broke.", "Fix it."),
            cells=120,
            started_at=2.0,
            ended_at=9.0,
        ),
    ),
)
BODY = (
    '{"workflow":{"workflow":"w1","user":"ann","key":"k1","name":"Lung","submitted_at":1.5,'
    '"jobs":["j1"],"digest":"d1"},"jobs":[{"spec":{"job":"j1","branch":"main","kind":"cells",'
    '"request":"{}","depends_on":["j0"],"pool":"gpu","slide":"s1"},'
    '"user":"ann","workflow":"w1","order":7,'
    '"submitted_at":1.5,"before":"j0","after":null,"dependents":["j2"],"unmet":{},'
    '"state":"failed","stage":"segment","attempt":4,"tries":3,"progress":{"plan":'
    '{"fingerprint":"f1","chunk_tiles":[4,3],"work":"s1","reused":false,"may_fail":0},'
    '"pending":[1],'
    '"chunks_done":1,"tiles_done":4,'
    '"tiles_failed":1,"cells":120,"seconds":2.5,"holes":{"0":[1,120]}},'
    '"mpp":0.25,"runs":{},"losses":{"segment 1":2},'
    '"too_large":{"segment 1":null},'
    '"verdict":null,"retry_at":null,"retry_key":"k2","earlier_retry_keys":["k0","k1"],'
    '"skipped_by":null,"awaits":null,"failure":{"code":"boom",'
    '"message":"It broke.","remedy":"Fix it."},"question":null,"cells":120,"checksum":null,'
    '"started_at":2.0,"ended_at":9.0}]}'
)

BEFORE_POOLS = BODY.replace(',"pool":"gpu","slide":"s1"', "")
BEFORE_CARE = BEFORE_POOLS.replace('"too_large":{"segment 1":null},', "")
BEFORE_HOLES = BEFORE_CARE.replace(',"may_fail":0', "").replace(',"holes":{"0":[1,120]}', "")
BEFORE_REUSE = BEFORE_HOLES.replace(',"work":"s1","reused":false', "").replace(',"awaits":null', "")
EARLIER = BEFORE_REUSE.replace('"earlier_retry_keys":["k0","k1"],', "")
"""What was written before those fields came: on people's disks, read for ever."""


def test_what_is_archived_is_written_as_it_was_and_read_for_ever() -> None:
    row = archive.row(3, KEPT)
    assert (row.version, row.body) == (1, BODY)
    assert archive.read(1, BODY) == KEPT
    assert len({BODY, BEFORE_POOLS, BEFORE_CARE, BEFORE_HOLES, BEFORE_REUSE, EARLIER}) == 6
    (kept,) = KEPT.jobs
    before = replace(kept, spec=SPEC)
    assert archive.read(1, BEFORE_POOLS) == replace(KEPT, jobs=(before,))
    job = replace(before, too_large={})
    assert archive.read(1, BEFORE_CARE) == replace(KEPT, jobs=(job,))
    assert job.progress is not None
    plan = replace(job.progress.plan, may_fail=None)
    then = replace(job, progress=replace(job.progress, plan=plan, holes={}))
    assert archive.read(1, BEFORE_HOLES) == replace(KEPT, jobs=(then,))
    then = replace(job, progress=replace(job.progress, plan=replace(plan, work=""), holes={}))
    assert archive.read(1, BEFORE_REUSE) == replace(KEPT, jobs=(then,))
    earlier = replace(then, earlier_retry_keys=())
    assert archive.read(1, EARLIER) == replace(KEPT, jobs=(earlier,))
