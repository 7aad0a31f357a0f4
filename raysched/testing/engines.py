"""The contract of engines. An author runs it over an engine of any package, without a slide:

    from raysched.testing.engines import check_engine

    def test_my_engine_keeps_the_contract():
        check_engine(MyEngine())

It draws a picture of round nuclei, as wide as the engine's halo asks for. An engine that finds
other things is given a picture in which it finds some: (h, w, 3) uint8 at its ``target_mpp``.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from raysched.errors import EngineFailed
from raysched.imaging.asking import ask_context, ask_densities, run_engine, run_engine_on
from raysched.imaging.engine import (
    MEMBERS,
    Engine,
    Labels,
    Overview,
    Rgb,
    align_of,
    batch_of,
    optional_fault,
)
from raysched.imaging.planning import halo_of

PAPER, STROMA, NUCLEUS = (245, 243, 246), (225, 160, 200), (95, 60, 140)
PITCH_UM, RADII_UM, STAINED = 20.0, (2.5, 6.0), (0.4, 1.0)
"""Of the nuclei of the usual picture: on a square grid, each a little off its place, some small or
pale, so that an engine is not sure of all of them."""
OUTSIDE_UM = 44.0
"""How much of the picture lies beyond the halo of its middle."""
MOST_CELLS = 8
"""Whose surroundings are changed: those nearest to the middle of the picture."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
STRANGE = "no_parameter_has_this_name"


class ContractBroken(AssertionError):
    """An engine does otherwise than the protocol says. ``faults``: a sentence for each."""

    def __init__(self, engine: str, faults: tuple[str, ...]) -> None:
        super().__init__(f"{engine} breaks the contract of engines:\n- " + "\n- ".join(faults))
        self.faults = faults


def check_engine(
    engine: Engine, params: dict[str, Any] | None = None, *, picture: Rgb | None = None
) -> None:
    """Raise ``ContractBroken`` with everything that is wrong with an engine.

    ``params``: as a person would give them; default: none. ``picture``: see the module.
    """
    if faults := engine_faults(engine, params, picture=picture):
        raise ContractBroken(type(engine).__name__, faults)


def engine_faults(
    engine: Engine, params: dict[str, Any] | None = None, *, picture: Rgb | None = None
) -> tuple[str, ...]:
    """What is wrong with an engine, a sentence each; what rests on what is wrong is left out."""
    if faults := tuple(_declaration_faults(engine)):
        return faults
    if faults := tuple(_parameter_faults(engine.Params)):
        return faults
    if picture is None:
        picture = usual_picture(engine.target_mpp, engine.halo_um)
    case = Case(engine, engine.Params.model_validate(params or {}), picture)
    for stage in STAGES:
        faults = tuple(fault for check in stage for fault in _caught(check, case))
        if faults:
            return faults
    return ()


@dataclass(frozen=True, slots=True)
class Case:
    """An engine with parameters, on a picture at its ``target_mpp``."""

    engine: Engine
    params: BaseModel
    picture: Rgb

    @property
    def mpp(self) -> float:
        """um per px of the picture."""
        return self.engine.target_mpp

    @property
    def halo_px(self) -> int:
        """The margin that tiles are read with."""
        return halo_of(self.engine, self.mpp)

    def overview(self) -> Overview:
        """The picture as a whole slide, all of it tissue."""
        small = self.picture[::4, ::4].copy()
        samples = self.picture[::2, ::2].reshape(-1, 3).copy()
        return Overview(small, np.ones(small.shape[:2], np.bool_), 4 * self.mpp, samples)

    def context(self) -> dict[str, Any]:
        """What ``prepare`` says of the picture."""
        return ask_context(self.engine, self.overview(), self.mpp, self.params)

    def labels(self, rgb: Rgb) -> Labels:
        """What ``segment`` answers for a tile, kept from what the engine does next."""
        return run_engine(self.engine, rgb.copy(), self.mpp, self.context(), self.params).copy()


Check = Callable[[Case], Iterator[str]]
Mask = npt.NDArray[np.bool_]
Window = tuple[slice, slice]


