"""The one model that a process keeps, and the files that it is made from."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from raysched.imaging.instanseg.cells import Facts
from raysched.imaging.instanseg.weights import failed, file_sha256, put
from raysched.imaging.processors import usable_cpus

F32 = npt.NDArray[np.float32]
Device = Literal["cpu", "cuda"]
Precision = Literal["fp32", "int8", "fp16"]

log = logging.getLogger(__name__)

RUNS_IN: dict[Device, tuple[Precision, ...]] = {"cpu": ("fp32", "int8"), "cuda": ("fp16", "fp32")}
"""The first is what a device uses unless told otherwise."""
DIGEST = 64
"""Characters of the SHA-256 that a cached file begins with, of all that follows."""


class Net(Protocol):
    """A backbone, ready to be asked."""

    most_px: ClassVar[int]
    """Of a batch in one forward pass, unless it is one tile."""

    leaves_cpu: ClassVar[bool]
    """Whether the CPU has time for other work while it is asked."""

    @property
    def facts(self) -> Facts:
        """What model it is."""
        ...

    def __call__(self, batch: F32) -> F32:
        """All channels, (n, c, h, w), of normalised pixels (n, 3, h, w); h and w align."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory. ``sha256``: of the weights. ``net_sha256``: of what runs, where that is
    made here and may differ between machines (8 bits); else empty."""

    net: Net
    sha256: str
    net_sha256: str


_lock = threading.Lock()
_kept: dict[tuple[str, Device, Precision, int], Loaded] = {}


def loaded(weights: Path, device: Device, precision: Precision, cache: Path) -> Loaded:
    """The model of these weights; the one asked for last stays in memory. Raises
    ``EngineFailed``."""
    if precision not in RUNS_IN[device]:
        raise failed(
            f"InstanSeg does not run in {precision} with device={device}.",
            f"Choose precision {' or '.join(RUNS_IN[device])}, or auto.",
        )
    with _lock:
        sha256 = file_sha256(weights)
        key = (sha256, device, precision, usable_cpus())
        if key not in _kept:
            _kept.clear()  # before the next one is there: two would not fit everywhere
            _kept[key] = _load(weights, sha256, device, precision, cache)
        return _kept[key]


def _load(weights: Path, sha256: str, device: Device, precision: Precision, cache: Path) -> Loaded:
    from raysched.imaging.instanseg.export import FORMAT, exported
    from raysched.imaging.instanseg.onnx_net import OnnxNet, in_8_bits
    from raysched.imaging.instanseg.torch_net import TorchNet, require_cuda

    gpu = require_cuda() if device == "cuda" else None
    path = cache / f"{sha256}.{FORMAT}.onnx"
    data = _kept_or_made(path, lambda: exported(weights))
    plain = OnnxNet(data, usable_cpus())
    if gpu is not None:
        return Loaded(TorchNet(weights, plain.facts, gpu, half=precision == "fp16"), sha256, "")
    if precision == "fp32":
        return Loaded(plain, sha256, "")
    small = _kept_or_made(path.with_suffix(".int8.onnx"), lambda: in_8_bits(data))
    return Loaded(OnnxNet(small, usable_cpus()), sha256, hashlib.sha256(small).hexdigest())


def _kept_or_made(path: Path, make: Callable[[], bytes]) -> bytes:
    """A file of the cache. Of the processes that want it at once one makes it, the others wait."""
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(path.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            log.warning("%s cannot be locked, so others may make it too: %s", path, error)
        data = _read(path)
        return _keep(make(), path) if data is None else data


def _read(path: Path) -> bytes | None:
    """What was kept, or None when it is not there or is damaged."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    digest, data = kept[:DIGEST], kept[DIGEST:]
    return data if hashlib.sha256(data).hexdigest().encode() == digest else None


def _keep(data: bytes, path: Path) -> bytes:
    """The same data, kept for the next process if the cache can be written."""
    try:
        put(hashlib.sha256(data).hexdigest().encode() + data, path)
    except OSError as error:
        log.warning("%s cannot be kept, so each process makes it anew: %s", path, error)
    return data
