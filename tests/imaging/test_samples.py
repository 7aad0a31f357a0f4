"""A sample slide is always found: in a folder, the cache, the network, or made up in time."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raysched.errors import SlideUnreadable, StorageFailed
from raysched.imaging.samples import (
    SAMPLE_NAME,
    SAMPLE_SHA256,
    SYNTHETIC_NUCLEI,
    Sample,
    sample_slide,
)
from raysched.imaging.slide import open_slide, slide_sha256


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without writing to the console."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """A real web server; gives the URL of the sample there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/{SAMPLE_NAME}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def nowhere() -> str:
    """A URL whose port was free a moment ago: connecting is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/{SAMPLE_NAME}"


@pytest.fixture
def silence() -> Iterator[str]:
    """A URL that accepts the connection and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/{SAMPLE_NAME}"


def assert_synthetic(sample: Sample, cache: Path) -> None:
    assert (sample.source, sample.path.parent) == ("synthetic", cache)
    assert sample.truth is not None
    assert sample.truth.nuclei == SYNTHETIC_NUCLEI
    assert f"synthetic slide with {SYNTHETIC_NUCLEI:,} nuclei" in sample.note
    with open_slide(sample.path) as slide:
        assert slide.vendor == "generic-tiff"


def test_a_folder_of_samples_comes_first(
    samples: Path, sample_slide: Path, tmp_path: Path, nowhere: str
) -> None:
    found = take(samples, tmp_path, url=nowhere)
    assert found == Sample(sample_slide, "folder", None, f"Using the Aperio sample of {samples}.")


def test_a_wrong_file_in_the_folder_is_an_error_that_says_what_to_do(
    tmp_path: Path, nowhere: str
) -> None:
    (tmp_path / SAMPLE_NAME).write_bytes(b"not the sample")
    with pytest.raises(SlideUnreadable) as caught:
        take(tmp_path, tmp_path / "cache", url=nowhere)
    assert str(tmp_path / SAMPLE_NAME) in caught.value.message
    assert "remove it" in caught.value.remedy
    assert caught.value.facts["expected_sha256"] == SAMPLE_SHA256


def test_the_cache_comes_second_and_needs_no_network(
    sample_slide: Path, tmp_path: Path, nowhere: str
) -> None:
    shutil.copy(sample_slide, tmp_path)
    found = take(tmp_path / "no such folder", tmp_path, url=nowhere)
    assert (found.path, found.source) == (tmp_path / SAMPLE_NAME, "cache")


def test_a_download_lands_in_the_cache_and_is_not_repeated(
    samples: Path, sample_slide: Path, tmp_path: Path
) -> None:
    with web_server(samples) as url:
        first = take(None, tmp_path, url=url)
    second = take(None, tmp_path, url=url)
    assert (first.source, second.source) == ("download", "cache")
    assert slide_sha256(first.path) == SAMPLE_SHA256
    assert [path.name for path in tmp_path.iterdir()] == [SAMPLE_NAME]


def test_a_wrong_file_in_the_cache_is_downloaded_anew(
    samples: Path, sample_slide: Path, tmp_path: Path
) -> None:
    (tmp_path / SAMPLE_NAME).write_bytes(b"half a slide")
    with web_server(samples) as url:
        assert take(None, tmp_path, url=url).source == "download"
    assert slide_sha256(tmp_path / SAMPLE_NAME) == SAMPLE_SHA256


def test_a_download_with_other_content_is_not_kept(tmp_path: Path) -> None:
    served, cache = tmp_path / "served", tmp_path / "cache"
    served.mkdir()
    (served / SAMPLE_NAME).write_bytes(b"<html>please log in</html>")
    with web_server(served) as url:
        found = take(None, cache, url=url)
    assert_synthetic(found, cache)
    assert "what came was not the sample" in found.note
    assert not (cache / SAMPLE_NAME).exists()


def test_a_server_that_has_no_sample_is_quoted(tmp_path: Path) -> None:
    with web_server(tmp_path) as url:
        found = take(None, tmp_path / "cache", url=url)
    assert_synthetic(found, tmp_path / "cache")
    assert "the server says 404" in found.note


def test_without_a_network_a_synthetic_slide_is_made(tmp_path: Path, nowhere: str) -> None:
    found = take(None, tmp_path, url=nowhere)
    assert_synthetic(found, tmp_path)
    assert "no connection" in found.note


def test_a_network_that_does_not_answer_is_given_up_in_time(tmp_path: Path, silence: str) -> None:
    found = take(None, tmp_path, url=silence, timeout_s=0.5)
    assert_synthetic(found, tmp_path)
    assert "no answer" in found.note


def test_a_name_that_takes_for_ever_to_look_up_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        over.wait(60)
        raise OSError("the test is over")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    found = take(None, tmp_path, url=f"http://slides.example/{SAMPLE_NAME}", timeout_s=0.5)
    over.set()
    assert_synthetic(found, tmp_path)
    assert "no answer within 0.5 s" in found.note
    for thread in threading.enumerate():
        if thread.name == "sample-download":
            thread.join(10)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_setting(
    tmp_path: Path, nowhere: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed) as caught:
        take(None, tmp_path / "file" / "cache", url=nowhere)
    assert "RAYSCHED_CACHE" in caught.value.remedy


def take(samples: Path | None, cache: Path, *, url: str, timeout_s: float = 5.0) -> Sample:
    return sample_slide(samples, cache, timeout_s=timeout_s, url=url)
