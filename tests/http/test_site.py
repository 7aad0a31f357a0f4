"""The files of the web UI as they are served; what they do is for the tests in a browser."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import httpx
import pytest

from serve_app import site
from tests.http.here import Here, run


def page() -> str:
    return site.files()[site.PAGE].content.decode()


def test_the_page_names_only_files_of_its_own_and_each_is_there() -> None:
    named = re.findall(r'(?:src|href)="([^"]+)"', page())
    own = [name.removeprefix("/") for name in named if not name.startswith("data:")]
    assert len(own) >= 4
    assert set(own) <= site.files().keys()


def test_nothing_that_is_served_asks_another_host() -> None:
    for name, file in site.files().items():
        if name.endswith((".js", ".css", ".html")):
            text = file.content.decode()
            assert not re.search(r"""(?:src|href|url|import)\s*[=(]\s*["']?https?://""", text), name


def test_what_is_compressed_is_the_same() -> None:
    packed = {name: file for name, file in site.files().items() if file.packed}
    assert any(name.endswith(".js") for name in packed)
    for file in packed.values():
        assert file.packed is not None
        assert gzip.decompress(file.packed) == file.content


def test_the_page_is_for_everybody_and_runs_nothing_but_its_own_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        http = httpx.AsyncClient()
        answer = await http.get(f"{here.url}/")
        assert (answer.status_code, answer.text) == (200, page())
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-cache"
        again = await http.get(f"{here.url}/", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        script = re.findall(r'src="(/assets/main[^"]+)"', page())[0]
        asset = await http.get(f"{here.url}{script}")
        assert asset.headers["Content-Type"].startswith("text/javascript")
        assert "immutable" in asset.headers["Cache-Control"]
        assert asset.headers["Content-Encoding"] == "gzip"
        gone = await http.get(f"{here.url}/assets/main-OLD.js")
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
        up = await http.get(f"{here.url}/assets/..%2findex.html")
        assert up.status_code == 404
        await http.aclose()

    run(tmp_path, monkeypatch, work)


def test_where_it_was_not_built_the_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(here: Here) -> None:
        answer = await here.http.get(f"{here.url}/")
        assert answer.status_code == 503
        assert "scripts/build-ui" in answer.text

    files = site.files.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(site, "files", lambda: files(tmp_path))
    run(tmp_path, monkeypatch, work)
