"""A picture of how well found cells agree with annotated ones: both on the same image.

Left the annotated outlines, right the found ones. Colours are told apart by hue and by lightness,
also by people who see no difference between red and green; what is wrong has the thicker line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from raysched.imaging.accuracy import THRESHOLDS, Tally, overlap
from raysched.results.pictures import INK, PAPER, Colour, Rgb, encode

MATCHED: Colour = (0, 165, 85)
MISSED: Colour = (0, 20, 255)
FALSE: Colour = (255, 220, 0)
PANEL_PX = 768
"""Small images are enlarged by whole factors to about this; larger ones are not reduced."""
MOST_PX = 1600
"""Of an image longer than this the middle is shown."""
GAP_PX = 12
THIN_PX = 2
FADE = 0.15
"""How far the image is drawn towards white, so that outlines stand out."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One image: pixels, both label images of its size, the sums, and what to call things."""

    name: str
    engine: str
    rgb: Rgb
    found: npt.NDArray[Any]
    annotated: npt.NDArray[Any]
    tally: Tally


def comparison_png(what: Compared) -> bytes:
    """Both panels under their headings, the numbers and the colours below, as PNG bytes."""
    table = overlap(what.found, what.annotated)
    found_right, annotated_right = table.matched(THRESHOLDS[0])
    window = _middle(what.rgb.shape[0]), _middle(what.rgb.shape[1])
    rgb = what.rgb[window]
    zoom = max(1, round(PANEL_PX / max(rgb.shape[:2])))
    base = _enlarged(rgb, zoom)
    left, right = base.copy(), base.copy()
    _outline(left, what.annotated[window], table.annotated[annotated_right], zoom, MISSED)
    _outline(right, what.found[window], table.found[found_right], zoom, FALSE)
    return encode(_sheet(what, left, right))


def _middle(side: int) -> slice:
    first = max(0, (side - MOST_PX) // 2)
    return slice(first, first + MOST_PX)


def _enlarged(rgb: Rgb, zoom: int) -> Rgb:
    size = rgb.shape[1] * zoom, rgb.shape[0] * zoom
    large = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.float32)
    return np.round(large * (1 - FADE) + 255 * FADE).astype(np.uint8)


def _outline(
    picture: Rgb, labels: npt.NDArray[Any], right: npt.NDArray[np.int64], zoom: int, wrong: Colour
) -> None:
    """Draw the inner edge of every cell: thin where it is matched, thick where not."""
    ids, ranks = np.unique(labels, return_inverse=True)
    exact = np.asarray(ranks.reshape(labels.shape), np.float32)  # up to 16 million cells
    large: npt.NDArray[np.float32] = exact.repeat(zoom, axis=0).repeat(zoom, axis=1)
    is_right = np.isin(ids, right)[large.astype(np.int64)]
    is_cell = (ids != 0)[large.astype(np.int64)]
    thin = max(THIN_PX, zoom)
    for matched, px, colour in ((True, thin, MATCHED), (False, thin + 1, wrong)):
        edge = _edge(large, px) & is_cell & (is_right == matched)
        picture[edge] = colour


def _edge(labels: npt.NDArray[np.float32], px: int) -> npt.NDArray[np.bool_]:
    """Pixels with another label within ``px``."""
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(labels, near) != cv2.erode(labels, near), np.bool_)


def _sheet(what: Compared, left: Rgb, right: Rgb) -> Image.Image:
    height, width = left.shape[:2]
    size = int(np.clip(width // 36, 15, 30))
    font, line = ImageFont.load_default(size), round(size * 1.5)
    total = 2 * width + GAP_PX
    head, foot = line + size // 3, 2 * line + size // 2
    sheet = Image.new("RGB", (total, head + height + foot), PAPER)
    sheet.paste(Image.fromarray(left), (0, head))
    sheet.paste(Image.fromarray(right), (width + GAP_PX, head))
    pen = ImageDraw.Draw(sheet)
    sums = what.tally
    right_ones = sums.matched[0]
    pen.text((size // 2, size // 3), f"annotated: {sums.annotated:,}", INK, font)
    pen.text((width + GAP_PX, size // 3), f"found by {what.engine}: {sums.found:,}", INK, font)
    top = head + height + size // 3
    words = f"F1 {sums.f1():.3f}   PQ {sums.pq:.3f}   AJI {sums.aji:.3f}   Dice {sums.dice:.3f}"
    pen.text((size // 2, top), f"{words}   {_shortened(what.name)}", INK, font)
    x = size // 2
    for colour, text in (
        (MATCHED, f"{right_ones:,} matched (IoU > {THRESHOLDS[0]:g})"),
        (MISSED, f"{sums.annotated - right_ones:,} missed"),
        (FALSE, f"{sums.found - right_ones:,} false"),
    ):
        box = (x, top + line + size // 4, x + size, top + line + size)
        pen.rectangle(box, fill=colour, outline=INK)
        pen.text((x + round(1.5 * size), top + line), text, INK, font)
        x += round(3.5 * size + font.getlength(text))
    return sheet


def _shortened(name: str, most: int = 28) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."
