"""Reading JPEG tiles without OpenSlide gives OpenSlide's pixels, or leaves it to OpenSlide."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from raysched.errors import SlideUnreadable
from raysched.imaging.frames import box_mean, read_working, working_grid
from raysched.imaging.geometry import Rect
from raysched.imaging.jpeg_stream import OddTile
from raysched.imaging.jpeg_tiles import JpegTiff
from raysched.imaging.pyramid_tiff import TiffLayout, write_pyramid
from raysched.imaging.slide import Slide, on_white, open_slide

Rgb = npt.NDArray[np.uint8]
TILES = ("jpeg tiles", "")
WIDTH, HEIGHT = 1210, 958


def picture(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Rgb:
    """Coloured noise, smooth enough for JPEG and told apart everywhere."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def jpeg_tiff(path: Path, *pages: Rgb, tile: int = 256, **options: Any) -> Path:
    """A TIFF of JPEG tiles, each further page a level."""
    given = {"photometric": "rgb", "compression": "jpeg", "metadata": None, **options}
    of_file = {name: given.pop(name) for name in ("bigtiff", "byteorder") if name in given}
    with tifffile.TiffWriter(path, **of_file) as tiff:
        for number, page in enumerate(pages or (picture(),)):
            tiff.write(page, tile=(tile, tile), subfiletype=int(number > 0), **given)
    return path


def overwrite(path: Path, tag: str, value: object, page: int = 0) -> Path:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[page].tags[tag].overwrite(value)
    return path


def lose(path: Path, *tiles: int, page: int = 0) -> Path:
    """Tiles that the file says it has no bytes of."""
    with tifffile.TiffFile(path) as tiff:
        counts = list(tiff.pages[page].databytecounts)
    for tile in tiles:
        counts[tile] = 0
    return overwrite(path, "TileByteCounts", counts, page)


def plainly(path: Path, level: int, rect: Rect) -> Rgb:
    """What OpenSlide reads of a level with a whole downsample."""
    with openslide.OpenSlide(str(path)) as plain:
        per_px = round(plain.level_downsamples[level])
        at = (rect.x0 * per_px, rect.y0 * per_px)
        return on_white(np.asarray(plain.read_region(at, level, (rect.width, rect.height))))


def rectangles(width: int, height: int, count: int) -> Iterator[Rect]:
    """Of all sizes, all over a level; the first is the whole of it."""
    yield Rect(0, 0, width, height)
    rng = random.Random(width * height)
    for _ in range(count):
        x0, y0 = rng.randrange(width), rng.randrange(height)
        yield Rect(x0, y0, rng.randint(x0 + 1, width), rng.randint(y0 + 1, height))


def assert_openslides_pixels(path: Path, count: int = 12) -> None:
    with open_slide(path) as slide:
        for level, (width, height) in enumerate(slide.level_sizes):
            whole = plainly(path, level, Rect(0, 0, width, height))
            assert slide.reader(level) == TILES
            for rect in rectangles(width, height, count):
                found = slide.read_level(level, rect.x0, rect.y0, rect.width, rect.height)
                np.testing.assert_array_equal(
                    found, whole[rect.y0 : rect.y1, rect.x0 : rect.x1], f"{level} {rect}"
                )


def test_every_rectangle_of_the_sample_is_openslides(sample_slide: Path) -> None:
    assert_openslides_pixels(sample_slide, count=60)


