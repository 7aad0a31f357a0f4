"""A slide to try raysched on: the public Aperio sample, or a synthetic one where there is none.

The real one is taken from a folder of samples, else from the cache, else downloaded; its SHA-256 is
checked in every case. Without a network the answer comes within a few seconds all the same.
"""

from __future__ import annotations

import errno
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from raysched.errors import SlideUnreadable, StorageFailed, StorageFull
from raysched.imaging.slide import slide_sha256
from raysched.imaging.synthetic import SyntheticTruth, write_synthetic_slide

SAMPLE_NAME = "CMU-1-Small-Region.svs"
SAMPLE_URL = "https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/" + SAMPLE_NAME
SAMPLE_SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
"""OpenSlide's freely distributable test data: 2220 x 2967 px, 0.499 um/px."""

SYNTHETIC_NAME = "synthetic-he.tif"
SYNTHETIC_SIZE_PX = (2304, 3072)
SYNTHETIC_NUCLEI = 1500
PIECE_BYTES = 64 * 1024
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """A slide to try things on. ``truth`` is known of a synthetic one only.

    ``note`` is a sentence that tells the user where the slide comes from.
    """

    path: Path
    source: Literal["folder", "cache", "download", "synthetic"]
    truth: SyntheticTruth | None
    note: str


def sample_slide(
    samples: Path | None, cache: Path, *, timeout_s: float = 4.0, url: str = SAMPLE_URL
) -> Sample:
    """The sample slide: from the folder ``samples``, the folder ``cache``, the URL, or made up.

    ``timeout_s`` bounds the wait for the network to begin to answer, and later each silence of it.
    Raises ``SlideUnreadable`` when ``samples`` holds a file of that name with other content,
    ``StorageFull`` or ``StorageFailed`` when the cache cannot be written.
    """
    if samples is not None and (samples / SAMPLE_NAME).is_file():
        given = samples / SAMPLE_NAME
        _check_given(given)
        return Sample(given, "folder", None, f"Using the Aperio sample of {samples}.")
    cached = cache / SAMPLE_NAME
    if cached.is_file() and slide_sha256(cached) == SAMPLE_SHA256:
        return Sample(cached, "cache", None, f"Using the Aperio sample downloaded to {cache}.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        failure = _download(url, cache, timeout_s)
        if failure is None:
            return Sample(cached, "download", None, f"Downloaded the Aperio sample to {cache}.")
        return _synthetic(cache, failure)
    except OSError as error:
        kind = StorageFull if error.errno == errno.ENOSPC else StorageFailed
        raise kind(
            f"No sample slide can be put into {cache}: {error.strerror or error}.",
            remedy="Make room or give another folder: RAYSCHED_CACHE=/path/to/folder",
            path=str(cache),
        ) from None


def _check_given(path: Path) -> None:
    found = slide_sha256(path)
    if found != SAMPLE_SHA256:
        raise SlideUnreadable(
            f"{path} is not the sample slide of that name: its SHA-256 is {found}.",
            remedy="Copy it again, or remove it: then it is downloaded.",
            path=str(path),
            sha256=found,
            expected_sha256=SAMPLE_SHA256,
        )


def _synthetic(cache: Path, failure: str) -> Sample:
    """Made anew each time, which takes a second: nothing can be stale or half written."""
    width, height = SYNTHETIC_SIZE_PX
    truth = write_synthetic_slide(
        cache / SYNTHETIC_NAME, width_px=width, height_px=height, nuclei=SYNTHETIC_NUCLEI
    )
    note = (
        f"The Aperio sample could not be downloaded ({failure}): "
        f"this is a synthetic slide with {truth.nuclei:,} nuclei instead."
    )
    return Sample(truth.path, "synthetic", truth, note)


@dataclass
class _Progress:
    """What the download's thread and the one that waits for it tell each other."""

    heard_at: float = field(default_factory=time.monotonic)
    given_up: bool = False
    error: Exception | None = None


def _download(url: str, cache: Path, timeout_s: float) -> str | None:
    """Download into the cache; None when it is there and right, else why not in a few words.

    In a thread of its own, because looking up a name may hang for longer than any timeout that
    can be given to it; a daemon, because a pool's threads would hold up the end of the process.
    One that is given up late can leave only the whole, checked file.
    Raises ``OSError`` when the cache cannot be written.
    """
    progress = _Progress()

    def receive(source: str, target: str, _: object) -> None:
        import requests

        with (
            requests.get(source, stream=True, timeout=timeout_s) as answer,
            Path(target).open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_content(PIECE_BYTES):
                if progress.given_up:
                    raise TimeoutError("given up")
                file.write(piece)
                progress.heard_at = time.monotonic()

    def work() -> None:
        try:
            import pooch  # slow to import and seldom needed

            pooch.get_logger().setLevel("ERROR")
            pooch.retrieve(
                url, f"sha256:{SAMPLE_SHA256}", SAMPLE_NAME, path=cache, downloader=receive
            )
        except Exception as error:  # noqa: BLE001 - the waiting thread raises what it cannot name
            progress.error = error

    thread = threading.Thread(target=work, name="sample-download", daemon=True)
    thread.start()
    while thread.is_alive() and time.monotonic() - progress.heard_at < timeout_s:
        thread.join(POLL_S)
    if thread.is_alive():
        progress.given_up = True
        return f"no answer within {timeout_s:g} s"
    return None if progress.error is None else _in_few_words(progress.error)


def _in_few_words(error: Exception) -> str:
    """The network's failure for people; anything else is raised again."""
    import requests

    match error:
        case requests.HTTPError() if error.response is not None:
            return f"the server says {error.response.status_code}"
        case requests.Timeout() | TimeoutError():
            return "no answer in time"
        case requests.RequestException():
            return "no connection"
        case ValueError():
            return "what came was not the sample"
        case _:
            raise error
