"""Usage over HTTP: what the journal says, to whom it may be said, as JSON and as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from raysched.cluster.accounts import KeyWish
from raysched.core.accounts import Role
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    # Ray Serve's own models, on import
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]


def test_a_finished_job_is_in_the_report_of_the_day(service: Service) -> None:
    job = service.submit("sample.svs", branch="counted")
    done = service.until(job["id"], "succeeded")
    answer = service.http.get("/me/usage").raise_for_status().json()
    today = datetime.now(UTC).date()
    assert answer["until"] == str(today)
    assert answer["since"] == str(today - timedelta(days=29))
    assert {row["user"] for row in answer["days"]} == {"local"}
    sums = {
        name: sum(row[name] for row in answer["days"])
        for name in ("submitted", "succeeded", "tiles", "cells", "runs")
    }
    jobs = service.http.get("/jobs").json()["jobs"]
    ended = [each for each in jobs if each["state"] == "succeeded"]
    assert sums["submitted"] >= len(jobs)
    assert sums["succeeded"] >= len(ended)
    assert sums["tiles"] >= done["tiles_total"]
    assert sums["cells"] >= done["cells"]
    assert sums["runs"] >= 3 + done["chunks_total"]
    last = answer["days"][-1]
    stages = (last["plan_s"], last["segment_s"], last["assemble_s"], last["publish_s"])
    assert last["lane_s"] == pytest.approx(sum(stages), abs=0.01)
    assert 0 <= last["wait_median_s"] <= last["wait_p90_s"] <= last["wait_max_s"]
    everybody = service.http.get("/usage", params={"user": "local"}).json()["days"]
    assert [row["submitted"] for row in everybody] == [row["submitted"] for row in answer["days"]]


def test_csv_says_the_same_as_json(service: Service) -> None:
    service.submit("sample.svs", branch="as csv")
    said = service.http.get("/usage", params={"format": "csv", "user": "local"})
    assert said.headers["content-type"] == "text/csv; charset=utf-8"
    assert "usage-" in said.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(said.text)))
    days = service.http.get("/usage", params={"user": "local"}).json()["days"]
    names = ("day", "user", "submitted", "skipped")
    assert [[row[name] for name in names] for row in rows] == [
        [str(day[name]) for name in names] for day in days
    ]
    assert set(rows[0]) == set(days[0])


def test_nobody_sees_anothers_usage_but_an_administrator(service: Service) -> None:
    accounts = service.accounts

    async def key() -> str:
        await accounts.create("frugal", "Frugal", Role.USER)
        return (await accounts.make_key("frugal", KeyWish("mine"))).text

    with service.client(asyncio.run(key())) as frugal:
        service.submit("sample.svs", branch="anothers")
        assert frugal.get("/me/usage").json()["days"] == []
        assert frugal.get("/usage", params={"user": "frugal"}).status_code == 403
    named = service.http.get("/me/usage", headers={"X-User-ID": "frugal"}).json()
    assert (named["user"], named["days"]) == ("frugal", [])
    assert service.http.get("/usage", params={"user": "nobody-here"}).status_code == 404


@pytest.mark.parametrize(
    ("since", "until"),
    [("2026-01-02", "2026-01-01"), ("2020-01-01", "2026-01-01"), ("0001-01-01", "9999-12-31")],
)
def test_a_range_that_is_none_is_refused(service: Service, since: str, until: str) -> None:
    answer = service.http.get("/me/usage", params={"since": since, "until": until})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_setting")


@pytest.mark.parametrize("until", ["0001-01-01", "9999-12-31"])
def test_the_first_and_last_day_of_the_calendar_are_days(service: Service, until: str) -> None:
    answer = service.http.get("/me/usage", params={"until": until})
    assert (answer.status_code, answer.json()["days"]) == (200, [])
