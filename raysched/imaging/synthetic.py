"""Synthetic H&E slides with nuclei whose places and areas are known.

For demonstrations without a network and for tests that need the truth. The picture is made in
optical density, as stains work: eosin fibres, haematoxylin nuclei, light that passes both, white
glass around. It is painted strip by strip from fields that depend on the position alone, so memory
does not grow with the height, and the same recipe gives the same pixels.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import cv2
import numpy as np
import numpy.typing as npt

from raysched.errors import InvalidSetting
from raysched.imaging.pyramid_tiff import STRIP_PX, Rgb, TiffLayout, write_pyramid

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

NOMINAL_MPP = 0.5
"""um per px that sizes are drawn at when the file is not to state its pixel size."""
NUCLEI_PER_UM2 = 0.0022
"""Default density on tissue: what the common public H&E samples show."""
RADIUS_UM = (3.0, 5.4)
"""Range of the longer semi-axis: areas of 17 to 92 um2."""
ROUNDNESS = (0.6, 1.0)
GAP_UM = 1.2
"""Default of the least distance between the circles around two nuclei."""
EDGE_UM = 0.35
"""Width of a nucleus' soft border; half of its density is reached on the true ellipse."""
FIELD_PX = 16
"""Spacing of the coarse grid that slow fields are drawn on."""
ATTEMPTS_PER_NUCLEUS = 400

GLASS = 243.0
HAEMATOXYLIN = np.array((0.66, 0.68, 0.32), np.float32)
EOSIN = np.array((0.13, 0.88, 0.46), np.float32)
"""Directions in natural-log optical density (R, G, B), between Ruifrok's and those of scans."""


class Look(TypedDict, total=False):
    """Options of a synthetic slide that most callers leave alone.

    ``seed``: 0. ``tissue``: "blobs" (tissue with glass around and lumens in it; the default) or
    "full" (tissue up to the borders). ``levels``: True writes a pyramid. ``edge_nuclei``: True adds
    a row of nuclei along all four borders, cut in half and whole in turn; needs "full".
    ``jpeg_quality``: 1..95, or None for lossless. ``gap_um``: least distance between the circles
    around two nuclei; below 0 nuclei may touch and overlap.
    """

    seed: int
    tissue: Literal["blobs", "full"]
    levels: bool
    edge_nuclei: bool
    jpeg_quality: int | None
    gap_um: float


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticTruth:
    """What a synthetic slide shows, ordered by y, then x.

    ``centres_l0_px``: (n, 2) float64, x and y of each ellipse's centre in level-0 px, where a px
    covers [i, i + 1). ``axes_l0_px``: (n, 2) float64, longer and shorter semi-axis.
    ``area_um2``: (n,) float64, the part of the ellipse that lies inside the image.
    """

    path: Path
    centres_l0_px: F64
    axes_l0_px: F64
    area_um2: F64

    @property
    def nuclei(self) -> int:
        """How many nuclei the slide shows."""
        return len(self.area_um2)


@dataclass(frozen=True, slots=True)
class _Recipe:
    width: int
    height: int
    mpp: float
    tissue: Literal["blobs", "full"]
    edge_nuclei: bool
    gap_um: float


@dataclass(frozen=True, slots=True)
class _Fields:
    """Slow fields on a grid of one value per FIELD_PX px: tissue (> 0 inside), warp, density."""

    tissue: F32
    warp: F32
    density: F32
    fine: F32
    chromatin: F32


@dataclass(frozen=True, slots=True)
class _Nuclei:
    """Columns, one row per nucleus, all in level-0 px and radians; depth is optical density."""

    x: F64
    y: F64
    long: F64
    short: F64
    angle: F64
    depth: F64


