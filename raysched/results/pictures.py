"""Pieces of the pictures for a person: views of a slide, rings on them, scale bar, legend."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from raysched.errors import SlideUnreadable
from raysched.imaging.frames import read_working, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.plan import SlidePlan, TissuePlan, WorkingGrid
from raysched.imaging.slide import Slide
from raysched.imaging.tissue import TissueMask

Rgb = npt.NDArray[np.uint8]
Rings = Iterable[npt.NDArray[np.float64]]
Colour = tuple[int, int, int]

STRIP_PX = 512
PAPER = (24, 26, 30)
INK = (236, 238, 240)
HOLE = (225, 225, 225)
FRACTION_BITS = 4


@dataclass(frozen=True, slots=True)
class View:
    """A picture of a part of the slide: (x0, y0) is its corner, in w_ px like ``w_per_px``."""

    rgb: Rgb
    x0: float
    y0: float
    w_per_px: float

    def place(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """w_ coordinates as OpenCV's fixed-point picture coordinates (centres at whole px)."""
        at = (points - (self.x0, self.y0)) / self.w_per_px - 0.5
        return np.round(at * (1 << FRACTION_BITS)).astype(np.int32)

    def draw(self, rings: Rings, colour: Colour, px: int = 1) -> None:
        """Draw closed rings, ``px`` wide, anti-aliased."""
        placed = [self.place(ring)[:, None] for ring in rings]
        cv2.polylines(self.rgb, placed, True, colour, px, cv2.LINE_AA, FRACTION_BITS)


def overview(slide: Slide, plan: SlidePlan | TissuePlan, longest_px: int) -> View:
    """The whole slide, at most about ``longest_px`` long and never finer than the working frame."""
    longest = max(plan.grid.width, plan.grid.height)
    target = plan.grid.mpp * max(1.0, longest / longest_px)
    grid = plan.grid
    if target > plan.grid.mpp * 1.05:
        grid = working_grid(slide, plan.slide.mpp, target)
    return View(read_view(slide, grid, grid.extent), 0.0, 0.0, grid.l0_per_w / plan.grid.l0_per_w)


def read_view(slide: Slide, grid: WorkingGrid, rect: Rect) -> Rgb:
    """Pixels of a rectangle, in strips; what cannot be read is grey."""
    out = np.empty((rect.height, rect.width, 3), np.uint8)
    for y in range(rect.y0, rect.y1, STRIP_PX):
        strip = Rect(rect.x0, y, rect.x1, min(y + STRIP_PX, rect.y1))
        into = out[strip.y0 - rect.y0 : strip.y1 - rect.y0]
        try:
            into[:] = read_working(slide, grid, strip)
        except SlideUnreadable:
            into[:] = HOLE
    return out


def contours(tissue: TissueMask) -> list[npt.NDArray[np.float64]]:
    """Outlines of the tissue and of its holes, in w_ px."""
    mask = np.ascontiguousarray(tissue.mask, np.uint8)
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [(ring[:, 0].astype(np.float64) + 0.5) * tissue.w_per_px for ring in found]


def scale_bar(picture: Image.Image, mpp: float) -> None:
    """A bar of a round length, about an eighth of the picture, at the bottom left."""
    wanted = picture.width * mpp / 8
    power = 10.0 ** np.floor(np.log10(wanted))
    length_um = float(max(step * power for step in (1, 2, 5) if step * power <= wanted))
    name = f"{length_um:g} um" if length_um < 1000 else f"{length_um / 1000:g} mm"
    px, margin = round(length_um / mpp), 24
    font = ImageFont.load_default(26)
    pen = ImageDraw.Draw(picture, "RGBA")
    text = pen.textlength(name, font=font)
    x, y = margin, picture.height - margin
    pen.rounded_rectangle(
        (x - 12, y - 52, x + max(px, text) + 12, y + 12), 6, fill=(255, 255, 255, 215)
    )
    pen.rectangle((x, y - 6, x + px, y), fill=(20, 20, 20))
    pen.text((x, y - 14), name, fill=(20, 20, 20), font=font, anchor="ls")


def with_legend(picture: Image.Image, words: list[str]) -> Image.Image:
    """The picture above a dark strip with the words."""
    size = 28 if picture.width >= 1000 else 16
    font = ImageFont.load_default(size)
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}   ·   {word}" if lines else word
        if lines and font.getlength(longer) <= picture.width - size:
            lines[-1] = longer
        else:
            lines.append(word)
    height = round(size * (0.8 + 1.4 * len(lines)))
    sheet = Image.new("RGB", (picture.width, picture.height + height), PAPER)
    sheet.paste(picture, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        pen.text((size // 2, picture.height + size * (0.5 + 1.4 * i)), line, fill=INK, font=font)
    return sheet


def encode(picture: Image.Image, check: Callable[[], None] = lambda: None) -> bytes:
    """PNG bytes. ``check`` is called for each piece of them and may raise: a large picture takes
    half a second."""
    buffer = _Checked(check)
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class _Checked(io.BytesIO):
    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def write(self, piece: Any, /) -> int:
        self._check()
        return super().write(piece)
