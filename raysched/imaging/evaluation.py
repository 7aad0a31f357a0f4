"""An engine on annotated images: each is taken for a slide of its own.

What a plan computes once per slide is computed on the image alone, in the same way: the working
frame from its pixel size, the overview, the samples, the engine's context. One thing differs: the
image counts as tissue all over, because fields are annotated where there is tissue, and it is the
engine that is judged. What is found goes back to the annotated resolution; the truth is not
thinned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from raysched.imaging.accuracy import Tally, overlap, tally
from raysched.imaging.annotated import Pair, read_pair
from raysched.imaging.asking import ask_context, run_engine
from raysched.imaging.engine import Engine, Labels, Overview, Rgb, engine_params, load_engine
from raysched.imaging.frames import read_working, working_grid
from raysched.imaging.plan import WorkingGrid
from raysched.imaging.planning import tissue_samples
from raysched.imaging.tissue import TISSUE_MPP, TissueMask, read_overview


@dataclass(frozen=True, slots=True)
class Judged:
    """One annotated image: its labels as the engine found them, (h, w) int32, and the sums."""

    pair: Pair
    found: Labels
    tally: Tally


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """An image in memory that is read like a slide of one level."""

    rgb: Rgb

    @property
    def level_sizes(self) -> tuple[tuple[int, int], ...]:
        """(w, h) of its only level."""
        return ((self.rgb.shape[1], self.rgb.shape[0]),)

    @property
    def downsamples(self) -> tuple[float, ...]:
        """Of its only level."""
        return (1.0,)

    def read_level(self, level: int, l_x0: int, l_y0: int, w: int, h: int) -> Rgb:
        """Pixels of a rectangle, (h, w, 3) uint8, which must lie inside."""
        if level:
            raise ValueError(f"an image has no level {level}")
        return self.rgb[l_y0 : l_y0 + h, l_x0 : l_x0 + w]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An engine with its parameters, and the um per px of the annotated images."""

    engine: Engine
    params: BaseModel
    mpp: float

    @classmethod
    def of(cls, engine: str, params: dict[str, Any], mpp: float) -> Evaluation:
        """By name. Raises ``UnknownEngine``, ``InvalidSetting``."""
        return cls(load_engine(engine), engine_params(engine, params), mpp)

    def judge(self, pairs: Sequence[Pair]) -> Iterator[Judged]:
        """Each pair in turn. Raises ``BadAnnotation`` and ``EngineFailed``."""
        for pair in pairs:
            rgb, annotated = read_pair(pair)
            found = self.segment(rgb)
            yield Judged(pair, found, tally(overlap(found, annotated)))

    def segment(self, rgb: Rgb) -> Labels:
        """What the engine finds in an image: (h, w) int32 labels at the image's own resolution."""
        field = Field(rgb)
        grid = working_grid(field, self.mpp, self.engine.target_mpp)
        working = read_working(field, grid, grid.extent)
        context = ask_context(self.engine, self._overview(field, grid), grid.mpp, self.params)
        labels = run_engine(self.engine, working, grid.mpp, context, self.params)
        return at_level_0(labels, grid, rgb.shape[:2])

    def _overview(self, field: Field, grid: WorkingGrid) -> Overview:
        rgb, l0_per_px = read_overview(field, self.mpp)
        everywhere: npt.NDArray[np.bool_] = np.ones(rgb.shape[:2], np.bool_)
        tissue = TissueMask(everywhere, l0_per_px / grid.l0_per_w)
        return Overview(rgb, everywhere, TISSUE_MPP, tissue_samples(field, grid, tissue))


def at_level_0(labels: Labels, grid: WorkingGrid, shape: tuple[int, ...]) -> Labels:
    """Labels of the whole working frame as an image of ``shape`` (h, w) at level 0.

    Each level-0 pixel gets the label of the working pixel that its centre lies in.
    """
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) / grid.l0_per_w).astype(np.int64), last - 1)
        for side, last in zip(shape, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns], np.int32)
