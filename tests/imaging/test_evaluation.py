"""Annotated images: pairing and reading them, and an engine that runs on each as on a slide."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from raysched.errors import BadAnnotation, EngineFailed
from raysched.imaging.annotated import Pair, find_pairs, read_image, read_labels, read_pair
from raysched.imaging.classical import ClassicalEngine, ClassicalParams
from raysched.imaging.engine import Labels, Overview, Rgb
from raysched.imaging.evaluation import Evaluation
from raysched.imaging.planning import make_plan
from raysched.imaging.pyramid_tiff import TiffLayout, write_pyramid
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.slide import open_slide

U8 = npt.NDArray[np.uint8]


class DarkEngine(ClassicalEngine):
    """Calls every dark pixel a cell of its own name, and remembers what it was shown."""

    name: ClassVar[str] = "dark"
    target_mpp: ClassVar[float] = 0.5

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, ...], float]] = []
        self.overviews: list[Overview] = []

    def prepare(self, overview: Overview, mpp: float, params: Any) -> dict[str, Any]:
        self.overviews.append(overview)
        return {}

    def segment(self, rgb: Rgb, mpp: float, context: dict[str, Any], params: Any) -> Labels:
        self.seen.append((rgb.shape, mpp))
        dark = rgb.max(axis=2) < 100
        return np.where(dark, np.arange(1, dark.size + 1).reshape(dark.shape), 0).astype(np.int32)


def dark(mpp: float) -> tuple[DarkEngine, Evaluation]:
    engine = DarkEngine()
    return engine, Evaluation(engine, ClassicalParams(), mpp)


def one_dark_px(side: int, at: int) -> U8:
    rgb = np.full((side, side, 3), 200, np.uint8)
    rgb[at, at] = 0
    return rgb


# --- the engine's view ----------------------------------------------------------------------------


def test_an_engine_sees_its_own_resolution_and_answers_at_the_image_s() -> None:
    engine, evaluation = dark(mpp=0.25)
    rgb = np.full((9, 13, 3), 200, np.uint8)
    rgb[2:4, 6:8] = 0
    found = evaluation.segment(rgb)
    assert engine.seen == [((5, 7, 3), 0.5)]
    assert found.shape == (9, 13)
    assert (found > 0).tolist() == (rgb[..., 0] == 0).tolist()


@pytest.mark.parametrize(("mpp", "size"), [(0.5, 40), (0.25, 20), (1.0, 80), (0.35, 28)])
def test_the_working_frame_is_the_plan_s(mpp: float, size: int) -> None:
    engine, evaluation = dark(mpp)
    found = evaluation.segment(np.full((40, 40, 3), 50, np.uint8))
    ((shape, seen_mpp),) = engine.seen
    assert shape == (size, size, 3)
    assert seen_mpp == pytest.approx(0.5)
    assert found.shape == (40, 40)
    assert (found > 0).all()


@pytest.mark.parametrize("mpp", [0.5, 1.0])
def test_a_pixel_comes_back_where_it_was(mpp: float) -> None:
    _, evaluation = dark(mpp)
    for at in (0, 7, 30):
        assert np.argwhere(evaluation.segment(one_dark_px(31, at))).tolist() == [[at, at]]


def test_each_image_is_prepared_on_its_own_pixels_all_of_them_tissue() -> None:
    engine, evaluation = dark(mpp=0.25)
    for grey in (50, 90):
        evaluation.segment(np.full((64, 64, 3), grey, np.uint8))
    assert [each.samples.min() for each in engine.overviews] == [50, 90]
    assert all(each.tissue.all() and each.rgb.shape == (2, 2, 3) for each in engine.overviews)


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5])
def test_an_image_is_prepared_as_the_plan_of_the_same_slide_is(mpp: float, tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    rng = np.random.default_rng(7)
    rgb = np.array([[215, 140, 190], [80, 50, 140]], np.uint8)[rng.integers(0, 2, (512, 512))]
    rgb -= rng.integers(0, 40, rgb.shape, np.uint8)
    write_pyramid(path, TiffLayout(512, 512, mpp, levels=False), [rgb])
    with open_slide(path) as slide:
        plan, tissue, _ = make_plan(slide, SegmentationRequest(slide=str(path), out="unused"))
    assert tissue.mask.all()
    contexts = []

    class Noted(ClassicalEngine):
        def segment(self, rgb: Rgb, mpp: float, context: dict[str, Any], params: Any) -> Labels:
            contexts.append((mpp, context))
            return super().segment(rgb, mpp, context, params)

    Evaluation(Noted(), ClassicalParams(), mpp).segment(rgb)
    ((seen_mpp, context),) = contexts
    assert seen_mpp == pytest.approx(plan.grid.mpp)
    assert context == plan.context
    assert 0.15 < context["threshold"] < 0.6


def test_what_an_engine_raises_says_which_engine_failed() -> None:
    class Broken(DarkEngine):
        def segment(self, *_: Any) -> Labels:
            raise RuntimeError("out of memory")

    with pytest.raises(EngineFailed, match=r"'dark' failed on a tile: RuntimeError"):
        Evaluation(Broken(), ClassicalParams(), 0.5).segment(one_dark_px(8, 1))


# --- files ----------------------------------------------------------------------------------------


def test_images_of_every_kind_become_rgb(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    rgb = np.stack([grey, grey + 1, grey + 2], axis=-1)
    alpha = np.full((3, 4, 1), 255, np.uint8)
    alpha[0, 0] = 0
    three = np.repeat(grey[..., None], 3, axis=2)
    on_white = np.where(alpha > 0, rgb, 255)
    kinds = {"grey": (grey, three), "rgb": (rgb, rgb), "rgba": (np.dstack([rgb, alpha]), on_white)}
    for name, (pixels, wanted) in kinds.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, compression="zlib")
        for suffix in ("png", "tif"):
            np.testing.assert_array_equal(read_image(tmp_path / f"{name}.{suffix}"), wanted)
    Image.fromarray(rgb).quantize(12).save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), rgb)
    tifffile.imwrite(
        tmp_path / "p.tif", np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), rgb)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        *(("png", kind) for kind in (np.uint8, np.uint16)),
        *(("tif", kind) for kind in (np.uint8, np.uint16, np.uint32, np.int32)),
        ("TIFF", np.uint32),
    ],
)
def test_labels_of_every_width_are_read_exactly(suffix: str, kind: Any, tmp_path: Path) -> None:
    labels = np.array([[0, 1, 200], [0, np.iinfo(kind).max, 7]], kind)
    path = tmp_path / f"labels.{suffix}"
    if suffix == "png":
        Image.fromarray(labels).save(path)
    else:
        tifffile.imwrite(path, labels, compression="lzw")
    found = read_labels(path)
    assert found.dtype == np.int64
    assert found.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "word"),
    [
        (np.zeros((4, 4, 3), np.uint8), "4 x 4 x 3 values of type uint8"),
        (np.zeros((4, 4), np.float32), "4 x 4 values of type float32"),
        (np.full((4, 4), -1, np.int32), "a label is negative"),
        (np.zeros((2, 4, 4), np.uint16), "2 x 4 x 4 values"),
    ],
)
def test_what_is_no_label_image_is_refused(labels: Any, word: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "l.tif", labels, photometric="minisblack")
    with pytest.raises(BadAnnotation, match=word):
        read_labels(tmp_path / "l.tif")


def test_a_mask_of_yes_and_no_is_no_label_image(tmp_path: Path) -> None:
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "l.png")
    with pytest.raises(BadAnnotation, match="values of type bool"):
        read_labels(tmp_path / "l.png")


def test_an_image_of_16_bits_and_a_file_of_nonsense_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((4, 4), np.uint16))
    with pytest.raises(BadAnnotation, match="no 8-bit RGB, RGBA or grey image"):
        read_image(tmp_path / "i.tif")
    for name in ("x.png", "x.tif"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(BadAnnotation, match="cannot be read as an image"):
            read_labels(tmp_path / name)


def test_pairs_are_made_by_name_whatever_the_kind_of_file(tmp_path: Path) -> None:
    images, labels = tmp_path / "i", tmp_path / "l"
    for folder, names in ((images, ("b.png", "a.tif", "notes.txt")), (labels, ("a.png", "b.TIFF"))):
        folder.mkdir()
        for name in (*names, "._a.png"):
            (folder / name).touch()
    assert find_pairs(images, labels) == (
        Pair("a", images / "a.tif", labels / "a.png"),
        Pair("b", images / "b.png", labels / "b.TIFF"),
    )


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "i.png")
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "l.png")
    with pytest.raises(BadAnnotation, match=r"has 6 x 4 px but its labels .* 5 x 4\."):
        read_pair(Pair("x", tmp_path / "i.png", tmp_path / "l.png"))
