"""What an engine is, and how one is found by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from raysched.errors import EngineFailed, InvalidSetting, UnknownEngine, faults_in_words

Rgb = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]

ENTRY_POINT_GROUP = "raysched.engines"


@dataclass(frozen=True, slots=True)
class Overview:
    """A slide at low resolution, for what must be known once per slide.

    ``rgb``: (h, w, 3) uint8; ``tissue``: (h, w) bool; ``mpp``: um per overview px;
    ``samples``: (n, 3) uint8 tissue pixels at working resolution, drawn deterministically.
    """

    rgb: Rgb
    tissue: npt.NDArray[np.bool_]
    mpp: float
    samples: Rgb


class Engine(Protocol):
    """Turns pixels into cells. One instance lives per worker process and is kept warm."""

    name: ClassVar[str]
    version: ClassVar[str]
    Params: ClassVar[type[BaseModel]]
    target_mpp: ClassVar[float]
    """um per working px that the engine wants to see."""
    halo_um: ClassVar[float]
    """How far from a pixel the engine looks: the margin that makes seams exact."""

    def prepare(self, overview: Overview, mpp: float, params: BaseModel) -> dict[str, Any]:
        """Compute the slide's context once (JSON-able). ``mpp``: um per working px."""
        ...

    def segment(self, rgb: Rgb, mpp: float, context: dict[str, Any], params: BaseModel) -> Labels:
        """Label the cells of one tile: (h, w) int32, 0 is background. Pure and deterministic."""
        ...

    def optical_density(
        self, rgb: Rgb, context: dict[str, Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Haematoxylin and eosin concentration per pixel, each (h, w) float32, in OD units."""
        ...


@runtime_checkable
class BatchEngine(Engine, Protocol):
    """An engine that takes several tiles at once. Optional."""

    batch: ClassVar[int]
    """The most tiles of one question: all of them are in memory then."""

    def segment_many(
        self, rgbs: Sequence[Rgb], mpp: float, context: dict[str, Any], params: BaseModel
    ) -> list[Labels]:
        """What ``segment`` says of each tile, in order. Tiles may differ in size."""
        ...


def batch_of(engine: Engine) -> int:
    """How many tiles an engine is given at once."""
    return engine.batch if isinstance(engine, BatchEngine) else 1


def align_of(engine: Engine) -> int:
    """``align_px`` of an engine, optional: tiles begin at multiples of so many working px from the
    slide's corner. A network that pools sees its pixels in blocks of this size, from the corner."""
    return int(getattr(engine, "align_px", 1))


def optional_fault(engine: object) -> str | None:
    """What is wrong with the optional members, or None."""
    for name in ("batch", "align_px"):
        value = getattr(engine, name, 1)
        if type(value) is not int or not 1 <= value <= 1024:
            return f"its {name} {value!r} is no number of 1 to 1024"
    if hasattr(engine, "batch") != hasattr(engine, "segment_many"):
        return "of batch and segment_many it has one without the other"
    return None


def engine_names() -> tuple[str, ...]:
    """Names of the installed engines, sorted."""
    return tuple(sorted({point.name for point in engine_points()}))


@cache
def load_engine(name: str) -> Engine:
    """The engine of that name, one instance per process. Raises ``UnknownEngine``, and
    ``EngineFailed`` where its package is broken."""
    for point in engine_points():
        if point.name == name:
            return _loaded(point)
    raise UnknownEngine(
        f"There is no engine named {name!r}.",
        remedy=f"Choose one of: {', '.join(engine_names())}.",
        engine=name,
    )


def engine_params(name: str, params: dict[str, Any]) -> BaseModel:
    """Validated parameters of an engine. Raises ``InvalidSetting`` naming each bad field."""
    kind = load_engine(name).Params
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        raise InvalidSetting(
            f"Engine {name!r} does not take these parameters: {faults_in_words(error.errors())}.",
            remedy=f"Known parameters: {', '.join(kind.model_fields)}.",
        ) from None
    except Exception as error:  # a validator of its author's that fails otherwise than by refusing
        raise EngineFailed(
            f"Engine {name!r} failed while checking its parameters: {error!r}.",
            remedy="Try other parameters, or report this to its author.",
            engine=name,
        ) from error


@cache
def engine_code(name: str) -> str:
    """Digest of the file that the engine's class stands in, as hex: who works on an engine changes
    that more often than its version. Empty where there is no such file."""
    try:
        file = inspect.getsourcefile(type(load_engine(name)))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except (OSError, TypeError):
        return ""


def engine_points() -> tuple[EntryPoint, ...]:
    """What installed packages say they have; of one name the first is used."""
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


MEMBERS = ("version", "Params", "target_mpp", "halo_um", "prepare", "segment", "optical_density")


def _loaded(point: EntryPoint) -> Engine:
    try:
        engine: Engine = point.load()()
    except EngineFailed:  # says itself what it lacks
        raise
    except Exception as error:
        raise EngineFailed(
            f"Engine {point.name!r} cannot be loaded: {error!r}.",
            remedy="Install what its package needs, on all nodes, or use another engine.",
            engine=point.name,
        ) from error
    lacking = [member for member in MEMBERS if not hasattr(engine, member)]
    called = getattr(engine, "name", None)
    fault = f"it has no {', '.join(lacking)}" if lacking else optional_fault(engine)
    if fault is None and called != point.name:
        fault = f"it calls itself {called!r}"
    if fault:
        raise EngineFailed(
            f"Engine {point.name!r} cannot be used: {fault}.",
            remedy="Report this to its author: docs/engines.md says what an engine has.",
            engine=point.name,
        )
    return engine
