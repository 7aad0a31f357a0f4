"""Engine ``instanseg``: which weights it takes, how it comes by them, what it loads and when."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_instanseg as tiny
from tiny_instanseg import f1, found, overview, torch

from raysched.errors import EngineFailed
from raysched.imaging.asking import run_engine_on
from raysched.imaging.engine import load_engine
from raysched.imaging.instanseg import nets
from raysched.imaging.instanseg.engine import InstansegEngine, InstansegParams
from raysched.imaging.instanseg.pixels import normalised, padded, percentiles, tissue
from raysched.imaging.instanseg.torch_net import TorchNet
from raysched.imaging.instanseg.weights import weights_file
from raysched.imaging.processors import usable_cpus

# --- weights that are not what they should be -----------------------------------------------------


def refusal(engine: InstansegEngine, path: Path, **params: Any) -> EngineFailed:
    with pytest.raises(EngineFailed) as caught:
        engine.prepare(
            overview(tissue(1)), 0.5, InstansegParams(**{"weights": str(path), **params})
        )
    assert caught.value.facts == {"engine": "instanseg"}
    assert "\n" not in caught.value.message + caught.value.remedy
    return caught.value


def test_no_file(engine: InstansegEngine, tmp_path: Path) -> None:
    assert "There are no InstanSeg weights at" in refusal(engine, tmp_path / "none.pt").message


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file(
    engine: InstansegEngine, weights: Path, tmp_path: Path, kept: float
) -> None:
    path, data = tmp_path / "cut.pt", weights.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    assert "is no whole TorchScript file" in refusal(engine, path).message


def test_a_file_of_another_kind(engine: InstansegEngine, tmp_path: Path) -> None:
    text, archive, state = (tmp_path / name for name in ("a.txt", "a.zip", "state.pt"))
    text.write_text("weights")
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("instanseg.pt", "weights")
    torch.save({"fc1.weight": torch.zeros(3)}, state)
    for path in (text, archive, state):
        assert "is no whole TorchScript file" in refusal(engine, path).message


class Bare(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x


class OtherClassifier(tiny.TinyBackbone):
    def __init__(self, layers: tuple[int, ...]) -> None:
        super().__init__()
        for i, (here, there) in enumerate(pairwise(layers), 1):
            setattr(self.pixel_classifier, f"fc{i}", torch.nn.Linear(here, there))


class GrayBackbone(tiny.TinyBackbone):
    def forward(self, x: Any) -> Any:
        return super().forward(x)[:, :4]


class RestlessBackbone(tiny.TinyBackbone):
    """Not the same in batches of another size, and not in two dimensions."""

    def forward(self, x: Any) -> Any:
        return super().forward(x).flatten(1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Bare, "it has no 'dim_coords'"),
        (
            lambda: tiny.stock_module(OtherClassifier((4, 6, 5, 1))),
            "its pixel classifier has layers of 6 x 4, 5 x 6, 1 x 5",
        ),
        (
            lambda: tiny.stock_module(OtherClassifier((3, 6, 6, 1))),
            "its pixel classifier takes 3 features, not its 2 coordinates and 2 sigmas",
        ),
        (
            lambda: tiny.stock_module(GrayBackbone()),
            r"its backbone makes \(1, 4, 64, 64\) of 64 px, not \(1, 5, 64, 64\)",
        ),
        (
            lambda: tiny.stock_module(RestlessBackbone()),
            r"its backbone makes \(1, 20480\) of 64 px",
        ),
        (
            lambda: tiny.stock_module(tiny.TinyBackbone(), cells_and_nuclei=True),
            r"not \(1, 10, 64, 64\)",
        ),
        (
            lambda: tiny.stock_module(tiny.TinyBackbone(), pixel_size=0.25),
            "it wants 0.25 um/px, and tiles have 0.5",
        ),
        (
            lambda: tiny.stock_module(tiny.TinyBackbone(), params={"mask_threshold": 0.999}),
            "its own forward pass finds 0 cells, this engine",
        ),
    ],
)
def test_a_model_of_another_interface(
    engine: InstansegEngine, tmp_path: Path, make: Any, words: str
) -> None:
    path = tmp_path / "other.pt"
    tiny.save(make(), path)
    error = refusal(engine, path)
    assert "is TorchScript, but no InstanSeg model that is known here" in error.message
    assert re.search(words, error.message), error.message


def test_a_model_that_finds_no_cells_but_nuclei(engine: InstansegEngine, weights: Path) -> None:
    assert "finds nuclei only" in refusal(engine, weights, target="cells").message


def test_weights_with_another_hash_than_was_said(engine: InstansegEngine, weights: Path) -> None:
    assert "do not have the SHA-256" in refusal(engine, weights, sha256="0" * 64).message


def test_a_worker_with_other_weights_than_the_plan(
    engine: InstansegEngine, weights: Path, both_kinds: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(weights.read_bytes())
    params, rgb = InstansegParams(weights=str(path)), tissue(1)
    context = engine.prepare(overview(rgb), 0.5, params)
    path.write_bytes(both_kinds.read_bytes())
    with pytest.raises(EngineFailed, match="but the slide was planned with"):
        engine.segment(rgb, 0.5, context, params)


# --- weights by name ------------------------------------------------------------------------------


@pytest.fixture
def release(tmp_path: Path, weights: Path) -> Iterator[str]:
    """A server with an archive as the publisher has them."""
    site = tmp_path / "site"
    site.mkdir()
    with zipfile.ZipFile(site / "brightfield_nuclei.zip", "w") as archive:
        archive.writestr("brightfield_nuclei/rdf.yaml", "name: tiny")
        archive.write(weights, "brightfield_nuclei/instanseg.pt")
    (site / "fluorescence_nuclei_and_cells.zip").write_text("no archive")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_named_weights_are_downloaded_once_and_only_with_their_hash(
    release: str, weights: Path, tmp_path: Path
) -> None:
    cache, named = tmp_path / "cache", "brightfield_nuclei"
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(EngineFailed, match="are not downloaded without a hash") as refused:
        weights_file(named, None, None, cache, release=release)
    assert "sha256" in refused.value.remedy
    with pytest.raises(EngineFailed, match=f"has SHA-256 {sha256}, not 000"):
        weights_file(named, None, "0" * 64, cache, release=release)
    assert not cache.exists()
    path = weights_file(named, None, sha256, cache, release=release)
    assert path.read_bytes() == weights.read_bytes()
    assert [each.name for each in cache.iterdir()] == [f"{named}.pt"]
    for again in (None, sha256):
        assert weights_file(named, None, again, cache, release="http://127.0.0.1:9") == path
    with pytest.raises(EngineFailed, match="do not have the SHA-256"):
        weights_file(named, None, "0" * 64, cache)


@pytest.mark.parametrize(
    ("name", "words"),
    [("fluorescence_nuclei_and_cells", "is no archive with"), ("other", "404")],
)
def test_a_download_that_brings_no_weights(
    release: str, tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(EngineFailed, match=words):
        weights_file(name, None, "0" * 64, tmp_path / "cache", release=release)


# --- what is loaded, when, and how ----------------------------------------------------------------


def test_one_model_is_kept_and_made_from_the_cache_without_pytorch(
    folder: Path, weights: Path
) -> None:
    first, again = (nets.loaded(weights, "cpu", "fp32", folder / "cache") for _ in range(2))
    assert first is again
    code = """
