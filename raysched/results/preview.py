"""``preview.png``: the slide with the cells that were found drawn on it.

The preview shows the whole slide at most about ``OVERVIEW_PX`` long, and beside it its densest
regions in detail, with outlines. Where cells are large enough to have a shape in the overview they
are outlined there too; else it is tinted by their density.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from raysched.imaging.geometry import Rect
from raysched.imaging.plan import SlidePlan
from raysched.imaging.slide import open_slide
from raysched.imaging.tissue import TissueMask
from raysched.results.chunks import flat
from raysched.results.pictures import (
    PAPER,
    STRIP_PX,
    Rgb,
    View,
    contours,
    encode,
    overview,
    read_view,
    scale_bar,
    with_legend,
)
from raysched.results.survivors import Survivors

OVERVIEW_PX = 2400
DETAIL_PX = 1200
MOST_DETAILS = 2
NUCLEUS_UM = 8.0
SMALLEST_OUTLINE_PX = 5.0
"""A nucleus of ``NUCLEUS_UM`` must be this wide in the overview to be drawn as an outline."""
DETAIL_MPP = 0.25
"""Details are enlarged to about this many um per px, by whole factors up to 4."""
CELL = (0, 255, 80)
TISSUE = (70, 90, 140)
FRAME = (255, 196, 0)
BIN_PX = 4
GAP_PX = 16


class Preview:
    """Collects cells tile by tile, then makes ``preview.png``.

    Meanwhile the slide is closed: an open one holds what was read last.
    """

    def __init__(self, plan: SlidePlan, tissue: TissueMask) -> None:
        self._plan = plan
        with open_slide(plan.slide.path) as slide:
            self._view = overview(slide, plan, OVERVIEW_PX)
        self._outlines = NUCLEUS_UM / self._mpp >= SMALLEST_OUTLINE_PX
        height, width = self._view.rgb.shape[:2]
        self._density = np.zeros((-(-height // BIN_PX), -(-width // BIN_PX)), np.float32)
        self._view.draw(contours(tissue), TISSUE)

    @property
    def _mpp(self) -> float:
        return self._view.w_per_px * self._plan.grid.mpp

    def add(self, table: Any) -> None:
        """Take the staged cells of a tile."""
        if self._outlines:
            self._view.draw(_rings(table), CELL)
        height, width = self._density.shape
        step = self._view.w_per_px * BIN_PX
        x = (table.column("ref_x").to_numpy() / step).astype(np.int64).clip(0, width - 1)
        y = (table.column("ref_y").to_numpy() / step).astype(np.int64).clip(0, height - 1)
        np.add.at(self._density, (y, x), 1)

    def png(self, survivors: Survivors, check: Callable[[], None]) -> bytes:
        """The finished picture. ``check`` is called in the middle of it and may raise."""
        picture = Image.fromarray(self._view.rgb if self._outlines else self._tinted())
        scale_bar(picture, self._mpp)
        if survivors.count:
            picture = self._with_details(picture, survivors)
        return encode(with_legend(picture, self._legend(survivors.count)), check)

    def _tinted(self) -> Rgb:
        """The overview with the density of cells as a tint; none where there are no cells."""
        rgb = self._view.rgb
        smooth = cv2.GaussianBlur(self._density, (0, 0), 2.0)
        top = max(float(np.percentile(smooth[smooth > 1e-3], 99)), 1e-6) if smooth.any() else 1.0
        level = (np.minimum(smooth / top, 1.0) * 255).astype(np.uint8)
        level = cv2.resize(level, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
        for y in range(0, len(rgb), STRIP_PX):  # the weights are large
            strip = slice(y, y + STRIP_PX)
            colours = cv2.applyColorMap(level[strip], cv2.COLORMAP_VIRIDIS)
            tint = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
            alpha = np.minimum(level[strip] * np.float32(3 / 255), 1.0) * np.float32(0.6)
            rgb[strip] = cv2.blendLinear(rgb[strip], tint, 1 - alpha, alpha)
        return rgb

    def _with_details(self, picture: Image.Image, survivors: Survivors) -> Image.Image:
        count = int(np.clip(round(picture.height / DETAIL_PX), 1, MOST_DETAILS))
        fits = (picture.height + GAP_PX) // count - GAP_PX
        side = int(np.clip(fits, DETAIL_PX // 2, DETAIL_PX))
        zoom = int(np.clip(round(self._plan.grid.mpp / DETAIL_MPP), 1, 4))
        left = picture.width + GAP_PX
        height = max(picture.height, count * (side + GAP_PX) - GAP_PX)
        sheet = Image.new("RGB", (left + side, height), PAPER)
        sheet.paste(picture, (0, 0))
        pen = ImageDraw.Draw(sheet)
        for i, rect in enumerate(self._densest(side // zoom, count)):
            detail = Image.fromarray(self._detail(rect, zoom, survivors))
            scale_bar(detail, self._plan.grid.mpp / zoom)
            top = i * (height - side) // max(1, count - 1)
            sheet.paste(detail, (left, top))
            name = "AB"[i]
            _frame(pen, (left, top, left + detail.width - 1, top + detail.height - 1), name)
            x0, y0, x1, y1 = (
                round(edge / self._view.w_per_px) for edge in (rect.x0, rect.y0, rect.x1, rect.y1)
            )
            _frame(pen, (x0, y0, x1, y1), name)
        return sheet

    def _densest(self, size: int, count: int) -> list[Rect]:
        """Squares of ``size`` w_ px with most cells, the densest first; they do not overlap."""
        extent = self._plan.grid.extent
        width, height = min(size, extent.width), min(size, extent.height)
        step = self._view.w_per_px * BIN_PX
        bins = max(1, round(size / step))
        summed = cv2.boxFilter(
            self._density, -1, (bins, bins), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        found: list[Rect] = []
        while len(found) < count and summed.max() > 0:
            row, column = np.unravel_index(int(summed.argmax()), summed.shape)
            x0 = int(np.clip((column + 0.5) * step - width / 2, 0, extent.width - width))
            y0 = int(np.clip((row + 0.5) * step - height / 2, 0, extent.height - height))
            found.append(Rect(x0, y0, x0 + width, y0 + height))
            top, left = max(0, int(row) - bins), max(0, int(column) - bins)
            summed[top : int(row) + bins + 1, left : int(column) + bins + 1] = 0
        return found

    def _detail(self, rect: Rect, zoom: int, survivors: Survivors) -> Rgb:
        """A region with outlines, enlarged ``zoom`` times."""
        with open_slide(self._plan.slide.path) as slide:
            rgb = read_view(slide, self._plan.grid, rect)
        size = rect.width * zoom, rect.height * zoom
        large = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC), np.uint8)
        view = View(large, rect.x0, rect.y0, 1 / zoom)
        for tile in survivors.tiles:
            read = self._plan.tile(tile).read
            if read.x0 < rect.x1 and rect.x0 < read.x1 and read.y0 < rect.y1 and rect.y0 < read.y1:
                view.draw(_rings(survivors.read(tile, ["polygon_xy"])[1]), CELL, 2)
        return view.rgb

    def _legend(self, cells: int) -> list[str]:
        plan = self._plan
        shown = "outlines: cells" if self._outlines else "tint: density of cells"
        return [
            plan.slide.path.rsplit("/", 1)[-1],
            f"{cells:,} cells",
            f"{plan.slide.mpp:.4g} um/px ({plan.slide.mpp_source})",
            f"{plan.engine} {plan.engine_version}",
            shown,
            "right: densest regions",
        ]


def _frame(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], name: str) -> None:
    """A frame with its letter in a corner tab."""
    pen.rectangle(box, outline=FRAME, width=3)
    pen.rectangle((box[0], box[1], box[0] + 32, box[1] + 36), fill=FRAME)
    font = ImageFont.load_default(28)
    pen.text((box[0] + 17, box[1] + 18), name, fill=(20, 20, 20), font=font, anchor="mm")


def _rings(table: Any) -> list[npt.NDArray[np.float64]]:
    points, at = flat(table.column("polygon_xy"), 2, np.float64)
    return np.split(points, at[1:-1]) if len(at) > 1 else []