def usual_picture(mpp: float, halo_um: float) -> Rgb:
    """Dark disks on stroma, one in the middle: (side, side, 3) uint8, always the same."""
    random = np.random.default_rng(5)
    side = 2 * math.ceil((halo_um + OUTSIDE_UM) / mpp) + 1
    around = np.arange(side) - side // 2
    y, x = np.meshgrid(around * mpp, around * mpp, indexing="ij")
    across = int(side * mpp / PITCH_UM) + 3
    shift = random.uniform(-2.0, 2.0, (across, across, 2))
    radius, stained = (random.uniform(*each, (across, across)) for each in (RADII_UM, STAINED))
    shift[0, 0], radius[0, 0], stained[0, 0] = 0.0, 4.0, 1.0  # the nucleus in the middle
    row, column = (np.round(axis / PITCH_UM).astype(np.int64) for axis in (y, x))
    off_y, off_x = np.moveaxis(shift[row, column], -1, 0)
    distance = np.hypot(y - row * PITCH_UM - off_y, x - column * PITCH_UM - off_x)
    share = np.where(distance < radius[row, column], stained[row, column], 0.0)[..., None]
    rgb = np.array(STROMA) * (1 - share) + np.array(NUCLEUS) * share
    return np.asarray(np.clip(rgb + random.integers(-12, 13, rgb.shape), 0, 255), np.uint8)


# --- what an engine says of itself ---------------------------------------------------------------


def _declaration_faults(engine: Engine) -> Iterator[str]:
    if lacking := [name for name in ("name", *MEMBERS) if not hasattr(engine, name)]:
        yield f"it has no {', '.join(lacking)}"
        return
    if not (isinstance(engine.name, str) and NAME.fullmatch(engine.name)):
        yield f"its name {engine.name!r} is not of letters, digits and ._-, 64 at most"
    if not (isinstance(engine.version, str) and engine.version):
        yield f"its version {engine.version!r} is no text: it says which results are comparable"
    kind: object = engine.Params
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        yield "its Params is no pydantic model"
    if not 0.08 <= engine.target_mpp <= 10.0:
        yield f"its target_mpp {engine.target_mpp} is no pixel size in um, 0.08 to 10"
    if fault := optional_fault(engine):
        yield fault
    if not 0.0 <= engine.halo_um <= 1000.0:
        yield f"its halo_um {engine.halo_um} is no length in um, 0 to 1000"


def _parameter_faults(kind: type[BaseModel]) -> Iterator[str]:
    try:
        usual = kind()
    except ValidationError:
        yield "its Params has parameters without a default: nobody could just run it"
        return
    try:
        kind.model_validate({STRANGE: 1})
        yield "its Params takes unknown parameters: forbid them, with extra='forbid'"
    except ValidationError:
        pass
    try:
        json.dumps(kind.model_json_schema())
        again = kind.model_validate(json.loads(json.dumps(usual.model_dump(mode="json"))))
        if again != usual:
            yield "its Params come back from JSON as others"
    except Exception as error:  # noqa: BLE001 - the engine's code may raise anything
        yield f"its Params have no JSON schema, or are no JSON: {error!r}"


# --- what it does --------------------------------------------------------------------------------


def _caught(check: Check, case: Case) -> Iterator[str]:
    """The faults that a check finds; what the engine raises on the way is one."""
    own = replace(case, params=case.params.model_copy(deep=True))
    try:
        yield from check(own)
    except EngineFailed as error:
        yield error.message


def _answers(case: Case) -> Iterator[str]:
    """Context, labels and stains are of the kinds that the protocol says."""
    context = case.context()
    run_engine(case.engine, case.picture.copy(), case.mpp, context, case.params)
    ask_densities(case.engine, case.picture.copy(), context)
    yield from ()


