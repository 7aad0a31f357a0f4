"""Every question to an engine, with its answer checked: an engine is somebody else's code.

Whatever it raises, and every answer of another kind than the protocol says, becomes
``EngineFailed`` with the engine's name: that job fails, nothing else does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from raysched.errors import EngineFailed
from raysched.imaging.engine import BatchEngine, Engine, Labels, Overview, Rgb

F32 = npt.NDArray[np.float32]

MOST_SAID = 500
"""Characters of an engine's own words: they go into the journal."""
FOR_KERNELS: tuple[Literal["C"], Literal["W"]] = ("C", "W")
"""In one piece and writable: compiled kernels take no other. Copied only if need be."""


def ask_context(
    engine: Engine, overview: Overview, mpp: float, params: BaseModel
) -> dict[str, Any]:
    """The slide's context as tiles will get it: as JSON gives it back."""
    with _blaming(engine, "while preparing a slide"):
        context = engine.prepare(overview, mpp, params)
        try:
            kept = json.loads(json.dumps(context, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise _wrong(engine, f"a context that is no JSON ({str(error)[:MOST_SAID]})") from error
    if not isinstance(kept, dict):
        raise _wrong(engine, "a context that is no dict")
    return kept


def run_engine(
    engine: Engine, rgb: Rgb, mpp: float, context: dict[str, Any], params: BaseModel
) -> Labels:
    """The labels of a tile: (h, w) int32, from 0 to at most the number of pixels."""
    with _blaming(engine, "on a tile"):
        labels = engine.segment(rgb, mpp, context, params)
    return _checked(engine, labels, rgb)


def run_engine_on(
    engine: Engine, rgbs: Sequence[Rgb], mpp: float, context: dict[str, Any], params: BaseModel
) -> list[Labels]:
    """The labels of each tile, in order: at once, where an engine takes batches."""
    if not isinstance(engine, BatchEngine):
        return [run_engine(engine, rgb, mpp, context, params) for rgb in rgbs]
    with _blaming(engine, f"on a batch of {len(rgbs)}"):
        answers = engine.segment_many(rgbs, mpp, context, params)
    if not isinstance(answers, list | tuple) or len(answers) != len(rgbs):
        number = len(answers) if isinstance(answers, list | tuple) else "something else than"
        raise _wrong(engine, f"{number} label images to a batch of {len(rgbs)}")
    return [_checked(engine, labels, rgb) for labels, rgb in zip(answers, rgbs, strict=True)]


def _checked(engine: Engine, labels: object, rgb: Rgb) -> Labels:
    if fault := labels_fault(labels, rgb.shape[:2]):
        raise _wrong(engine, fault)
    return np.require(np.asarray(labels), requirements=FOR_KERNELS)


def ask_densities(engine: Engine, rgb: Rgb, context: dict[str, Any]) -> tuple[F32, F32]:
    """Haematoxylin and eosin of a tile, each (h, w) float32."""
    with _blaming(engine, "on the stains of a tile"):
        densities = engine.optical_density(rgb, context)
    if fault := densities_fault(densities, rgb.shape[:2]):
        raise _wrong(engine, fault)
    haematoxylin, eosin = (
        np.require(np.asarray(stain), requirements=FOR_KERNELS) for stain in densities
    )
    return haematoxylin, eosin


def labels_fault(labels: object, shape: tuple[int, ...]) -> str | None:
    """What was answered instead of labels of that shape (h, w); None when it is such labels."""
    if fault := _array_fault(labels, np.int32, shape):
        return f"{fault} instead of int32 labels of the tile's {_size(shape)} px"
    assert isinstance(labels, np.ndarray)
    if labels.min(initial=0) < 0:
        return f"the label {labels.min()}: labels begin with 1, and 0 is background"
    if labels.max(initial=0) > labels.size:
        return f"the label {labels.max()} on {labels.size} px: number the cells 1 to n"
    return None


def densities_fault(densities: object, shape: tuple[int, ...]) -> str | None:
    """What was answered instead of two stains of that shape (h, w); None when it is these."""
    if not isinstance(densities, tuple | list) or len(densities) != 2:
        return "something else than the pair of haematoxylin and eosin"
    for name, stain in zip(("haematoxylin", "eosin"), densities, strict=True):
        if fault := _array_fault(stain, np.float32, shape):
            return f"{fault} as {name} instead of float32 of the tile's {_size(shape)} px"
        if not np.isfinite(stain).all():
            return f"{name} that is not finite everywhere"
    return None


def _array_fault(array: object, dtype: type, shape: tuple[int, ...]) -> str | None:
    if not isinstance(array, np.ndarray):
        return f"a {type(array).__name__}"
    if array.dtype != dtype or array.shape != shape:
        return f"{array.dtype} of {_size(array.shape)}"
    return None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "no size"


def _wrong(engine: Engine, what: str) -> EngineFailed:
    return EngineFailed(
        f"Engine {engine.name!r} answered with {what}.",
        remedy="Use another engine, and report this to its author: docs/engines.md has the check.",
        engine=engine.name,
    )


@contextmanager
def _blaming(engine: Engine, when: str) -> Iterator[None]:
    """Turn whatever the engine raises into ``EngineFailed``."""
    try:
        yield
    except EngineFailed:
        raise
    except Exception as error:
        raise EngineFailed(
            f"Engine {engine.name!r} failed {when}: {repr(error)[:MOST_SAID]}.",
            remedy="Try other parameters or another engine; -v shows where it failed.",
            engine=engine.name,
        ) from error
