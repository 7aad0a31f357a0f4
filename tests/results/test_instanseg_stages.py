"""Engine ``instanseg`` through the stages: in batches, whatever is in a chunk."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from raysched.errors import EngineFailed
from raysched.imaging.request import SegmentationRequest
from raysched.imaging.synthetic import write_synthetic_slide
from raysched.results import stages
from raysched.results.care import careful
from raysched.results.manifest import read_manifest
from tests.results.conftest import Attempt, never

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging"))
from tiny_instanseg import write_model


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    write_synthetic_slide(path, width_px=700, height_px=500, tissue="full", nuclei=130, seed=4)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.pt")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))


def attempt(slide: Path, out: Path, weights: Path, chunk_tiles: int) -> Attempt:
    request = SegmentationRequest(
        slide=str(slide),
        out=str(out),
        engine="instanseg",
        params={"weights": str(weights)},
        tile_px=160,
        chunk_tiles=chunk_tiles,
    )
    return Attempt(request)


def test_the_result_is_the_same_however_tiles_are_batched(
    slide: Path, weights: Path, tmp_path: Path
) -> None:
    checksums = []
    for chunk_tiles in (1, 3, 20):
        each = attempt(slide, tmp_path / f"out{chunk_tiles}", weights, chunk_tiles)
        published = each.run()
        manifest = read_manifest(each.out)
        assert manifest is not None
        assert (manifest.engine, len(manifest.counts.tiles_failed)) == ("instanseg", 0)
        assert published.cells > 100
        checksums.append(published.checksum)
    assert checksums == checksums[:1] * 3


def test_it_is_asked_whether_to_stop_before_each_batch(
    slide: Path, weights: Path, tmp_path: Path
) -> None:
    each = attempt(slide, tmp_path / "out", weights, 20)
    assert each.plan().chunk_tiles == (20,)
    asked = []

    def count() -> bool:
        asked.append(len(asked))
        return len(asked) == 3

    with pytest.raises(stages.Stopped):
        stages.segment_chunk(each.request, each.job, 0, count)
    assert asked == [0, 1, 2]  # of 8 tiles, 8 and 4
    assert stages.segment_chunk(each.request, each.job, 0, never).cells > 100


def test_bad_weights_fail_the_job_before_anything_is_left(slide: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt"
    cut.write_bytes(b"PK\x03\x04 and then nothing")
    each = attempt(slide, tmp_path / "out", cut, 4)
    with pytest.raises(EngineFailed, match="is no whole TorchScript file") as caught:
        each.plan()
    assert json.loads(json.dumps(caught.value.facts)) == {"engine": "instanseg"}
    assert not each.out.exists() and not each.staging.exists()


def test_where_memory_is_spared_tiles_go_to_the_network_one_by_one(
    slide: Path, weights: Path, tmp_path: Path
) -> None:
    asked = []
    for name, is_so in (("usual", False), ("spared", True)):
        each = attempt(slide, tmp_path / name, weights, 20)
        (tiles,) = each.plan().chunk_tiles
        stops: list[bool] = []
        with careful(is_so):
            receipt = stages.segment_chunk(
                each.request, each.job, 0, lambda told=stops: bool(told.append(False))
            )
        asked.append((len(stops), receipt.checksum))
    (few, usual), (many, spared) = asked
    assert few < many == tiles + 1  # it looks once more before the chunk is kept
    assert spared == usual