import sys
from pathlib import Path
from raysched.imaging.instanseg import engine, nets
assert not {"torch", "onnxruntime", "onnx"} & set(sys.modules), "loaded before they are needed"
model = nets.loaded(Path(sys.argv[1]), "cpu", "fp32", Path(sys.argv[2]))
assert model.net.facts.agreement == 1.0
print("torch" in sys.modules, "onnxruntime" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(weights), str(folder / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_damaged_cache_is_made_anew_and_one_that_cannot_be_written_is_done_without(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    kept: dict[Any, Any] = {}
    monkeypatch.setattr(nets, "_kept", kept)
    whole = nets.loaded(weights, "cpu", "fp32", cache)
    (path,) = cache.glob("*.onnx")
    data = path.read_bytes()
    path.write_bytes(data[:1000] + b"?" + data[1001:])
    kept.clear()
    assert nets.loaded(weights, "cpu", "fp32", cache).net.facts == whole.net.facts
    assert path.read_bytes() != data[:1000] + b"?" + data[1001:]
    kept.clear()
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert nets.loaded(weights, "cpu", "fp32", blocked / "cache").net.facts == whole.net.facts


def test_in_8_bits_nearly_the_same_cells_are_found(engine: InstansegEngine, weights: Path) -> None:
    rgb = tissue(9, 512)
    full, small = (
        found(engine, rgb, weights=str(weights), precision=each) for each in ("fp32", "int8")
    )
    assert len(np.unique(full)) > 50
    assert f1(small, full) > 0.95
    assert not np.array_equal(small, full), "it ran in 32 bits"
    params = InstansegParams(weights=str(weights), precision="int8")
    context = engine.prepare(overview(rgb), 0.5, params)
    with pytest.raises(EngineFailed, match="has InstanSeg with net_sha256"):
        engine.segment(rgb, 0.5, {**context, "net_sha256": "0" * 64}, params)


def test_who_asks_for_a_gpu_is_never_given_a_cpu(engine: InstansegEngine, weights: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    error = refusal(engine, weights, device="cuda")
    assert "PyTorch sees no CUDA" in error.message
    assert "device=cpu" in error.remedy
    params, rgb = InstansegParams(weights=str(weights), device="auto"), tissue(1)
    context = engine.prepare(overview(rgb), 0.5, params)
    assert (context["device"], context["precision"]) == ("cpu", "fp32")
    planned = {**context, "device": "cuda", "precision": "fp16"}
    with pytest.raises(EngineFailed, match="PyTorch sees no CUDA"):
        engine.segment(rgb, 0.5, planned, params)


@pytest.mark.parametrize(("half", "least"), [(False, 1.0), (True, 0.97)])
def test_the_path_for_a_gpu_finds_the_same_cells_in_the_same_order(
    folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, half: bool, least: float
) -> None:
    """Its code on a CPU: there is no GPU here. What it computes in 16 bits differs a little."""
    engine, params = InstansegEngine(folder / "cache"), InstansegParams(weights=str(weights))
    whole = tissue(5, 320)
    tiles = [whole[:256, :256], whole[64:, 64:], whole[:200], whole[32:288, 32:288]]
    context = engine.prepare(overview(whole), 0.5, params)
    wanted = run_engine_on(engine, tiles, 0.5, context, params)
    facts = nets.loaded(weights, "cpu", "fp32", folder / "cache").net.facts
    net = TorchNet(weights, facts, torch.device("cpu"), half=half)
    pixels = normalised(tiles[0], np.array(context["ends"]))[None]
    exact = nets.loaded(weights, "cpu", "fp32", folder / "cache").net(pixels)
    assert np.allclose(net(pixels), exact, atol=0.2 if half else 1e-4)
    assert np.allclose(net(pixels), exact, atol=1e-4) != half
    sha256 = context["weights_sha256"]
    kept = {(sha256, "cuda", "fp16", usable_cpus()): nets.Loaded(net, sha256, "")}
    monkeypatch.setattr(nets, "_kept", kept)
    planned = {**context, "device": "cuda", "precision": "fp16"}
    found_here = run_engine_on(engine, tiles, 0.5, planned, params)
    for mine, theirs in zip(found_here, wanted, strict=True):
        assert f1(mine, theirs) >= least
        assert theirs.max() > 5


def test_a_precision_that_a_device_does_not_have(engine: InstansegEngine, weights: Path) -> None:
    error = refusal(engine, weights, precision="fp16")
    assert error.remedy == "Choose precision fp32 or int8, or auto."


def test_the_context_is_the_slide_s(engine: InstansegEngine, weights: Path) -> None:
    rgb = tissue(1)
    context = engine.prepare(overview(rgb), 0.5, InstansegParams(weights=str(weights)))
    assert context == json.loads(json.dumps(context))
    assert context["ends"] == percentiles(rgb[::2, ::2].reshape(-1, 3)).tolist()
    assert context["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert context["agreement"] == 1.0


def test_pixels_are_scaled_by_the_slide_and_cut_off_far_out() -> None:
    ends = np.array([[100.0, 50.0, 0.0], [200.0, 50.0, 255.0]])
    rgb = np.array([[[100, 50, 0], [200, 51, 255], [0, 0, 51]]], np.uint8)
    assert np.allclose(
        normalised(rgb, ends)[:, 0].T, [[0, 0, 0], [1, 3, 1], [-1, -2, 0.2]], atol=1e-6
    )
    assert padded(rgb, 32).shape == (32, 32, 3)
    assert percentiles(rgb[0, :0]).tolist() == [[0.0] * 3, [255.0] * 3]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    load_engine.cache_clear()
    with pytest.raises(EngineFailed, match="needs onnxruntime") as caught:
        load_engine("instanseg")
    assert "pip install 'raysched[instanseg]'" in caught.value.remedy
