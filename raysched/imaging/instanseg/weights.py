"""Where the weights lie: a path that somebody gives, or a model's name.

A name is looked for in the cache, then downloaded, but never without a hash to hold it to: the
publisher states none, so whoever wants the download says which weights are meant.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path

from raysched.errors import EngineFailed

RELEASE = "https://github.com/instanseg/instanseg/releases/download/instanseg_models_v0.1.1"
"""Of the publisher's model index; each archive holds one TorchScript file, ``MEMBER``."""
MEMBER = "instanseg.pt"
TIMEOUT_S = 30.0


def weights_file(
    model: str, path: str | None, sha256: str | None, cache: Path, *, release: str = RELEASE
) -> Path:
    """The file of the weights, with that hash where one is given. Raises ``EngineFailed``."""
    if path is not None:
        file = Path(path)
        if not file.is_file():
            raise failed(
                f"There are no InstanSeg weights at {path}.",
                "Give the path of a TorchScript file that all nodes see.",
            )
    else:
        file = cache / f"{model}.pt"
        if not file.is_file():
            _download(f"{release}/{model}.zip", file, sha256)
    if sha256 is not None and file_sha256(file) != sha256:
        raise failed(
            f"The InstanSeg weights {file} do not have the SHA-256 {sha256}.",
            "Copy them again, or correct the parameter sha256.",
        )
    return file


def failed(message: str, remedy: str) -> EngineFailed:
    """The error of this engine: what in one line, and what to do in one."""
    return EngineFailed(message, remedy=remedy, engine="instanseg")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file. Raises ``EngineFailed`` when it cannot be read."""
    try:
        stat = path.stat()
        return _digest(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise failed(
            f"The InstanSeg weights {path} cannot be read: {error.strerror}.",
            "Make them readable on all nodes.",
        ) from None


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - both tell files apart
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put(data: bytes, path: Path) -> None:
    """Write a file that others may be writing or reading at the same time. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _download(url: str, file: Path, sha256: str | None) -> None:
    """The archive's weights as ``file``, if they have that hash."""
    if sha256 is None:
        raise failed(
            f"The weights of InstanSeg are not at {file}, and are not downloaded without a hash.",
            f"Put {MEMBER} of {url} there, or give its path (weights) or its hash (sha256).",
        )
    data = _member(url)
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise failed(
            f"{MEMBER} of {url} has SHA-256 {found}, not {sha256}: it was not kept.",
            "Find out which of the two is right; then give that hash, or the path of the weights.",
        )
    try:
        put(data, file)
    except OSError as error:
        raise failed(
            f"The weights of InstanSeg cannot be kept at {file}: {error.strerror}.",
            "Make room, or give the path of the weights.",
        ) from None


def _member(url: str) -> bytes:
    import pooch  # slow to import and seldom needed
    import requests

    pooch.get_logger().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        try:
            got = pooch.retrieve(
                url, None, "weights.zip", path=folder,
                downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
            )  # fmt: skip
            with zipfile.ZipFile(got) as archive:
                name = next(name for name in archive.namelist() if Path(name).name == MEMBER)
                return archive.read(name)
        except (requests.RequestException, OSError) as error:
            what = f"cannot be downloaded: {error}"
        except (zipfile.BadZipFile, StopIteration):
            what = f"is no archive with {MEMBER}"
    raise failed(f"{url} {what[:300]}.", f"Give the path of {MEMBER} as weights instead.")
