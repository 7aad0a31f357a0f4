"""The plots of a report as inline SVG. Colours are classes: the page's style says what they are."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from raysched.results.report.facts import Density
from raysched.results.report.markup import Html, join, tag
from raysched.results.report.units import THIN, number, tick_names, ticks

MAP_WIDTH, MAP_HEIGHT = 760, 560
MOST_POINTS = 1500
SCALE_STOPS = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values are drawn: ``low`` at ``start``, ``high`` at ``end``, in px of the picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Places and names of round values."""
        values = ticks(self.low, self.high, most)
        return [(self.at(v), name) for v, name in zip(values, tick_names(values), strict=True)]


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of a small plot in px, and what its axes and the plot as a whole are called."""

    says: str
    x_name: str
    y_name: str
    width: float = 340
    height: float = 190

    @property
    def left(self) -> float:
        """Where the x axis begins."""
        return 54

    @property
    def bottom(self) -> float:
        """Where the x axis is."""
        return self.height - 40


def bars(frame: Frame, low: float, high: float, counts: Sequence[int], mark: float) -> Html:
    """A histogram from ``low`` to ``high``; a line at ``mark``."""
    x = Axis(low, high, frame.left, frame.width - 18)
    y = Axis(0, max(1, *counts), frame.bottom, 22)
    width = (x.end - x.start) / len(counts)
    drawn = [
        tag("rect", class_="bar", x=round(x.start + i * width, 2), y=round(y.at(count), 2),
            width=round(max(width - 1, 0.5), 2), height=round(frame.bottom - y.at(count), 2))
        for i, count in enumerate(counts)
        if count
    ]  # fmt: skip
    at = round(min(max(x.at(mark), x.start), x.end), 2)
    line = tag("line", class_="mark", x1=at, x2=at, y1=16, y2=frame.bottom)
    return _plot(frame, x, y, [*drawn, line])


def points(frame: Frame, across: Sequence[float], up: Sequence[float]) -> Html:
    """A point for each pair; of very many, evenly chosen ones."""
    x = Axis(0, max([*across, 1e-9]), frame.left, frame.width - 18)
    y = Axis(0, max([*up, 1e-9]), frame.bottom, 22)
    step = max(1, -(-len(across) // MOST_POINTS))
    drawn = [
        tag("circle", class_="point", cx=round(x.at(a), 1), cy=round(y.at(b), 1), r=3)
        for a, b in zip(across[::step], up[::step], strict=True)
    ]
    return _plot(frame, x, y, drawn)


def density_map(density: Density, holes: Sequence[tuple[float, float, float, float]]) -> Html:
    """Cells per mm2 as a heat map with scale and axes. ``holes``: x, y, width, height in um."""
    wide = density.width_um / density.height_um
    width = min(MAP_WIDTH, MAP_HEIGHT * wide)
    height = max(width / wide, 1.0)
    left, top = 58.0, 30.0
    per, unit = (1000.0, "mm") if max(density.width_um, density.height_um) >= 2000 else (1.0, "µm")
    x = Axis(0, density.width_um / per, left, left + width)
    y = Axis(0, density.height_um / per, top, top + height)
    scale = width / density.width_um
    rows, columns = density.counts.shape
    side = density.side_um * scale
    clip = tag("clipPath", tag("rect", x=left, y=top, width=width, height=height), id="slide")
    picture = tag("image", x=left, y=top, width=columns * side, height=rows * side,
                  href=_heat(density), preserveAspectRatio="none", class_="heat",
                  clip_path="url(#slide)")  # fmt: skip
    missing = [
        tag("rect", class_="hole", x=left + hx * scale, y=top + hy * scale, width=w * scale,
            height=h * scale)
        for hx, hy, w, h in holes
    ]  # fmt: skip
    edge = tag("rect", class_="edge", x=left, y=top, width=width, height=height)
    full_width, full_height = left + width + 150, top + height + 46
    says = f"Density map: at most {number(density.top())} cells per mm²"
    return tag(
        "svg", tag("defs", clip, _gradient()), picture, join(*missing), edge,
        _x_axis(x, top + height, f"from the left, {unit}", max(1, round(width / 90))),
        _y_axis(y, left, f"from the top, {unit}", max(1, round(height / 70))),
        _scale(density.top(), left + width + 34, top),
        viewBox=f"0 0 {full_width:.0f} {full_height:.0f}", role="img", aria_label=says,
        style=f"width:{full_width:.0f}px;max-width:100%",
    )  # fmt: skip


def _plot(frame: Frame, x: Axis, y: Axis, drawn: Sequence[Html]) -> Html:
    grid = [
        tag("line", class_="grid", x1=x.start, x2=x.end, y1=round(at, 2), y2=round(at, 2))
        for at, _ in _whole(y, 3)
    ]
    return tag(
        "svg", join(*grid), join(*drawn),
        tag("line", class_="axis", x1=x.start, x2=x.end, y1=frame.bottom, y2=frame.bottom),
        _x_axis(x, frame.bottom, frame.x_name, 4), _y_labels(x.start, _whole(y, 3)),
        tag("text", frame.y_name, class_="name", x=0, y=10),
        viewBox=f"0 0 {frame.width:g} {frame.height:g}", role="img", aria_label=frame.says,
    )  # fmt: skip


def _whole(axis: Axis, most: int) -> list[tuple[float, str]]:
    return axis.ticks(most) if axis.high > most else axis.ticks(max(1, int(axis.high) or most))


def _x_axis(axis: Axis, y: float, name: str, most: int) -> Html:
    drawn = [
        join(
            tag("line", class_="axis", x1=round(at, 2), x2=round(at, 2), y1=y, y2=y + 4),
            tag("text", label, x=round(at, 2), y=y + 17, text_anchor="middle"),
        )
        for at, label in axis.ticks(most)
    ]
    middle = (axis.start + axis.end) / 2
    title = tag("text", name, class_="name", x=middle, y=y + 35, text_anchor="middle")
    return join(*drawn, title)


def _y_axis(axis: Axis, x: float, name: str, most: int) -> Html:
    drawn = [
        tag("line", class_="axis", x1=x - 4, x2=x, y1=round(at, 2), y2=round(at, 2))
        for at, _ in axis.ticks(most)
    ]
    title = tag("text", name, class_="name", x=0, y=14)
    return join(*drawn, _y_labels(x, axis.ticks(most)), title)


def _y_labels(x: float, labels: list[tuple[float, str]]) -> Html:
    return join(
        *(
            tag("text", label, x=x - 7, y=round(at + 4, 2), text_anchor="end")
            for at, label in labels
        )
    )


def _colours(levels: Sequence[int]) -> list[tuple[int, int, int]]:
    column = np.array(levels, np.uint8)[:, None]
    blue_green_red = cv2.applyColorMap(column, cv2.COLORMAP_VIRIDIS)[:, 0]
    return [(int(r), int(g), int(b)) for b, g, r in blue_green_red]


def _heat(density: Density) -> str:
    """The squares as a PNG of a pixel each; where there is no cell it is transparent."""
    level = np.minimum(density.per_mm2() / max(density.top(), 1e-9), 1.0)
    colours = np.array(_colours(range(256)), np.uint8)[np.round(level * 255).astype(np.uint8)]
    opaque = np.where(density.counts > 0, 255, 0).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([colours, opaque])).save(buffer, "PNG")
    return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


def _gradient() -> Html:
    levels = np.linspace(0, 255, SCALE_STOPS)
    stops = [
        tag("stop", offset=f"{level / 255:.3f}", stop_color=f"rgb({red},{green},{blue})")
        for level, (red, green, blue) in zip(
            levels, _colours([int(each) for each in levels]), strict=True
        )
    ]
    return tag("linearGradient", *stops, id="scale", x1=0, y1=1, x2=0, y2=0)


def _scale(top: float, x: float, y: float) -> Html:
    height = 180.0
    axis = Axis(0, top, y + height, y)
    labels = [
        join(
            tag("line", class_="axis", x1=x + 16, x2=x + 20, y1=round(at, 2), y2=round(at, 2)),
            tag("text", label, x=x + 25, y=round(at + 4, 2)),
        )
        for at, label in axis.ticks(5)
    ]
    name = tag("text", f"cells{THIN}/{THIN}mm²", class_="name", x=x, y=y - 12)
    bar = tag("rect", x=x, y=y, width=16, height=height, fill="url(#scale)")
    return join(bar, *labels, name)