def _repeats(case: Case) -> Iterator[str]:
    """The same question has the same answer, whatever was asked between."""
    noise = _noise(case.picture.shape)
    if case.context() != case.context():
        yield "prepare answers twice differently"
    context = case.context()
    held = run_engine(case.engine, case.picture.copy(), case.mpp, context, case.params)
    first = held.copy()
    case.labels(noise)
    if not np.array_equal(held, first):
        yield "segment changes an earlier answer: it must give a new array each time"
    if not np.array_equal(case.labels(case.picture), first):
        yield "segment answers twice differently"
    stains = [stain.copy() for stain in ask_densities(case.engine, case.picture.copy(), context)]
    again = ask_densities(case.engine, case.picture.copy(), context)
    if not all(map(np.array_equal, stains, again)):
        yield "optical_density answers twice differently"


def _leaves_input(case: Case) -> Iterator[str]:
    """What it is given it does not write to."""
    overview, context, rgb = case.overview(), case.context(), case.picture.copy()
    params, kept = case.params.model_copy(deep=True), copy.deepcopy((overview, context))
    ask_context(case.engine, overview, case.mpp, case.params)
    given = [(overview.rgb, kept[0].rgb), (overview.tissue, kept[0].tissue)]
    given.append((overview.samples, kept[0].samples))
    if not all(np.array_equal(*pair) for pair in given):
        yield "prepare changes the overview it is given"
    run_engine(case.engine, rgb, case.mpp, context, case.params)
    if not np.array_equal(rgb, case.picture):
        yield "segment changes the pixels it is given"
        rgb = case.picture.copy()
    ask_densities(case.engine, rgb, context)
    if not np.array_equal(rgb, case.picture):
        yield "optical_density changes the pixels it is given"
    if context != kept[1]:
        yield "segment or optical_density changes the context it is given"
    if case.params != params:
        yield "it changes the parameters it is given"


def _any_slide(case: Case) -> Iterator[str]:
    """A slide without tissue can be prepared, and tiles be of any shape and nearly any scale."""
    blank = np.full((32, 48, 3), PAPER, np.uint8)
    nothing = Overview(blank, np.zeros((32, 48), np.bool_), 4 * case.mpp, blank[:0, 0])
    without = ask_context(case.engine, nothing, case.mpp, case.params)
    middle = case.picture.shape[0] // 2
    strip = case.picture[middle : middle + case.halo_px + 1]
    uncopied = case.picture[1:-2, 3:-1]
    for rgb in (strip.copy(), strip.swapaxes(0, 1).copy(), strip[:, : len(strip)].copy(), uncopied):
        run_engine(case.engine, rgb, case.mpp, without, case.params)
        run_engine(case.engine, rgb, 1.05 * case.mpp, case.context(), case.params)
        ask_densities(case.engine, rgb, without)
    yield from ()


def _empty(case: Case) -> Iterator[str]:
    """Glass has no cells."""
    for what, colour in (("glass", PAPER), ("pure white", (255, 255, 255))):
        found = case.labels(np.full_like(case.picture, colour))
        if found.any():
            yield f"it finds {len(np.unique(found[found > 0]))} cells on {what}"


def _batches(case: Case) -> Iterator[str]:
    """Tiles asked for at once have the answers that they have alone, in their order."""
    if batch_of(case.engine) == 1:
        return
    tiles = [rgb for _, rgb in _elsewhere(case.picture)]
    tiles += [case.picture, np.ascontiguousarray(case.picture[: case.halo_px + 1])]
    for most in (batch_of(case.engine), 2):
        for begin in range(0, len(tiles), most):
            some = [rgb.copy() for rgb in tiles[begin : begin + most]]
            many = run_engine_on(case.engine, some, case.mpp, case.context(), case.params)
            alone = [case.labels(rgb) for rgb in tiles[begin : begin + most]]
            if not all(map(np.array_equal, some, tiles[begin : begin + most])):
                yield "segment_many changes the pixels it is given"
                return
            if not all(map(np.array_equal, many, alone)):
                yield "segment_many says of a tile, or of its place, what segment does not"
                return


def _saturated(case: Case) -> Iterator[str]:
    """Black, white and noise are answered properly, whatever is found in them."""
    context = case.context()
    shape = case.picture.shape
    for rgb in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8), _noise(shape)):
        run_engine(case.engine, rgb.copy(), case.mpp, context, case.params)
        ask_densities(case.engine, rgb.copy(), context)
    yield from ()


