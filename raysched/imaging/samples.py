"""The sample slide: from a folder, the cache, the network, or made up, in this order."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raysched.errors import SlideUnreadable
from raysched.imaging.slide import slide_sha256
from raysched.imaging.synthetic import SyntheticTruth, write_synthetic_slide

log = logging.getLogger(__name__)

NAME = "CMU-1-Small-Region.svs"
SHA256 = "ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7"
URL = f"https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/{NAME}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A slide to try things on. ``note`` tells the user where it came from, in one sentence."""

    path: Path
    source: Literal["folder", "cache", "download", "synthetic"]
    truth: SyntheticTruth | None
    note: str


def sample_slide(
    samples: Path | None, cache: Path, *, url: str = URL, timeout_s: float = 5.0
) -> Sample:
    """The real Aperio sample if it can be had within ``timeout_s`` seconds, else a synthetic slide.

    Raises ``SlideUnreadable`` when the file in ``samples`` is not what it should be.
    """
    if samples is not None and (given := samples / NAME).is_file():
        if slide_sha256(given) != SHA256:
            raise SlideUnreadable(
                f"The sample {given} is damaged: its sha256 is not the published one.",
                remedy="Copy it again, or unset RAYSCHED_SAMPLES to have it downloaded.",
                path=str(given),
            )
        return Sample(given, "folder", None, f"The real Aperio sample, from {samples}.")
    cached = cache / NAME
    if cached.is_file() and slide_sha256(cached) == SHA256:
        return Sample(cached, "cache", None, "The real Aperio sample, downloaded earlier.")
    if _download(url, cache, timeout_s):
        return Sample(cached, "download", None, f"The real Aperio sample, downloaded from {url}.")
    return _made_up(cache)


def _download(url: str, cache: Path, timeout_s: float) -> bool:
    """Whether the sample arrived, whole, within the time; name look-up included."""
    import pooch  # slow to import and seldom needed

    def fetch() -> None:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{SHA256}",
            fname=NAME,
            path=cache,
            downloader=pooch.HTTPDownloader(timeout=timeout_s),
        )

    logging.getLogger("pooch").setLevel(logging.ERROR)
    pool = ThreadPoolExecutor(1, thread_name_prefix="download")
    try:
        pool.submit(fetch).result(timeout_s)
    except (OSError, ValueError, FutureTimeout) as error:
        log.debug("The sample could not be downloaded: %r", error)
        return False
    finally:
        pool.shutdown(wait=False)
    return True


def _made_up(cache: Path) -> Sample:
    path = cache / "synthetic-he.tiff"
    truth = write_synthetic_slide(path, width_px=2400, height_px=1800, nuclei=1200, seed=1)
    note = (
        f"No network: a synthetic H&E slide with {truth.nuclei} nuclei is used instead of the "
        "real sample."
    )
    return Sample(truth.path, "synthetic", truth, note)