def test_the_samples_thumbnail_label_and_macro_are_no_levels(sample_slide: Path) -> None:
    tiff = JpegTiff(sample_slide)
    assert tiff.page((2220, 2967)).number == 0
    for size in ((574, 768), (387, 463), (1280, 431)):
        with pytest.raises(OddTile, match="no tiled pages have"):
            tiff.page(size)
    tiff.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": 240},
        {"tile": 512},
        {"bigtiff": True},
        {"photometric": "ycbcr"},
        {"photometric": "ycbcr", "subsampling": (1, 1)},
        {"photometric": "ycbcr", "subsampling": (2, 1)},
        {"photometric": "ycbcr", "subsampling": (2, 2), "tile": 240},
        {"photometric": "ycbcr", "subsampling": (2, 2), "bigtiff": True, "tile": 512},
    ],
    ids=str,
)
def test_every_kind_of_jpeg_gives_openslides_pixels(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    levels = (picture(), picture(WIDTH // 2, HEIGHT // 2, 1))
    assert_openslides_pixels(jpeg_tiff(tmp_path / "s.tif", *levels, **options))


def test_the_byte_order_of_the_file_is_heeded(tmp_path: Path) -> None:
    found = []
    for byteorder in ("<", ">"):
        path = jpeg_tiff(tmp_path / "s.tif", byteorder=byteorder)
        tiff = JpegTiff(path)
        found.append(tiff.read(tiff.page((WIDTH, HEIGHT)), Rect(0, 0, WIDTH, HEIGHT)))
        tiff.close()
    np.testing.assert_array_equal(*found)


def test_pyramids_of_our_own_are_openslides_also_without_levels(tmp_path: Path) -> None:
    pixels = picture(1600, 1200)
    for levels in (True, False):
        path = tmp_path / f"{levels}.tif"
        strips = (pixels[top : top + 512] for top in range(0, 1200, 512))
        write_pyramid(path, TiffLayout(1600, 1200, 0.25, jpeg_quality=80, levels=levels), strips)
        assert_openslides_pixels(path)


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (256, 256), (257, 255)])
def test_ragged_and_tiny_levels_are_openslides(tmp_path: Path, size: tuple[int, int]) -> None:
    assert_openslides_pixels(jpeg_tiff(tmp_path / "s.tif", picture(*size)))


def test_a_tile_that_is_left_out_is_white(tmp_path: Path, sample_slide: Path) -> None:
    generic = lose(jpeg_tiff(tmp_path / "s.tif"), 0, 7, 19)
    aperio = lose(Path(shutil.copy(sample_slide, tmp_path / "s.svs")), 33, 34, 129)
    for path in (generic, aperio):
        assert_openslides_pixels(path)
    with open_slide(aperio) as slide:
        assert (slide.read_level(0, 3 * 240, 3 * 240, 480, 240) == 255).all()


def test_a_lower_level_that_lacks_a_tile_is_openslides(tmp_path: Path) -> None:
    path = jpeg_tiff(tmp_path / "s.tif", picture(), picture(WIDTH // 2, HEIGHT // 2))
    lose(path, 1, page=1)
    with open_slide(path) as slide:
        assert slide.reader(0) == TILES
        assert slide.reader(1)[0] == "openslide"
        assert "lacks tiles" in slide.reader(1)[1]


def test_beyond_the_level_is_white(sample_slide: Path) -> None:
    with open_slide(sample_slide) as slide:
        found = slide.read_level(0, -30, 2900, 100, 100)
        assert slide.reader(0) == TILES
    inner = plainly(sample_slide, 0, Rect(0, 2900, 70, 2967))
    np.testing.assert_array_equal(found[:67, 30:], inner)
    assert (found[67:] == 255).all()
    assert (found[:, :30] == 255).all()


@pytest.fixture(scope="module")
def opened(sample_slide: Path) -> Iterator[tuple[Slide, Rgb]]:
    with open_slide(sample_slide) as slide:
        yield slide, plainly(sample_slide, 0, Rect(0, 0, slide.width, slide.height))


@given(x=st.integers(-50, 2270), y=st.integers(-50, 3017), w=st.integers(1, 600),
       h=st.integers(1, 600))  # fmt: skip
def test_any_rectangle_inside_or_out_is_cut_from_the_same_picture(
    opened: tuple[Slide, Rgb], x: int, y: int, w: int, h: int
) -> None:
    slide, whole = opened
    canvas = np.full((h, w, 3), 255, np.uint8)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, slide.width), min(y + h, slide.height)
    if x0 < x1 and y0 < y1:
        canvas[y0 - y : y1 - y, x0 - x : x1 - x] = whole[y0:y1, x0:x1]
    np.testing.assert_array_equal(slide.read_level(0, x, y, w, h), canvas)


@pytest.mark.parametrize(("mpp", "box"), [(0.5, 1), (0.25, 2), (0.125, 4)])
def test_the_working_frame_is_made_of_the_same_pixels(
    opened: tuple[Slide, Rgb], mpp: float, box: int
) -> None:
    slide, whole = opened
    grid = working_grid(slide, mpp, 0.5)
    assert (grid.level, grid.box, grid.scale) == (0, box, 1.0)
    pad = ((0, -slide.height % box), (0, -slide.width % box), (0, 0))
    mean = box_mean(np.pad(whole, pad, mode="edge"), box)
    for rect in rectangles(grid.width, grid.height, 6):
        found = read_working(slide, grid, rect)
        np.testing.assert_array_equal(found, mean[rect.y0 : rect.y1, rect.x0 : rect.x1])


def test_a_thread_may_read_ahead(sample_slide: Path) -> None:
    rects = list(rectangles(2220, 2967, 20))
    with open_slide(sample_slide) as slide, ThreadPoolExecutor(1) as ahead:
        found = [
            ahead.submit(slide.read_level, 0, rect.x0, rect.y0, rect.width, rect.height)
            for rect in rects
        ]
        whole = plainly(sample_slide, 0, rects[0])
        for rect, pixels in zip(rects, found, strict=True):
            np.testing.assert_array_equal(
                pixels.result(), whole[rect.y0 : rect.y1, rect.x0 : rect.x1]
            )


def test_what_is_kept_of_decoded_tiles_is_bounded(sample_slide: Path) -> None:
    tile_bytes = 240 * 240 * 3
    whole = plainly(sample_slide, 0, Rect(0, 0, 2220, 2967))
    for most in (0, tile_bytes, 5 * tile_bytes):
        tiff = JpegTiff(sample_slide, cache_bytes=most)
        page = tiff.page((2220, 2967))
        for rect in rectangles(2220, 2967, 5):
            np.testing.assert_array_equal(
                tiff.read(page, rect), whole[rect.y0 : rect.y1, rect.x0 : rect.x1]
            )
            assert tiff.cached_bytes <= most
        tiff.close()
        tiff.close()
        with pytest.raises(OddTile, match="closed"):
            tiff.read(page, Rect(0, 0, 1, 1))


# --- what is left to OpenSlide -------------------------------------------------------------------


def reason(path: Path, level: int = 0) -> str:
    """Why OpenSlide reads; and it does read."""
    with open_slide(path) as slide:
        name, note = slide.reader(level)
        assert name == "openslide"
        width, height = slide.level_sizes[level]
        assert slide.read_level(level, 0, 0, width, height).shape == (height, width, 3)
    return note


@pytest.mark.parametrize("compression", ["adobe_deflate", "lzw", "none"])
def test_other_compressions_are_openslides(tmp_path: Path, compression: str) -> None:
    note = reason(jpeg_tiff(tmp_path / "s.tif", compression=compression))
    assert note == f"level 0: its tiles are compressed as {compression.upper()}, not JPEG"


def test_jpeg_2000_is_openslides(sample_slide: Path, tmp_path: Path) -> None:
    path = overwrite(Path(shutil.copy(sample_slide, tmp_path / "s.svs")), "Compression", 33005)
    with open_slide(path) as slide:
        assert "APERIO_JP2000_RGB, not JPEG" in slide.reader(0)[1]


def test_other_samples_are_openslides(tmp_path: Path, samples: Path) -> None:
    assert "4 samples" in reason(samples / "slides" / "large_image__rgba_geotiff.tiff")
    assert "1 samples" in reason(samples / "slides" / "grand-challenge.org__no_dzi.tif")
    deep = jpeg_tiff(tmp_path / "s.tif", picture().astype(np.uint16), compression="none")
    with pytest.raises(OddTile, match="16 bits"):
        JpegTiff(deep).page((WIDTH, HEIGHT))
    planes = tmp_path / "planes.tif"
    tifffile.imwrite(planes, picture().transpose(2, 0, 1).copy(), tile=(256, 256),
                     photometric="rgb", planarconfig="separate", compression="jpeg")  # fmt: skip
    with pytest.raises(OddTile, match="separate planes"):
        JpegTiff(planes).page((WIDTH, HEIGHT))


def test_strips_are_no_tiles(tmp_path: Path) -> None:
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, picture(), photometric="rgb", compression="jpeg", rowsperstrip=64)
    with pytest.raises(OddTile, match=f"no tiled pages have {WIDTH} x {HEIGHT} px"):
        JpegTiff(path).page((WIDTH, HEIGHT))


def test_other_vendors_are_openslides(samples: Path) -> None:
    assert reason(samples / "slides" / "openslide-python__boxes_0.dcm") == (
        "dicom is no format of plain JPEG tiles"
    )


def test_two_pages_of_one_size_are_not_told_apart(tmp_path: Path) -> None:
    path = jpeg_tiff(tmp_path / "s.tif", picture(), picture(seed=1))
    assert reason(path) == f"level 0: 2 tiled pages have {WIDTH} x {HEIGHT} px"


def test_levels_between_whole_downsamples_are_openslides(tmp_path: Path) -> None:
    path = jpeg_tiff(tmp_path / "s.tif", picture(1211, 957), picture(605, 478), picture(151, 119))
    assert "fractional downsample" in reason(path, level=1)
    with open_slide(path) as slide:
        assert [slide.reader(level)[0] for level in (0, 2)] == ["jpeg tiles"] * 2
        with openslide.OpenSlide(str(path)) as plain:
            whole = on_white(np.asarray(plain.read_region((0, 0), 2, (151, 119))))
        np.testing.assert_array_equal(slide.read_level(2, 20, 30, 100, 50), whole[30:80, 20:120])


def test_an_index_that_misleads_is_found_out_before_its_first_use(sample_slide: Path) -> None:
    tiff = JpegTiff(sample_slide)
    page = tiff.page((2220, 2967))
    order = np.roll(np.arange(len(page.offsets)), 1)
    lies = [
        replace(page, offsets=page.offsets[order], byte_counts=page.byte_counts[order]),
        replace(page, transform=1 - page.transform),
        replace(page, width=page.width - 240),
        replace(page, tables=b""),
    ]
    tiff.check(page, lambda rect: plainly(sample_slide, 0, rect))
    for lie in lies:
        fresh = JpegTiff(sample_slide)  # the tiles that the other one keeps are not lies
        with pytest.raises(OddTile):
            fresh.check(lie, lambda rect: plainly(sample_slide, 0, rect))


def damaged(path: Path, tile: int, how: random.Random, folder: Path) -> Path:
    """A copy in which one tile of page 0 has lost or changed some bytes."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        begin, length = page.dataoffsets[tile], page.databytecounts[tile]
    content = bytearray(path.read_bytes())
    at = how.randrange(length - 60)
    match how.randrange(3):
        case 0:
            content[begin + at : begin + length] = bytes(length - at)
        case 1:
            content[begin + at : begin + at + 50] = how.randbytes(50)
        case _:
            content[begin + at] ^= 1 << how.randrange(8)
    copy = folder / f"damaged{path.suffix}"
    copy.write_bytes(content)
    return copy


def test_damage_gives_openslides_pixels_or_openslides_refusal(
    sample_slide: Path, tmp_path: Path
) -> None:
    """Also where libjpeg would only warn, and make up the missing pixels."""
    how, refused = random.Random(7), 0
    for _ in range(40):
        tile = how.choice([n for n in range(130) if n % 10 < 9 and n // 10 < 12])
        path = damaged(sample_slide, tile, how, tmp_path)
        row, column = divmod(tile, 10)
        rect = Rect(column * 240, row * 240, column * 240 + 240, row * 240 + 240)
        with open_slide(path) as slide:
            try:
                wanted = plainly(path, 0, rect)
            except openslide.OpenSlideError as error:
                refused += 1
                with pytest.raises(SlideUnreadable) as caught:
                    slide.read_level(0, rect.x0, rect.y0, 240, 240)
                assert f"x {rect.x0}, y {rect.y0}: {error}." in caught.value.message
            else:
                found = slide.read_level(0, rect.x0, rect.y0, 240, 240)
                np.testing.assert_array_equal(found, wanted)
    assert 10 < refused < 40


def test_around_a_damaged_tile_everything_is_read(sample_slide: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(sample_slide) as tiff:
        begin, length = (part[43] for part in (tiff.pages[0].dataoffsets,
                                               tiff.pages[0].databytecounts))  # fmt: skip
    content = bytearray(sample_slide.read_bytes())
    content[begin : begin + length] = bytes(length)
    path = tmp_path / "s.svs"
    path.write_bytes(content)
    x, y = 3 * 240, 4 * 240
    with open_slide(path) as slide:
        for rect in (Rect(0, 0, x, 2967), Rect(x + 240, 0, 2220, 2967), Rect(0, 0, 2220, y)):
            found = slide.read_level(0, rect.x0, rect.y0, rect.width, rect.height)
            np.testing.assert_array_equal(found, plainly(sample_slide, 0, rect))
        assert slide.reader(0) == TILES
        with pytest.raises(SlideUnreadable):
            slide.read_level(0, x - 1, y, 2, 2)


def test_a_slide_damaged_where_it_is_checked_is_read_by_openslide(
    sample_slide: Path, tmp_path: Path
) -> None:
    with tifffile.TiffFile(sample_slide) as tiff:
        begin, length = (part[-1] for part in (tiff.pages[0].dataoffsets,
                                               tiff.pages[0].databytecounts))  # fmt: skip
    content = bytearray(sample_slide.read_bytes())
    content[begin + 700 : begin + length] = bytes(length - 700)
    path = tmp_path / "s.svs"
    path.write_bytes(content)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(
            slide.read_level(0, 0, 0, 900, 900), plainly(sample_slide, 0, Rect(0, 0, 900, 900))
        )
        assert slide.reader(0)[0] == "openslide"
        assert "damaged" in slide.reader(0)[1]


def test_a_list_of_too_few_tiles_is_not_believed(tmp_path: Path) -> None:
    path = overwrite(jpeg_tiff(tmp_path / "s.tif"), "TileOffsets", [8, 8])
    with pytest.raises(OddTile, match="it lists 2 tiles where 20 are due"):
        JpegTiff(path).page((WIDTH, HEIGHT))