def _reach(case: Case) -> Iterator[str]:
    """A cell does not depend on what lies further than ``halo_um`` from its centroid."""
    cells = _middle_cells(case.labels(case.picture))
    if not cells:
        yield "it finds no cell in the picture: give one in which it finds some (picture=...)"
        return
    near = [_window(cell, case.halo_px, 1) for cell in cells]
    if not _leaves_room(near[0], case.picture.shape):
        yield "the picture is too small: nothing in it lies beyond the halo of its middle cell"
        return
    halo = f"halo_um = {case.engine.halo_um} um"
    for what, elsewhere in _elsewhere(case.picture):
        if not all(map(partial(_stays, case, elsewhere), cells, near)):
            yield (
                f"a cell changes when what is more than {halo} away turns into {what}: it looks "
                "further"
            )
    align = align_of(case.engine)
    for cell, window in ((cell, _window(cell, case.halo_px, align)) for cell in cells):
        if not _has_nearly(case.labels(case.picture[window]), cell[window]):
            yield (
                f"a tile that ends {halo} from a cell does not show the cell as it is, more than "
                "half in common: the halo is too small"
            )
            return


def _stays(case: Case, elsewhere: Rgb, cell: Mask, near: Window) -> bool:
    """Whether a cell is the same in another picture that is as it was near the cell."""
    changed = elsewhere.copy()
    changed[near] = case.picture[near]
    return _has_exactly(case.labels(changed), cell)


STAGES: tuple[tuple[Check, ...], ...] = (
    (_answers,),
    (_repeats, _leaves_input, _any_slide, _empty, _saturated, _batches),
    (_reach,),
)
"""One stage is done when the one before has found nothing."""


# --- pictures and cells --------------------------------------------------------------------------


def _noise(shape: tuple[int, ...]) -> Rgb:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def _elsewhere(picture: Rgb) -> Iterator[tuple[str, Rgb]]:
    yield "glass", np.full_like(picture, PAPER)
    yield "black", np.zeros_like(picture)
    yield "noise", _noise(picture.shape)
    yield "other tissue", np.ascontiguousarray(np.roll(picture, (11, 17), axis=(0, 1)))


def _middle_cells(labels: Labels) -> list[Mask]:
    """The masks of the cells that have the pixels next to the picture's middle, nearest first."""
    y, x = np.nonzero(labels)
    away = np.hypot(*(np.stack([y, x]) - np.array(labels.shape)[:, None] / 2))
    names = labels[y, x][np.argsort(away, kind="stable")]
    nearest = dict.fromkeys(names.tolist())
    return [labels == name for name in list(nearest)[:MOST_CELLS]]


def _window(mask: Mask, halo_px: int, align_px: int) -> Window:
    """The pixels that a tile which owns this cell alone would read, and no more. It begins at a
    multiple of ``align_px``, as tiles do."""
    centre = (int(np.floor(axis.mean() + 0.5)) for axis in np.nonzero(mask))
    begun = ((max(0, at - halo_px) // align_px * align_px, at) for at in centre)
    y, x = (slice(begin, at + halo_px + 1) for begin, at in begun)
    return y, x


def _leaves_room(window: Window, shape: tuple[int, ...]) -> bool:
    return all(
        side.start > 0 and side.stop < most for side, most in zip(window, shape, strict=False)
    )


def _has_exactly(labels: Labels, cell: Mask) -> bool:
    here = np.unique(labels[cell])
    return len(here) == 1 and here[0] > 0 and np.array_equal(labels == here[0], cell)


def _has_nearly(labels: Labels, cell: Mask) -> bool:
    """As twins at a seam must agree: more than half of the smaller one in common."""
    names, shared = np.unique(labels[cell & (labels > 0)], return_counts=True)
    if not len(names):
        return False
    twin = labels == names[shared.argmax()]
    return bool(2 * shared.max() > min(twin.sum(), cell.sum()))
