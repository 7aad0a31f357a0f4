"""The job kind ``tissue_mask``: its mask, area and outlines, on real slides and odd ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from ome_zarr_models.v05.image_label import ImageLabel
from PIL import Image

from raysched.errors import MppMissing, NotFound, OutputNotEmpty
from raysched.imaging.request import TissueParams, TissueRequest
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.results import stages
from raysched.results.manifest import TissueManifest, read_manifest, read_provenance
from raysched.results.reading import CellFolder
from raysched.results.report.report import Report
from raysched.results.tissue import pieces_of
from tests.results.conftest import LEICA_AT, MPP, Attempt, killed_anywhere


def tissue(slide: Path, out: Path, mpp: float | None = None, **params: Any) -> Attempt:
    request = TissueRequest(slide=str(slide), out=str(out), mpp=mpp, tissue=TissueParams(**params))
    return Attempt(request, "job-tissue")


def manifest_of(attempt: Attempt) -> TissueManifest:
    found = read_provenance(attempt.out)
    assert isinstance(found, TissueManifest)
    return found


def outlines(attempt: Attempt) -> list[Any]:
    collection = json.loads((attempt.out / "tissue.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        assert feature["properties"]["objectType"] == "annotation"
        assert feature["properties"]["classification"]["name"] == "Tissue"
        assert len(feature["id"]) == 36
    return [shapely.from_geojson(json.dumps(f["geometry"])) for f in collection["features"]]


@pytest.fixture(scope="module")
def sample(sample_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    made = tissue(sample_slide, tmp_path_factory.mktemp("sample") / "out")
    assert made.plan().chunk_tiles == ()
    assert made.assemble().cells == 0
    made.publish()
    return made


def test_a_published_mask_is_complete_and_nothing_else_is_left(sample: Attempt) -> None:
    assert {path.name for path in sample.out.parent.iterdir()} == {"out"}
    files = {"tissue.zarr", "tissue.geojson", "preview.png", "manifest.json"}
    assert {path.name for path in sample.out.iterdir()} == files
    manifest = manifest_of(sample)
    assert {note.path for note in manifest.files} == files - {"manifest.json"}
    for note in manifest.files:
        if note.files is None:
            data = (sample.out / note.path).read_bytes()
            assert hashlib.sha256(data).hexdigest() == note.sha256


def test_mask_area_and_outlines_agree(sample: Attempt) -> None:
    manifest = manifest_of(sample)
    mask = zarr.open_array(str(sample.out / "tissue.zarr"), path="0", mode="r")[:]
    assert mask.shape == (manifest.mask_height, manifest.mask_width)
    assert set(np.unique(mask)) == {0, 1}
    assert manifest.tissue_fraction == pytest.approx(mask.mean())
    assert 0.5 < manifest.area_mm2 < 0.8  # of 1.64 mm2, as one sees in the picture
    assert manifest.area_mm2 == pytest.approx(
        mask.sum() * (manifest.mask_mpp / 1000) ** 2, rel=0.01
    )
    shapes = outlines(sample)
    assert len(shapes) == manifest.pieces
    assert all(shape.is_valid for shape in shapes)
    um2 = sum(shape.area for shape in shapes) * manifest.slide.mpp**2
    assert um2 / 1e6 == pytest.approx(manifest.area_mm2, rel=0.02)


def test_the_mask_is_an_ome_zarr_label_image_with_a_pyramid(
    sample_slide: Path, tmp_path: Path
) -> None:
    path = tmp_path / "wide.tif"
    write_synthetic_slide(path, width_px=9000, height_px=1000, mpp=0.5, nuclei=20)
    made = tissue(path, tmp_path / "out")
    made.run()
    group = zarr.open_group(str(made.out / "tissue.zarr"), mode="r")
    ImageLabel.from_zarr(group)
    levels = [group[str(n)][:] for n in range(len(list(group.array_keys())))]
    assert len(levels) == 3
    for fine, coarse in pairwise(levels):
        np.testing.assert_array_equal(coarse, fine[::2, ::2])
    multiscale = group.attrs["ome"]["multiscales"][0]
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [manifest_of(made).mask_mpp] * 2


def test_the_area_counts_no_pixel_beyond_the_slide(tmp_path: Path) -> None:
    """1001 px at 0.5 um is no multiple of the mask's pixels; all of it is tissue."""
    path = tmp_path / "full.tif"
    pink = np.full((1001, 1003, 3), (225, 150, 200), np.uint8)
    tifffile.imwrite(path, pink, tile=(256, 256), photometric="rgb", metadata=None)
    made = tissue(path, tmp_path / "out", 0.5)
    made.run()
    assert manifest_of(made).area_mm2 == pytest.approx(1001 * 1003 * 0.25 / 1e6)
    (outline,) = outlines(made)
    assert outline.bounds == (0, 0, 1003, 1001)