def write_synthetic_slide(
    path: Path,
    *,
    width_px: int,
    height_px: int,
    mpp: float | None = 0.5,
    nuclei: int | None = None,
    **look: Unpack[Look],
) -> SyntheticTruth:
    """Write a TIFF that OpenSlide opens as generic-tiff, and return what it shows.

    ``mpp`` is the um per px that the file states; None leaves it out (sizes are then those of
    0.5 um per px). ``nuclei`` is their number besides ``edge_nuclei``; None takes a usual density.
    The file appears whole or not at all. Raises ``InvalidSetting`` when an option is out of range
    or so many nuclei do not fit without overlap, ``OSError`` when it cannot be written.
    """
    recipe = _Recipe(
        width_px,
        height_px,
        NOMINAL_MPP if mpp is None else mpp,
        look.get("tissue", "blobs"),
        look.get("edge_nuclei", False),
        look.get("gap_um", GAP_UM),
    )
    _check(recipe)
    rng = np.random.Generator(np.random.PCG64(look.get("seed", 0)))
    fields = _draw_fields(recipe, rng)
    placed = _place(recipe, fields, nuclei, rng)
    layout = TiffLayout(
        width_px, height_px, mpp, look.get("jpeg_quality"), look.get("levels", True)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_pyramid(partial, layout, _paint(recipe, fields, placed))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return SyntheticTruth(
        path,
        np.stack([placed.x, placed.y], axis=1),
        np.stack([placed.long, placed.short], axis=1),
        _visible_px(recipe, placed) * recipe.mpp**2,
    )


def _check(recipe: _Recipe) -> None:
    def refuse(what: str, remedy: str) -> None:
        raise InvalidSetting(f"The synthetic slide cannot be made: {what}.", remedy=remedy)

    if min(recipe.width, recipe.height) < 64:
        refuse(f"{recipe.width} x {recipe.height} px is too small", "Use 64 px or more a side.")
    if not 0.08 <= recipe.mpp <= 2.0:
        refuse(f"{recipe.mpp:g} um per px is out of range", "Use 0.08 to 2 um per px.")
    if not -RADIUS_UM[0] <= recipe.gap_um <= 100.0:
        refuse(f"nuclei cannot be {recipe.gap_um:g} um apart", f"Use {-RADIUS_UM[0]:g} to 100 um.")
    if recipe.edge_nuclei and recipe.tissue != "full":
        refuse("nuclei at the borders need tissue there", 'Use tissue="full" with edge_nuclei.')


# --- slow fields ---------------------------------------------------------------------------------


def _draw_fields(recipe: _Recipe, rng: np.random.Generator) -> _Fields:
    columns = math.ceil(recipe.width / FIELD_PX) + 2
    rows = math.ceil(recipe.height / FIELD_PX) + 2
    shape = (rows, columns)
    um = recipe.mpp * FIELD_PX
    if recipe.tissue == "full":
        tissue = np.ones(shape, np.float32)
    else:
        y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
        outline = 0.80 - (np.abs(x) ** 2.5 + np.abs(y) ** 2.5) ** (1 / 2.5)
        outline += 0.16 * _smooth(shape, min(shape) / 4, rng) + 0.05 * _smooth(shape, 40 / um, rng)
        holes = 2.1 - _smooth(shape, 55 / um, rng)
        tissue = np.minimum(outline * (min(shape) * um / 2), holes * 18).astype(np.float32)
    scale = NOMINAL_MPP / recipe.mpp
    return _Fields(
        tissue,
        warp=_smooth(shape, 45 / um, rng),
        density=_smooth(shape, 90 / um, rng),
        fine=_texture(1021, 0.9 * scale, rng),
        chromatin=_texture(769, 1.6 * scale, rng),
    )


def _smooth(shape: tuple[int, int], period: float, rng: np.random.Generator) -> F32:
    """Cubic noise with about unit variance whose features are ``period`` grid steps apart."""
    period = max(period, 1.0)
    rows, columns = (math.ceil(side / period) + 4 for side in shape)
    knots = rng.standard_normal((rows, columns)).astype(np.float32)
    at = np.array([[1 / period, 0, 1], [0, 1 / period, 1]], np.float64)
    size = (shape[1], shape[0])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(knots, at, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(drawn * 1.3, np.float32)


def _texture(side: int, sigma: float, rng: np.random.Generator) -> F32:
    """A square of blurred noise that repeats without a seam; mean 0, variance 1."""
    noise = rng.standard_normal((side, side)).astype(np.float32)
    rim = math.ceil(4 * sigma)
    wrapped = cv2.copyMakeBorder(noise, rim, rim, rim, rim, cv2.BORDER_WRAP)
    blurred = cv2.GaussianBlur(wrapped, (0, 0), sigma)[rim:-rim, rim:-rim]
    return np.asarray((blurred - blurred.mean()) / blurred.std(), np.float32)


def _rows_of(field: F32, top: int, rows: int, width: int) -> F32:
    """A slow field at every px of some rows: (rows, width)."""
    at = np.array([[1 / FIELD_PX, 0, 0.5], [0, 1 / FIELD_PX, top / FIELD_PX + 0.5]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(field, at, (width, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(drawn, np.float32)


def _points_of(field: F32, x: F64, y: F64) -> F32:
    """A slow field at points, any shape; outside the image its border value."""
    column = np.clip(np.rint(x / FIELD_PX + 0.5).astype(int), 0, field.shape[1] - 1)
    row = np.clip(np.rint(y / FIELD_PX + 0.5).astype(int), 0, field.shape[0] - 1)
    return np.asarray(field[row, column], np.float32)


# --- nuclei --------------------------------------------------------------------------------------


def _place(
    recipe: _Recipe, fields: _Fields, wanted: int | None, rng: np.random.Generator
) -> _Nuclei:
    """Throw nuclei at random and keep those that lie on tissue and clear of each other."""
    if wanted is None:
        share = float((fields.tissue > 0).mean())
        wanted = round(NUCLEI_PER_UM2 * recipe.mpp**2 * recipe.width * recipe.height * share)
    board = _Board((2 * RADIUS_UM[1] + max(recipe.gap_um, 0.0)) / recipe.mpp)
    clear = recipe.gap_um / recipe.mpp / 2
    if recipe.edge_nuclei:
        for x, y, radius in _along_the_border(recipe, rng).tolist():
            board.take(x, y, radius + clear)
    at_edge = len(board.kept)
    left = wanted * ATTEMPTS_PER_NUCLEUS
    while len(board.kept) < wanted + at_edge and left > 0:
        thrown = min(left, 8192)
        left -= thrown
        for x, y, radius in _candidates(recipe, fields, thrown, rng).tolist():
            board.take(x, y, radius + clear)
            if len(board.kept) == wanted + at_edge:
                break
    if len(board.kept) < wanted + at_edge:
        raise InvalidSetting(
            f"Only {len(board.kept) - at_edge} of {wanted} nuclei fit on the synthetic slide.",
            remedy="Ask for fewer nuclei, a larger slide or a smaller mpp.",
        )
    kept = np.array(board.kept, np.float64).reshape(-1, 3)
    kept = kept[np.lexsort((kept[:, 0], kept[:, 1]))]
    count = len(kept)
    long = kept[:, 2] - clear
    return _Nuclei(
        kept[:, 0],
        kept[:, 1],
        long,
        long * rng.uniform(*ROUNDNESS, count),
        rng.uniform(0, math.pi, count),
        rng.uniform(0.95, 1.55, count),
    )


def _candidates(
    recipe: _Recipe, fields: _Fields, count: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """(m, 3) x, y and radius in px of the throws that lie whole on tissue and in the image."""
    radius = rng.uniform(*RADIUS_UM, count) / recipe.mpp
    x = rng.uniform(0, recipe.width, count)
    y = rng.uniform(0, recipe.height, count)
    margin = radius + 2.0
    good = (x > margin) & (y > margin)
    good &= (x < recipe.width - margin) & (y < recipe.height - margin)
    # Crowded and sparse regions: full density where the slow field is high, a fifth where low.
    good &= rng.uniform(0, 1, count) < np.clip(
        0.6 + 0.5 * _points_of(fields.density, x, y), 0.2, 1.0
    )
    reach = margin + FIELD_PX / 2
    for turn in np.arange(8) * math.pi / 4:
        around = _points_of(fields.tissue, x + reach * np.cos(turn), y + reach * np.sin(turn))
        good &= around > 0
    return np.stack([x, y, radius], axis=1)[good]


def _along_the_border(recipe: _Recipe, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(m, 3) x, y, radius: in turn halved by the border, touching it, and 1 px inside it."""
    step = 5 * RADIUS_UM[1] / recipe.mpp
    rows = []
    for horizontal, length, other in (
        (True, recipe.width, recipe.height),
        (False, recipe.height, recipe.width),
    ):
        along = np.arange(step, length - step, step)
        for far in (False, True):
            radius = rng.uniform(*RADIUS_UM, len(along)) / recipe.mpp
            turn = np.arange(len(along)) % 3
            depth = np.choose(turn, [np.zeros_like(radius), radius, radius + 1])
            across = other - depth if far else depth
            pair = (along, across) if horizontal else (across, along)
            rows.append(np.stack([*pair, radius], axis=1))
    return np.concatenate(rows)


class _Board:
    """Circles that do not overlap, looked up by squares as wide as the largest circle."""

    def __init__(self, square_px: float) -> None:
        self.kept: list[tuple[float, float, float]] = []
        self._square = square_px
        self._squares: dict[tuple[int, int], list[tuple[float, float, float]]] = {}

    def take(self, x: float, y: float, radius: float) -> None:
        """Keep a circle unless it overlaps one that was kept before."""
        column, row = int(x // self._square), int(y // self._square)
        for near_column in (column - 1, column, column + 1):
            for near_row in (row - 1, row, row + 1):
                for other_x, other_y, other in self._squares.get((near_column, near_row), ()):
                    if (x - other_x) ** 2 + (y - other_y) ** 2 < (radius + other) ** 2:
                        return
        self.kept.append((x, y, radius))
        self._squares.setdefault((column, row), []).append((x, y, radius))


def _visible_px(recipe: _Recipe, nuclei: _Nuclei) -> F64:
    """Area in px2 of each ellipse inside the image: exact when whole, else to about 0.1 %."""
    area = math.pi * nuclei.long * nuclei.short
    cut = (nuclei.x < nuclei.long) | (nuclei.x > recipe.width - nuclei.long)
    cut |= (nuclei.y < nuclei.long) | (nuclei.y > recipe.height - nuclei.long)
    steps = (np.arange(400) + 0.5) / 200 - 1
    v, u = np.meshgrid(steps, steps, indexing="ij")
    inside = u**2 + v**2 <= 1
    for i in np.flatnonzero(cut):
        cos, sin = math.cos(nuclei.angle[i]), math.sin(nuclei.angle[i])
        x = nuclei.x[i] + cos * nuclei.long[i] * u - sin * nuclei.short[i] * v
        y = nuclei.y[i] + sin * nuclei.long[i] * u + cos * nuclei.short[i] * v
        seen = inside & (x >= 0) & (y >= 0) & (x < recipe.width) & (y < recipe.height)
        area[i] *= seen.sum() / inside.sum()
    return area


# --- paint ---------------------------------------------------------------------------------------


def _paint(recipe: _Recipe, fields: _Fields, nuclei: _Nuclei) -> Iterator[Rgb]:
    """Strips of the picture, top to bottom: (<= STRIP_PX, width, 3) uint8."""
    for top in range(0, recipe.height, STRIP_PX):
        rows = min(STRIP_PX, recipe.height - top)
        eosin = _fibres(recipe, fields, top, rows)
        haematoxylin = eosin * 0.06
        reach = nuclei.long + 3
        near = (nuclei.y + reach > top) & (nuclei.y - reach < top + rows)
        for i in np.flatnonzero(near):
            _stain(haematoxylin, eosin, nuclei, int(i), top, fields.chromatin)
        yield _shine(haematoxylin, eosin, _repeat(fields.fine, top + 389, rows, recipe.width))


def _fibres(recipe: _Recipe, fields: _Fields, top: int, rows: int) -> F32:
    """Eosin density of stroma: wavy fibres of two widths, blotches and grain; 0 on glass."""
    width = recipe.width
    um_x = np.arange(width, dtype=np.float32)[None, :] * recipe.mpp
    um_y = np.arange(top, top + rows, dtype=np.float32)[:, None] * recipe.mpp
    warp = _rows_of(fields.warp, top, rows, width)
    blotch = _rows_of(fields.density, top, rows, width)
    tissue = _rows_of(fields.tissue, top, rows, width)
    broad = np.sin((um_x * 0.30 + um_y * 0.55) + 5.0 * warp)
    narrow = np.sin((um_x * 0.75 + um_y * 1.25) + 8.5 * warp + 1.5 * blotch)
    fine = _repeat(fields.fine, top, rows, width)
    density = 0.40 + 0.055 * broad + 0.045 * narrow * (1 + 0.5 * broad)
    density += 0.05 * blotch + 0.05 * warp + 0.035 * fine
    inside = 1 / (1 + np.exp(np.clip(-tissue / 1.6, -30, 30)))
    return np.asarray(np.clip(density, 0.10, None) * inside, np.float32)


def _stain(
    haematoxylin: F32, eosin: F32, nuclei: _Nuclei, i: int, top: int, chromatin: F32
) -> None:
    """Add one nucleus to a strip, in place: granular, a little darker at its membrane."""
    x, y, long, short = (float(v[i]) for v in (nuclei.x, nuclei.y, nuclei.long, nuclei.short))
    reach = long + 3
    x0, x1 = max(0, math.floor(x - reach)), min(eosin.shape[1], math.ceil(x + reach))
    y0, y1 = max(top, math.floor(y - reach)), min(top + eosin.shape[0], math.ceil(y + reach))
    if x0 >= x1 or y0 >= y1:
        return
    dx = np.arange(x0, x1)[None, :] + 0.5 - x
    dy = np.arange(y0, y1)[:, None] + 0.5 - y
    cos, sin = math.cos(nuclei.angle[i]), math.sin(nuclei.angle[i])
    r = np.hypot((cos * dx + sin * dy) / long, (cos * dy - sin * dx) / short)
    edge = EDGE_UM / RADIUS_UM[0]
    body = 1 / (1 + np.exp(np.clip((r - 1) / (edge / 2), -30, 30)))
    grain = _repeat(chromatin, y0 + 131 * i, y1 - y0, x1 - x0, left=x0 + 257 * i)
    rim = np.exp(-(((r - 0.86) / 0.16) ** 2))
    depth = float(nuclei.depth[i]) * (0.86 + 0.17 * grain + 0.16 * rim)
    part = np.s_[y0 - top : y1 - top, x0:x1]
    haematoxylin[part] += body * np.clip(depth, 0.45, 2.2)
    eosin[part] *= 1 - 0.45 * body


def _repeat(texture: F32, top: int, rows: int, width: int, left: int = 0) -> F32:
    """A window of a texture that repeats for ever."""
    side = len(texture)
    row, column = np.arange(top, top + rows) % side, np.arange(left, left + width) % side
    return np.asarray(texture[np.ix_(row, column)], np.float32)


def _shine(haematoxylin: F32, eosin: F32, noise: F32) -> Rgb:
    """What the camera sees: Lambert-Beer for both stains, and a little noise."""
    density = haematoxylin[..., None] * HAEMATOXYLIN + eosin[..., None] * EOSIN
    light = GLASS * np.exp(-density) + 1.2 * noise[..., None]
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)
