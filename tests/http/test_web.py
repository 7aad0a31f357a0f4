"""The application without a scheduler: error shapes, documentation, files, names."""

from __future__ import annotations

import asyncio
import io
import json
import queue
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from raysched.cluster.accounts import Secret
from raysched.cluster.gateway import Gateway
from raysched.cluster.limiter import Admission, Budget, Taken
from raysched.cluster.submission import JobRequest, digest_of
from raysched.config import Config, load_config
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.model import LOCAL_USER, KeyId
from raysched.errors import (
    InternalError,
    InvalidSetting,
    LimitReached,
    NotFound,
    RayschedError,
    SlideMissing,
    StorageFull,
)
from raysched.imaging.classical import ClassicalEngine, ClassicalParams
from serve_app.downloads import zip_of
from serve_app.models import HttpJob, HttpSubmission
from serve_app.paths import conceal, find_slide, refuse_files
from serve_app.results import find_result, pulled, result_files
from serve_app.routes import AT_THE_ROOT, ROUTES
from serve_app.web import create_app

BODY_REMEDY = "See /docs for what this route takes."


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(state=tmp_path / "state", serve={"slide_folders": [tmp_path / "slides"]})


KEY = Secret.new(KeyKind.API)


class LetsIn(Gateway):
    """Knows one key, whose user may do anything, and reaches no scheduler."""

    async def admit(self, key: KeyId, digest: str, budget: Budget) -> Admission:
        assert (key, digest) == (KEY.key, KEY.digest)
        caller = Caller(LOCAL_USER, "Local", Role.ADMIN, key, KeyKind.API, max_jobs=50)
        return Admission(caller, Taken(left=len(budget)))


