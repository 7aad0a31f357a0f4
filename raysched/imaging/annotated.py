"""Folders of annotated images: which image belongs to which labels, and reading both.

An image NAME.png or NAME.tif has its labels in a file of the same name, before the suffix, in the
other folder. Labels are one channel of whole numbers: 0 is background, any other a cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from tifffile import PHOTOMETRIC

from raysched.errors import BadAnnotation, InvalidSetting, NotFound
from raysched.imaging.slide import Rgb, on_white

I64 = npt.NDArray[np.int64]

TIFF = {".tif", ".tiff"}
KINDS = {".png", *TIFF}
WITH_ALPHA = {"1", "P", "LA", "PA", "La", "RGBa"}
OTHER_COLOURS = {"CMYK", "YCbCr", "LAB", "HSV"}
PLAIN_COLOURS = {PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR}
"""Pillow's modes that become RGBA or RGB, and the TIFF colours that need no conversion."""
PAIRING = "An image and its labels have the same name before the suffix, in two folders."
LABELS = "Save labels as one channel of 8-, 16- or 32-bit whole numbers (PNG or TIFF), 0 outside."
IMAGES = "Save images as 8-bit RGB, RGBA or grey PNG or TIFF."
AGAIN = "Copy the file again from its source, or leave out the pair."


@dataclass(frozen=True, slots=True)
class Pair:
    """An image file and the file of its labels."""

    name: str
    image: Path
    labels: Path


def find_pairs(images: Path, labels: Path) -> tuple[Pair, ...]:
    """All pairs of two folders, by name. Other kinds of file and hidden files are passed over.

    Raises ``NotFound`` (no such folder, nothing in it), ``BadAnnotation`` (one of a pair is
    not there) or ``InvalidSetting`` (one folder for both, or one name for two files).
    """
    if images.resolve() == labels.resolve():
        raise InvalidSetting(f"Images and labels are both said to be in {images}.", remedy=PAIRING)
    of_images, of_labels = _by_name(images, "images"), _by_name(labels, "labels")
    if not of_images and not of_labels:
        raise NotFound(f"There is no PNG or TIFF file in {images} nor in {labels}.", remedy=PAIRING)
    for mine, others, what, folder in (
        (of_images, of_labels, "labels", labels),
        (of_labels, of_images, "image", images),
    ):
        alone = sorted(mine.keys() - others.keys())
        if alone:
            more = f" (and {len(alone) - 1} more like it)" if len(alone) > 1 else ""
            raise BadAnnotation(
                f"{mine[alone[0]]} has no {what} in {folder}{more}.",
                remedy=f"{PAIRING} Add the missing file or move this one away.",
                names=alone,
            )
    return tuple(Pair(name, of_images[name], of_labels[name]) for name in sorted(of_images))


def read_pair(pair: Pair) -> tuple[Rgb, I64]:
    """Pixels (h, w, 3) uint8 and labels (h, w) int64 of a pair. Raises ``BadAnnotation``."""
    rgb, labels = read_image(pair.image), read_labels(pair.labels)
    if rgb.shape[:2] != labels.shape:
        (h, w), (label_h, label_w) = rgb.shape[:2], labels.shape
        raise BadAnnotation(
            f"{pair.image} has {w} x {h} px but its labels {pair.labels} {label_w} x {label_h}.",
            remedy="Give labels of the image's own size; check that they belong together.",
            image=str(pair.image),
            labels=str(pair.labels),
        )
    return rgb, labels


def read_image(path: Path) -> Rgb:
    """Pixels as (h, w, 3) uint8; grey becomes three equal channels, transparency white."""
    pixels = _read(path, as_labels=False)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3} or channels not in {1, 3, 4}:
        raise BadAnnotation(
            f"{path} is no 8-bit RGB, RGBA or grey image: it holds {_in_words(pixels)}.",
            remedy=IMAGES,
            path=str(path),
        )
    if channels == 4:
        return on_white(pixels)
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def read_labels(path: Path) -> I64:
    """Labels as (h, w) int64, 0 is background."""
    labels = _read(path, as_labels=True)
    if labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[..., 0]
    if labels.dtype.kind not in "iu" or labels.ndim != 2:
        raise BadAnnotation(
            f"{path} is no label image: it holds {_in_words(labels)}.",
            remedy=LABELS,
            path=str(path),
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.int64).max:
        raise BadAnnotation(
            f"{path} is no label image: a label is negative or beyond 2^63.",
            remedy=LABELS,
            path=str(path),
        )
    return labels.astype(np.int64)


def _by_name(folder: Path, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise NotFound(
            f"There is no folder {folder} for {what}.",
            remedy=f"Name the folder of the {what} with --{what}.",
            path=str(folder),
        )
    try:
        there = sorted(folder.iterdir())
    except OSError as error:
        raise BadAnnotation(
            f"The folder {folder} may not be read: {error.strerror}.",
            remedy="Give yourself read permission on it and on its files.",
            path=str(folder),
        ) from None
    found: dict[str, Path] = {}
    for path in there:
        if path.suffix.lower() not in KINDS or path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in found:
            raise InvalidSetting(
                f"{found[path.stem]} and {path} have the same name before the suffix.",
                remedy="Rename one of them, and its partner.",
            )
        found[path.stem] = path
    return found


def _read(path: Path, *, as_labels: bool) -> npt.NDArray[Any]:
    with _said_plainly(path):
        if path.suffix.lower() in TIFF:
            return _read_tiff(path, as_labels=as_labels)
        with Image.open(path) as image:
            if as_labels:  # of a palette the indices are the labels, not the colours
                return np.asarray(image)
            if image.mode in WITH_ALPHA or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))
            return np.asarray(image.convert("RGB") if image.mode in OTHER_COLOURS else image)


def _read_tiff(path: Path, *, as_labels: bool) -> npt.NDArray[Any]:
    """The first image of a TIFF: (h, w) or (h, w, channels), also where planes are separate."""
    with tifffile.TiffFile(path) as tiff:
        first = tiff.series[0]
        if not as_labels and first.keyframe.photometric not in PLAIN_COLOURS:
            raise BadAnnotation(
                f"{path} keeps its colours as {PHOTOMETRIC(first.keyframe.photometric).name}.",
                remedy=IMAGES,
                path=str(path),
            )
        pixels = np.asarray(first.asarray())
        if first.axes in {"SYX", "CYX"}:
            pixels = np.moveaxis(pixels, 0, -1)
        return pixels


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    """What the two readers raise on damaged files has no common base: all of it means this."""
    try:
        yield
    except BadAnnotation:
        raise
    except Exception as error:
        why = (str(error) or repr(error)).splitlines()[0]
        raise BadAnnotation(
            f"{path} cannot be read as an image: {why.rstrip('.')}.",
            remedy=AGAIN,
            path=str(path),
        ) from error


def _in_words(pixels: npt.NDArray[Any]) -> str:
    shape = " x ".join(map(str, pixels.shape))
    return f"{shape} values of type {pixels.dtype}"
