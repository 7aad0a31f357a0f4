"""``diff.png``: the slide three times, with the density of matched, of lost and of gained cells.

The slide comes from the first result's ``tissue.png``, in grey and pale, so that colours stand out.
Each panel has a scale of its own: a few lost cells among many matched ones are to be seen.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from raysched.errors import StorageFailed
from raysched.results.damage import AGAIN
from raysched.results.difference.facts import Facts
from raysched.results.difference.status import COLOURS, Status
from raysched.results.difference.windows import places
from raysched.results.pictures import INK, PAPER, Rgb, encode
from raysched.results.staging import PICTURE
from raysched.results.storage import storage

PANEL_PX = 900
GAP_PX = 16
HEAD_PX = 48
PALE = 0.45
"""How much of the slide's contrast is left."""
WIDE = 1.4
"""Slides this many times as wide as high, or wider, are put one below the other."""
BLUR_SQUARES = 2.5
MOST_TINT = 0.9
FAINTEST = 0.35
"""Share of the strongest tint that the slightest density has at least."""
SMALLEST_FRAME_PX = 16
CELL_UM = 10.0
"""In squares at least this wide there is a density to speak of."""


def picture_png(facts: Facts) -> bytes:
    """The finished picture as PNG bytes."""
    ground = _ground(facts)
    panels = [_panel(facts, status, ground) for status in Status]
    width, height = panels[0].size
    below = width >= WIDE * height
    step_x, step_y = (0, height + GAP_PX) if below else (width + GAP_PX, 0)
    sheet = Image.new("RGB", (width + 2 * step_x, height + 2 * step_y), PAPER)
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * step_x, i * step_y))
    return encode(sheet)


def _ground(facts: Facts) -> Rgb:
    """The slide in pale grey: (h, w, 3), at most ``PANEL_PX`` long."""
    path, slide = facts.first.folder / PICTURE, facts.first.manifest.slide
    try:
        with storage(path), Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
    except UnidentifiedImageError as error:
        raise StorageFailed(
            f"{path} is damaged: it is no picture.", remedy=AGAIN, path=str(path)
        ) from error
    grey = grey[: max(1, round(grey.shape[1] * slide.height / slide.width))]  # not the legend
    scale = PANEL_PX / max(slide.width, slide.height)
    size = max(1, round(slide.width * scale)), max(1, round(slide.height * scale))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    pale = np.rint(255 - PALE * (255 - small)).astype(np.uint8)
    return np.repeat(pale[:, :, None], 3, axis=2)


def _panel(facts: Facts, status: Status, ground: Rgb) -> Image.Image:
    height, width = ground.shape[:2]
    smooth = cv2.GaussianBlur(
        facts.counted.squares[status].astype(np.float32), (0, 0), BLUR_SQUARES
    )
    densest = float(smooth.max())
    level = np.minimum(smooth / max(densest, 1e-9), 1.0)
    level = np.where(level > 0.02, FAINTEST + (1 - FAINTEST) * level, 0).astype(np.float32)
    alpha = cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    colour = np.array(COLOURS[status], np.float32)
    mixed = ground + MOST_TINT * alpha * (colour - ground)
    panel = Image.new("RGB", (width, height + HEAD_PX), PAPER)
    panel.paste(Image.fromarray(np.rint(mixed).astype(np.uint8)), (0, HEAD_PX))
    pen, font = ImageDraw.Draw(panel), ImageFont.load_default(26)
    pen.rectangle((10, 12, 34, 36), fill=COLOURS[status], outline=INK)
    pen.text((46, HEAD_PX // 2), _heading(facts, status, densest), INK, font, anchor="lm")
    for name, place in zip("ABCD", places(facts), strict=False):
        _frame(pen, np.array(place) * width / facts.first.manifest.slide.width, name)
    return panel


def _heading(facts: Facts, status: Status, densest: float) -> str:
    said = f"{facts.counts[status]:,} {status}"
    side_um = facts.counted.side_px * facts.first.manifest.slide.mpp
    if not densest or side_um < CELL_UM:  # each cell is a dot of its own
        return said
    return f"{said}, darkest {densest / side_um**2 * 1e6:,.0f} per mm2"


def _frame(pen: ImageDraw.ImageDraw, at: npt.NDArray[np.float64], name: str) -> None:
    """A window's frame with its letter; one that would be too small to see is drawn larger."""
    side = max(at[2], SMALLEST_FRAME_PX)
    x, y = at[:2] + (at[2] - side) / 2
    box = (x, y + HEAD_PX, x + side, y + side + HEAD_PX)
    pen.rectangle(box, outline=(20, 20, 20), width=2)
    corner = (x + 6, y + 2) if side > 2 * SMALLEST_FRAME_PX else (x + side + 4, y - 6)
    pen.text((corner[0], corner[1] + HEAD_PX), name, (20, 20, 20), ImageFont.load_default(22))