def ask(config: Config, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to the application, as any ASGI server would pass it on."""
    app = create_app(config, LetsIn("nowhere", patience_s=0))

    @app.get("/raise/{name}", include_in_schema=False)
    async def fail(name: str) -> None:
        raise ERRORS[name]

    more["headers"] = {"Authorization": f"Bearer {KEY.text}", **more.get("headers", {})}

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())


ERRORS: dict[str, Exception] = {
    "missing": SlideMissing("No slide 'a'.", remedy="Look.", path="/secret/a"),
    "limit": LimitReached("Too many.", remedy="Wait.", limit=3),
    "full": StorageFull("The disk is full.", remedy="Free space."),
    "internal": InternalError("secret", remedy="secret"),
    "bug": RuntimeError("secret"),
    "half": NotFound("There is no \ud800.", remedy="Look.", name="\ud800"),
}


def problem_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:raysched:error:{body['code']}"
    assert {"title", "detail", "remedy"} <= set(body)
    return body


# --- errors -------------------------------------------------------------------------------------


def test_an_error_of_ours_is_a_problem_with_its_facts_but_no_server_path(config: Config) -> None:
    assert problem_of(ask(config, "GET", "/raise/limit")) == {
        "type": "urn:raysched:error:limit_reached",
        "title": "Limit reached",
        "status": 429,
        "detail": "Too many.",
        "code": "limit_reached",
        "remedy": "Wait.",
        "limit": 3,
    }
    missing = problem_of(ask(config, "GET", "/raise/missing"))
    assert (missing["status"], "path" in missing) == (404, False)
    assert problem_of(ask(config, "GET", "/raise/full"))["status"] == 507


@pytest.mark.parametrize("name", ["internal", "bug"])
def test_an_unexpected_error_reveals_nothing(name: str, config: Config) -> None:
    response = ask(config, "GET", f"/raise/{name}")
    assert problem_of(response)["code"] == "internal"
    assert "secret" not in response.text


def test_a_message_may_quote_half_a_character(config: Config) -> None:
    assert problem_of(ask(config, "GET", "/raise/half"))["name"] == "\ud800"


def test_a_busy_service_says_when_to_come_back(config: Config) -> None:
    assert int(ask(config, "GET", "/raise/limit").headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("DELETE", "/api/v1/jobs", 405, "method_not_allowed"),
    ],
)
def test_a_route_that_is_not_there_is_a_problem(
    method: str, path: str, status: int, code: str, config: Config
) -> None:
    problem = problem_of(ask(config, method, path))
    assert (problem["status"], problem["code"], problem["remedy"]) == (status, code, BODY_REMEDY)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "body.jobs"),
        ({"jobs": []}, "body.jobs"),
        ({"jobs": [{"slide": ""}]}, "body.jobs.0.slide"),
        ({"jobs": [{"slide": "a", "out": "/etc"}]}, "body.jobs.0.out"),
        ({"jobs": [{"slide": "a", "engine": ""}]}, "body.jobs.0.engine"),
        ({"jobs": [{"slide": "a", "engine": "\ud800"}]}, "body.jobs.0.engine"),
        ({"jobs": [{"slide": "a", "mpp": 1000}]}, "body.jobs.0.mpp"),
        ({"jobs": [{"slide": "a", "branch": "../x"}]}, "body.jobs.0.branch"),
    ],
)
def test_a_bad_body_is_a_problem_that_names_the_field(
    body: dict[str, Any], where: str, config: Config
) -> None:
    sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    problem = problem_of(ask(config, "POST", "/api/v1/workflows", **sent))
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert problem["faults"][0]["where"] == where


def test_broken_json_is_a_problem(config: Config) -> None:
    response = ask(config, "POST", "/api/v1/workflows", content=b"{")
    assert problem_of(response)["code"] == "invalid_request"


def test_every_error_kind_has_a_stable_code_and_a_status() -> None:
    def kinds(root: type[RayschedError]) -> list[type[RayschedError]]:
        return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]

    assert [kind for kind in kinds(RayschedError) if not 400 <= kind.status < 600] == []
    codes = [kind.code for kind in kinds(RayschedError)]
    assert len(codes) == len(set(codes))


# --- documentation ------------------------------------------------------------------------------


def test_the_process_says_that_it_is_alive(config: Config) -> None:
    assert ask(config, "GET", "/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_needs_no_other_server(path: str, config: Config) -> None:
    page = ask(config, "GET", path)
    assert page.status_code == 200
    assets = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert assets
    assert [asset for asset in assets if not asset.startswith("/")] == []
    assert {ask(config, "GET", asset).status_code for asset in assets} == {200}


def test_openapi_describes_every_route_and_its_problems(config: Config) -> None:
    schema = ask(config, "GET", "/openapi.json").json()
    operations = [each for path in schema["paths"].values() for each in path.values()]
    assert len(operations) == len(ROUTES) + len(AT_THE_ROOT)
    assert [each for each in operations if "500" not in each["responses"]] == []
    assert set(schema["components"]["schemas"]["Problem"]["required"]) == {
        *("type", "title", "status", "detail", "code", "remedy")
    }


def test_engines_are_listed_with_the_schema_of_their_parameters(config: Config) -> None:
    listed = ask(config, "GET", "/api/v1/engines").json()
    (classical,) = (each for each in listed["engines"] if each["name"] == "classical")
    assert classical["version"] == ClassicalEngine.version
    assert (classical["target_mpp"], classical["halo_um"]) == (0.5, ClassicalEngine.halo_um)
    assert classical["parameters"] == ClassicalParams.model_json_schema()
    assert classical["package"].startswith("raysched ")


def test_what_an_engine_that_cannot_be_loaded_says_stays_on_the_server(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "secret-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: secret\nVersion: 1\n")
    points = "[raysched.engines]\nabsent = no_such_module_here:Engine\n"
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)
    answer = ask(config, "GET", "/api/v1/engines")
    assert "no_such_module_here" not in answer.text
    unusable = [(each["name"], each["package"]) for each in answer.json()["unusable"]]
    assert ("absent", "secret 1") in unusable
    assert {name for name, _ in unusable} <= {"absent", "instanseg"}
    assert "classical" in [each["name"] for each in answer.json()["engines"]]


def taken(field: FieldInfo) -> tuple[object, ...]:
    """What a field takes, whatever it says of itself."""
    return field.default, field.annotation, repr(field.metadata)


# --- submitting ---------------------------------------------------------------------------------


def test_http_takes_what_the_command_line_takes_but_no_results_folder() -> None:
    here, there = HttpJob.model_fields, JobRequest.model_fields
    assert set(here) == set(there) - {"out", "slide_id"}
    for name in set(here) - {"slide"}:
        assert taken(here[name]) == taken(there[name]), name


def test_a_body_that_is_too_large_is_not_read(config: Config) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 1024 * 1024
        raise AssertionError("it was read on")

    for content in (b" " * (4 * 1024 * 1024 + 1), endless()):
        response = ask(config, "POST", "/api/v1/workflows", content=content)
        assert (response.status_code, problem_of(response)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"slide": "p1/s.svs"}, {"slide": "p2/s.svs"}),
        ({"slide": "s.svs", "params": {"min_area_um2": 20}}, {"slide": "s.svs"}),
        ({"slide": "s.svs", "mpp": 0.5}, {"slide": "s.svs"}),
    ],
)
def test_two_bodies_that_ask_for_something_else_have_other_digests(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    def digest(*jobs: dict[str, Any]) -> str:
        return digest_of(HttpSubmission.model_validate({"jobs": jobs}))

    assert digest(one) == digest({**one, "branch": "main"}) != digest(other)
    first = {**other, "name": "a"}
    assert digest(first, other) != digest(first, {**other, "depends_on": ["a"]})


def test_a_slide_is_named_relative_to_a_slide_folder_or_in_full(
    config: Config, tmp_path: Path
) -> None:
    slide = tmp_path / "slides" / "case 1" / "ä.svs"
    slide.parent.mkdir(parents=True)
    slide.touch()
    found = find_slide("case 1/ä.svs", config)
    assert (found, find_slide(str(slide), config)) == (slide, slide)
    submission = HttpSubmission(jobs=(HttpJob(slide="case 1/ä.svs", branch="b"),))
    assert submission.on(((found, None),)).jobs == (JobRequest(slide=str(slide), branch="b"),)
    assert submission.on(((found, "sl-1"),)).jobs[0].slide_id == "sl-1"


@pytest.mark.parametrize(
    "name",
    [
        "missing.svs",
        "../outside.svs",
        "link.svs",
        "inside/../../outside.svs",
        "OUTSIDE",
        "/etc/passwd",
        "nul\0.svs",
        "x" * 3000,
        "inside",
        ".",
        "loop",
    ],
)
def test_nothing_outside_the_slide_folders_can_be_named_or_guessed(
    name: str, config: Config, tmp_path: Path
) -> None:
    outside, slides = tmp_path / "outside.svs", tmp_path / "slides"
    (slides / "inside").mkdir(parents=True)
    outside.touch()
    (slides / "link.svs").symlink_to(outside)
    (slides / "loop").symlink_to(slides / "loop")
    name = str(outside) if name == "OUTSIDE" else name
    with pytest.raises(SlideMissing) as refused:
        find_slide(name, config)
    assert refused.value.message == f"There is no slide {name[:200]!r} that this service may read."


class FileParams(ClassicalParams):
    weights: str | None = Field(default=None, json_schema_extra={"format": "path"})
    typed: Path | None = None
    several: tuple[Path, ...] = ()
    note: str = ""


def test_engine_parameters_name_only_files_of_the_model_folders(
    config: Config, tmp_path: Path
) -> None:
    """Weights are code, and what is said of a file that is none tells that it is there."""
    models, inside, outside = tmp_path / "models", tmp_path / "models/a.pt", tmp_path / "b.pt"
    models.mkdir()
    inside.touch()
    outside.touch()
    (models / "link.pt").symlink_to(outside)
    serve = config.serve.model_copy(update={"model_folders": (models,)})
    allowing = config.model_copy(update={"serve": serve})
    fine = ({"weights": str(inside)}, {"weights": None}, {"note": str(outside)}, {})
    for params in (*fine, {"typed": str(inside)}, {"several": [str(inside)]}):
        refuse_files(FileParams, params, allowing)
    for path in (outside, models / "link.pt", models / "no.pt", models, Path("a.pt"), "x\0y"):
        with pytest.raises(InvalidSetting, match="that this service may read") as refused:
            refuse_files(FileParams, {"weights": str(path)}, allowing)
        for params in ({"typed": str(path)}, {"several": [str(inside), str(path)]}):
            with pytest.raises(InvalidSetting, match="that this service may read"):
                refuse_files(FileParams, params, allowing)
        assert "serve.model_folders" in refused.value.remedy
    with pytest.raises(InvalidSetting):
        refuse_files(FileParams, {"weights": str(inside)}, config)


def test_server_folders_are_taken_out_of_texts() -> None:
    folders = (Path("/data"), Path("/data/slides"), Path("/"))
    assert conceal("/data/slides/a.svs in /data/slides, /data/x", folders) == (
        "a.svs in the folder, x"
    )
    uploaded = f"/state/slides/{'0a' * 16}/sl-{'1' * 21}/content/a.svs"
    assert conceal(f"{uploaded} is damaged", (Path("/state/slides"),)) == "a.svs is damaged"


# --- results ------------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    (folder / "cells").mkdir(parents=True)
    (folder / "cells" / "part-0.parquet").write_bytes(b"PAR1")
    (folder / "manifest.json").write_text("{}")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "results-2").mkdir()
    (tmp_path / "results-2" / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


def test_a_result_file_is_found_by_its_relative_name(results: Path) -> None:
    assert find_result(results, "cells/part-0.parquet").read_bytes() == b"PAR1"


@pytest.mark.parametrize(
    "name",
    ["../secret", "cells/../../secret", "link", "cells", "", ".", "\0", "../results-2/secret"],
)
def test_nothing_but_files_of_the_results_is_found(name: str, results: Path) -> None:
    with pytest.raises(NotFound):
        find_result(results, name)
    with pytest.raises(NotFound):
        find_result(results, str((results / "..").resolve() / "secret"))


def test_a_zip_holds_every_file_and_follows_no_link(results: Path) -> None:
    made = zip_of(result_files(results), results, "job-1")
    size, whole = len(made), b"".join(made)
    assert len(whole) == size
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["job-1/cells/part-0.parquet", "job-1/manifest.json"]
        assert archive.read("job-1/cells/part-0.parquet") == b"PAR1"


def test_what_is_written_is_pulled_without_running_ahead() -> None:
    written = 0

    def write(to: BinaryIO) -> None:
        nonlocal written
        for _ in range(64):
            written += to.write(b"x" * 2**20)

    pieces = pulled(write)
    next(pieces)
    assert written <= 4 * 2**20
    assert 2**26 - 2**20 < sum(len(piece) for piece in pieces) < 2**26


def test_what_the_writer_raises_reaches_the_reader() -> None:
    def write(to: BinaryIO) -> None:
        to.write(b"some")
        raise StorageFull("The disk is full.", remedy="Free space.")

    pieces = pulled(write)
    assert next(pieces) == b"some"
    with pytest.raises(StorageFull):
        next(pieces)


def test_a_reader_that_goes_away_ends_the_writer() -> None:
    ended: queue.Queue[type[BaseException]] = queue.Queue()

    def write(to: BinaryIO) -> None:
        try:
            while True:
                to.write(b"x" * 2**20)
        except BaseException as error:
            ended.put(type(error))
            raise

    pieces = pulled(write)
    next(pieces)
    pieces.close()
    assert ended.get(timeout=30) is BrokenPipeError