def test_glass_has_no_tissue(tmp_path: Path) -> None:
    path = tmp_path / "glass.tif"
    glass = np.full((600, 700, 3), 243, np.uint8)
    tifffile.imwrite(path, glass, tile=(256, 256), photometric="rgb", metadata=None)
    made = tissue(path, tmp_path / "out", 0.5)
    made.run()
    manifest = manifest_of(made)
    assert (manifest.area_mm2, manifest.pieces, manifest.tissue_fraction) == (0, 0, 0)
    assert outlines(made) == []


def test_outlines_are_in_the_viewers_frame(bounded_slide: Path, tmp_path: Path) -> None:
    """QuPath begins at the corner of OpenSlide's bounds."""
    made = tissue(bounded_slide, tmp_path / "out", MPP)
    made.run()
    slide = manifest_of(made).slide
    assert (slide.bounds_x, slide.bounds_y) == LEICA_AT
    x0, y0, x1, y1 = shapely.total_bounds(outlines(made))
    near = 2 * manifest_of(made).mask_mpp / MPP  # of two px of the mask, which is smoothed
    assert min(x0, y0) > -near
    assert max(x1, y1) < 480 + near


@pytest.mark.parametrize(
    ("params", "larger"),
    [
        ({"threshold": 90}, False),
        ({"threshold": 8}, True),
        ({"close_um": 0.0, "hole_um2": 0.0}, False),
        ({"close_um": 60.0}, True),
    ],
)
def test_parameters_do_what_they_say(
    sample: Attempt, sample_slide: Path, tmp_path: Path, params: dict[str, Any], larger: bool
) -> None:
    made = tissue(sample_slide, tmp_path / "out", **params)
    made.run()
    usual, changed = manifest_of(sample), manifest_of(made)
    assert (changed.area_mm2 > usual.area_mm2) == larger
    assert changed.area_mm2 != usual.area_mm2
    assert changed.fingerprint != usual.fingerprint


def test_small_pieces_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "specks.tif"
    picture = np.full((2000, 2000, 3), 243, np.uint8)
    for at, side in ((200, 400), (1000, 200), (1500, 100)):
        picture[at : at + side, at : at + side] = (225, 150, 200)
    tifffile.imwrite(path, picture, tile=(256, 256), photometric="rgb", metadata=None)
    pieces = {}
    for speck_um2 in (0.0, 5_000.0, 20_000.0):
        made = tissue(path, tmp_path / f"out{speck_um2:g}", 0.5, speck_um2=speck_um2)
        made.run()
        pieces[speck_um2] = manifest_of(made).pieces
    assert pieces == {0.0: 3, 5_000.0: 2, 20_000.0: 1}


def test_it_can_be_killed_anywhere(crop: Path, tmp_path: Path) -> None:
    made = tissue(crop, tmp_path / "out", MPP)
    assert killed_anywhere(made.plan, made.assemble, made.publish) > 15
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    again = tissue(crop, tmp_path / "again", MPP)
    again.run()
    assert manifest_of(made).checksum == manifest_of(again).checksum
    assert made.plan() == stages.Planned(manifest_of(made).fingerprint, ())  # a stale twin
    assert made.assemble().checksum == made.publish().checksum


def test_what_is_refused(crop: Path, sample: Attempt, tmp_path: Path) -> None:
    with pytest.raises(MppMissing):
        tissue(crop, tmp_path / "out").plan()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputNotEmpty):
        replace(sample, job="job-other").plan()


def test_who_asks_a_mask_for_cells_is_told_what_it_is(sample: Attempt) -> None:
    for ask in (read_manifest, CellFolder, Report):
        with pytest.raises(NotFound, match="are a tissue mask and hold no cells"):
            ask(sample.out)


def test_a_mask_in_the_making_has_no_cells_either(crop: Path, tmp_path: Path) -> None:
    made = tissue(crop, tmp_path / "out", MPP)
    made.plan()
    with pytest.raises(NotFound, match="makes a tissue mask and has no cells"):
        CellFolder(made.staging)


def test_noise_that_counts_as_tissue_is_outlined_coarsely() -> None:
    mask = np.random.default_rng(1).random((700, 700)) < 0.5
    pieces = pieces_of(mask)
    assert len(pieces) > 1000
    assert all(piece.is_valid for piece in pieces)
    corners = np.concatenate([shapely.get_coordinates(piece) for piece in pieces])
    assert (corners % 2 == 0).all()  # every second px was looked at
    assert sum(piece.area for piece in pieces) == pytest.approx(mask.sum(), rel=0.02)


def test_the_picture_shows_the_slide_with_glass_faded(sample: Attempt) -> None:
    with Image.open(sample.out / "preview.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert max(pixels.shape[:2]) > 1000
    faded = (np.abs(pixels - 215) < 6).all(axis=2).mean()
    assert 0.35 < faded < 0.7
