"""Engine instanseg on one core and a dense 512 px tile, beside the package's forward pass."""

from __future__ import annotations

import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from figures import Figure

from raysched.imaging.accuracy import overlap, tally
from raysched.imaging.instanseg import export
from raysched.imaging.instanseg.cells import METADATA, Facts, Thresholds, find_cells
from raysched.imaging.instanseg.engine import InstansegEngine
from raysched.imaging.instanseg.onnx_net import OnnxNet, in_8_bits
from raysched.imaging.instanseg.pixels import normalised, percentiles, tissue

SIDE, NUCLEI, REPEATS = 512, 400, 3
MPX = SIDE**2 / 1e6
TESTS = Path(__file__).parents[2] / "tests" / "imaging"
F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]


def measure() -> Iterator[Figure]:
    """CPU time on one thread. The published weights cannot be downloaded everywhere, so the
    backbone is one of their architecture with random weights, and what follows it is given what a
    trained one would say of a made-up label image."""
    sys.path.insert(0, str(TESTS))
    warnings.simplefilter("ignore")
    import tiny_instanseg as tiny
    import torch

    torch.set_num_threads(1)
    backbone, classifier = _unet(), tiny.classifier()
    said = _as_trained(_nuclei())
    whole = tiny.stock_module(_costly(backbone, said, classifier))
    pixels = normalised(tissue(7, SIDE), percentiles(tissue(7, SIDE).reshape(-1, 3)))
    layers = [each.detach().numpy() for each in classifier.parameters()]
    facts = Facts(2, 2, 1, both=False, layers=_rows(layers))
    data = _onnx(backbone, facts)
    nets = {"fp32": OnnxNet(data, 1), "int8": OnnxNet(in_8_bits(data), 1)}

    def after() -> I32:
        return find_cells(said, facts, "nuclei", Thresholds(least_px=0))

    with torch.inference_mode():
        eager = _seconds(lambda: backbone(torch.from_numpy(pixels[None])))
    stock = _seconds(lambda: tiny.answered(whole, pixels), 1)
    backbones = {name: _seconds(lambda net=net: net(pixels[None])) for name, net in nets.items()}
    for name, seconds in backbones.items():
        yield Figure(f"backbone, {name}", MPX / seconds, "Mpx/s", MPX / eager, better="more")
    cells = _seconds(after)
    yield Figure(f"backbone to cells, {after().max()} of them", cells, "s", stock - eager)
    for name, seconds in backbones.items():
        ours = seconds + cells
        yield Figure(f"pixels to cells, {name}", MPX / ours, "Mpx/s", MPX / stock, better="more")
        yield Figure(f"times as fast, {name}", stock / ours, "", better="more")
    theirs = tiny.answered(whole, pixels)
    yield Figure(
        "agreement with the package, F1 at IoU 0.5", _f1(after(), theirs), "", better="more"
    )
    raw = [net(pixels[None]).ravel() for net in nets.values()]
    alike = float(np.corrcoef(*raw)[0, 1])
    yield Figure("int8 and fp32 of the random backbone, correlation", alike, "", better="more")
    yield Figure("int8 and fp32 of the tests' model, F1", _in_8_bits(tiny), "", better="more")


def _seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def _f1(one: I32, other: I32) -> float:
    return tally(overlap(one, other)).f1(0.5)


def _unet() -> Any:
    import torch
    from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet

    torch.manual_seed(0)
    net = InstanSeg_UNet(3, [[2, 2, 1]], layers=[256, 128, 64, 32], norm="BATCH").eval()
    return torch.jit.trace(net, torch.zeros(1, 3, 256, 256))


def _costly(backbone: Any, said: F32, classifier: Any) -> Any:
    """A backbone that takes the time of one, and then says what it was given."""
    import torch

    class Costly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.pixel_classifier = backbone, classifier
            self.register_buffer("said", torch.from_numpy(said[None]))

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.pad(
                self.said, [0, x.shape[-1] - SIDE, 0, x.shape[-2] - SIDE]
            ) + 0.0 * self.backbone(x)

    return Costly()


def _onnx(backbone: Any, facts: Facts) -> bytes:
    import json

    import onnx

    stream = io.BytesIO()
    export._write_onnx(backbone, stream)
    model = onnx.load_from_string(stream.getvalue())
    model.metadata_props.add(key=METADATA, value=json.dumps(facts.as_json()))
    return bytes(model.SerializeToString())


def _rows(parameters: list[Any]) -> Any:
    pairs = zip(parameters[::2], parameters[1::2], strict=True)
    return tuple(tuple(map(tuple, np.column_stack(pair).tolist())) for pair in pairs)


def _nuclei() -> I32:
    """Ellipses that do not overlap, as many as dense tissue has: (SIDE, SIDE) labels."""
    random, labels, number = np.random.default_rng(0), np.zeros((SIDE, SIDE), np.int32), 0
    while number < NUCLEI:
        x, y = random.uniform(0, SIDE, 2)
        longer = random.uniform(6, 11)
        axes = (round(longer), round(longer * random.uniform(0.6, 1.0)))
        drawn = np.zeros(labels.shape, np.uint8)
        cv2.ellipse(drawn, (round(x), round(y)), axes, random.uniform(0, 180), 0, 360, 1, -1)
        if drawn.sum() > 30 and not labels[drawn > 0].any():
            number += 1
            labels[drawn > 0] = number
    return labels


def _as_trained(labels: I32) -> F32:
    """What a trained backbone says of such nuclei, (5, h, w): where their middle lies, that they
    are there, and how deep inside a px is; with some noise."""
    y, x = np.indices(labels.shape)
    inside, size = labels > 0, np.maximum(np.bincount(labels.ravel()), 1)
    middle = [np.bincount(labels.ravel(), axis.ravel()) / size for axis in (x, y)]
    fields = []
    for axis, centre in zip((x, y), middle, strict=True):
        towards = np.where(inside, (centre[labels] - axis) * 0.25, 0.0) / 8 + 0.5
        fields.append(np.log(towards / (1 - towards)))
    edges = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3))) == 0
    depth = cv2.distanceTransform((inside & edges).astype(np.uint8), cv2.DIST_L2, 5)
    there = np.where(inside, 1.0, -4.0)
    raw = np.stack([*fields, there, there, np.where(inside, 1.5 * depth, -8.0)])
    raw += np.random.default_rng(1).normal(0, 0.3, raw.shape)
    return np.stack([cv2.GaussianBlur(each, (0, 0), 1.0) for each in raw]).astype(np.float32)


def _in_8_bits(tiny: Any) -> float:
    """Cells of made-up tissue in 8 bits against those in 32, by the small model of the tests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = str(tiny.write_model(folder / "tiny.pt"))
        engine, rgb = InstansegEngine(folder / "cache"), tissue(9, SIDE)
        both = [tiny.found(engine, rgb, weights=path, precision=p) for p in ("int8", "fp32")]
    return _f1(*both)
