"""``--server``: which service is meant, with which key, and what is refused before it is asked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysched.cli.keys import key_for, store, stored
from raysched.cli.main import app
from raysched.config import load_remote
from raysched.errors import InvalidSetting, Unauthorized

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A person who has neither a server, nor a key, nor a cluster."""
    for name in ("RAYSCHED_SERVER", "RAYSCHED_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAYSCHED_KEYS", str(tmp_path / "keys" / "keys.json"))
    monkeypatch.setenv("RAYSCHED_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("RAY_ADDRESS", "nowhere:1")
    return tmp_path / "keys" / "keys.json"


def raysched(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin)


def error_of(result: Result) -> dict[str, object]:
    (line,) = result.stdout.splitlines()
    error = json.loads(line)["error"]
    assert result.exit_code == error["exit_code"]
    return dict(error)


def test_a_server_without_a_key_says_how_to_get_in() -> None:
    error = error_of(raysched("status", "--server", NOBODY, "--json"))
    assert (error["code"], error["exit_code"]) == ("unauthorized", 2)
    assert f"raysched login {NOBODY}" in str(error["remedy"])


@pytest.mark.parametrize("server", ["host", "ftp://host", "http://a?b"])
def test_an_address_that_is_none_is_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSCHED_KEY", "rsk_mine")
    assert error_of(raysched("status", "--server", server, "--json"))["code"] == "invalid_setting"


def test_a_server_and_a_cluster_are_not_both_meant() -> None:
    arguments = ("status", "--server", NOBODY, "--address", "here:1", "--json")
    assert error_of(raysched(*arguments))["code"] == "invalid_setting"


def test_the_environment_names_a_server_too_and_a_folder_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert error_of(raysched("status", "--json"))["code"] != "unauthorized"
    monkeypatch.setenv("RAYSCHED_SERVER", NOBODY)
    assert error_of(raysched("status", "--json"))["code"] == "unauthorized"
    assert error_of(raysched("export", "nothing", "-f", "csv", "--json"))["code"] == "not_found"


def test_a_kept_key_is_its_owner_s_alone_and_of_one_server(keys: Path) -> None:
    store(keys, "http://a", "rsk_a")
    store(keys, "http://b", "rsk_b")
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700
    assert key_for("http://a/api/v1") == "rsk_a"
    with pytest.raises(Unauthorized):
        key_for("http://c")
    assert list(keys.parent.iterdir()) == [keys]


def test_a_key_in_the_environment_is_used_before_a_kept_one(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(keys, "http://a", "rsk_a")
    monkeypatch.setenv("RAYSCHED_KEY", "rsk_other\n")
    assert key_for("http://a") == "rsk_other"
    assert "rsk_other" not in repr(load_remote())


def test_keys_that_others_may_read_are_refused(keys: Path) -> None:
    store(keys, "http://a", "rsk_a")
    keys.chmod(0o640)
    with pytest.raises(InvalidSetting, match="Others may read"):
        key_for("http://a")
    with pytest.raises(InvalidSetting, match="Others may read"):
        store(keys, "http://b", "rsk_b")


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_damaged_file_of_keys_is_said_to_be_one(text: str, keys: Path) -> None:
    store(keys, "http://a", "rsk_a")
    keys.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidSetting, match="cannot be read"):
        key_for("http://a")


def test_logging_in_without_a_key_keeps_none(keys: Path) -> None:
    assert error_of(raysched("login", NOBODY, "--json"))["code"] == "invalid_setting"
    assert not keys.exists()


def test_logging_out_forgets_one_key(keys: Path) -> None:
    store(keys, "http://a", "rsk_a")
    store(keys, "http://b", "rsk_b")
    assert raysched("logout", "http://a/").exit_code == 0
    assert stored(keys) == {"http://b": "rsk_b"}
