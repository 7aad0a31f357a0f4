"""From what the backbone says of a tile to its cells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raysched.imaging.engine import Labels

F32 = npt.NDArray[np.float32]

METADATA = "raysched"
"""Under which an ONNX file keeps its ``Facts`` as JSON."""
REACH_PX = 32
"""Pixels of a cell are looked for up to this far from its seed, as the reference does."""
FIELD_PER_PX = 0.25 * 512 / 511
"""What a px adds to the positions that the network compares. The reference spreads 0 to w/4 over
the w px of an image, so a px is a little more in a small one; this is its usual tile of 512 px."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a model is, of its file.

    The backbone has, for nuclei and then for cells if ``both``: ``fields`` channels of position,
    ``sigmas`` of shape, ``seeds`` of which the last two or one say where seeds are. ``layers``:
    three matrices of the small network, (out, in + 1), the last column the bias. ``agreement``: F1
    at IoU 0.5 against the model's own forward pass on made-up tissue; None where both found little.
    """

    fields: int
    sigmas: int
    seeds: int
    both: bool
    layers: tuple[tuple[tuple[float, ...], ...], ...]
    agreement: float | None = None

    @property
    def channels(self) -> int:
        """Channels for one kind of object."""
        return self.fields + self.sigmas + self.seeds

    def as_json(self) -> dict[str, Any]:
        """All of it, as ``from_json`` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Facts:
        """The facts that ``as_json`` gave."""
        layers = tuple(tuple(tuple(row) for row in layer) for layer in kept["layers"])
        return cls(**{**kept, "layers": layers})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When something is a cell; lengths and areas in working px. Defaults: the reference's."""

    seed: float = 0.7
    mask: float = 0.53
    overlap: float = 0.3
    foreground: float = 0.5
    distance_px: int = 5
    least_px: int = 10


def find_cells(
    raw: F32, facts: Facts, target: Literal["nuclei", "cells"], thresholds: Thresholds
) -> Labels:
    """The cells of one tile: (h, w) int32, 1 to n. ``raw``: (c, h, w) of the backbone."""
    from raysched.imaging.kernels import seeds

    first = facts.channels if target == "cells" else 0
    mine = raw[first : first + facts.channels]
    where = seeds.peaks(_height(mine, facts, thresholds), thresholds.distance_px, thresholds.seed)
    embedded = np.ascontiguousarray(mine[: facts.fields + facts.sigmas])
    first_layer, second_layer, last_layer = (np.array(layer, np.float32) for layer in facts.layers)
    labels = seeds.labelled(
        seeds.features(embedded, facts.fields),
        where,
        (first_layer, second_layer, last_layer),
        (facts.fields, thresholds.mask, FIELD_PER_PX),
        REACH_PX,
        thresholds.overlap,
    )
    return seeds.without_small(labels, thresholds.least_px)


def _height(mine: F32, facts: Facts, thresholds: Thresholds) -> F32:
    """How deep inside an object each px is: 0.5 at its edge, more towards its middle.

    With two channels of seeds the last one says where objects are at all.
    """
    depth = mine[-1] if facts.seeds == 1 else mine[-2]
    height = depth / np.float32(15) + np.float32(0.5)
    if facts.seeds > 1:
        odds = np.log(thresholds.foreground / (1 - thresholds.foreground))
        height[mine[-1] <= odds] = 0.0
    return np.ascontiguousarray(height, np.float32)
