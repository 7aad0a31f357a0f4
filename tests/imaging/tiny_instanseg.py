"""A small model with the interface of InstanSeg's that really finds dark round nuclei.

Its backbone is a few fixed convolutions; around it is the package's own TorchScript module, so the
file has what published ones have, its forward pass too. Where that is not installed the tests that
need it are skipped: ``scripts/setup-engines`` installs it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysched.imaging.accuracy import overlap, tally
from raysched.imaging.engine import Overview

torch = pytest.importorskip("torch", reason="needs torch: scripts/setup-engines")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: scripts/setup-engines")
pytest.importorskip("onnx", reason="needs onnx: scripts/setup-engines")

BLOCK_PX = 32
WIDTH = 6


class TinyBackbone(torch.nn.Module):
    """Darkness, blurred: its height has peaks in the middle of nuclei, its slope points there.

    As a U-Net does it also looks at blocks of 32 px counted from the corner, a little.
    """

    def __init__(self, *, kinds: int = 1, two_seeds: bool = False) -> None:
        super().__init__()
        self.kinds, self.two_seeds = kinds, two_seeds
        self.register_buffer("wide", gaussian(4.0, 12))
        self.register_buffer("fine", gaussian(1.0, 4))
        self.pixel_classifier = classifier()

    def forward(self, x: Any) -> Any:
        dark = (1.0 - x[:, :1]).clamp(-1.0, 1.0)
        near = torch.nn.functional.conv2d(dark, self.fine, padding=4)
        height = torch.nn.functional.conv2d(dark, self.wide, padding=12)
        block = torch.nn.functional.avg_pool2d(dark, BLOCK_PX)
        height = height + 0.1 * torch.nn.functional.interpolate(block, scale_factor=float(BLOCK_PX))
        right = torch.nn.functional.pad(height, [0, 1, 0, 0])[..., 1:] - height
        down = torch.nn.functional.pad(height, [0, 0, 0, 1])[..., 1:, :] - height
        shape = 8.0 * (near - 0.35)
        seeds = 30.0 * (height - 0.3)
        maps = [3.0 * right, 3.0 * down, shape, shape, seeds]
        if self.two_seeds:
            maps.append(20.0 * (near - 0.3))
        kinds = [torch.cat(maps, 1)]
        if self.kinds == 2:  # "cells" are what is a little larger
            maps[2:4] = [shape + 1.5, shape + 1.5]
            kinds.append(torch.cat(maps, 1))
        return torch.cat(kinds, 1)


def gaussian(sigma: float, reach: int) -> Any:
    """A blurring kernel (1, 1, 2 reach + 1, 2 reach + 1)."""
    along = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = along[:, None] * along[None]
    return (kernel / kernel.sum())[None, None]


def classifier() -> Any:
    """A pixel is a seed's if it is dark and not far: |dx| + |dy| as sums of what is above 0."""
    net = stock().ProbabilityNet(4, WIDTH)
    with torch.no_grad():
        for each in net.parameters():
            each.zero_()
        for unit, (feature, sign) in enumerate([(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (3, 1)]):
            net.fc1.weight[unit, feature] = sign
            net.fc2.weight[unit, unit] = 1.0
        net.fc1.bias[4:] = 10.0
        net.fc3.weight[0] = torch.tensor([-0.4, -0.4, -0.4, -0.4, 0.5, 0.5])
        net.fc3.bias[0] = -9.5
    return net


def stock() -> Any:
    """The module of the package in which its networks are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is written for older versions
        return pytest.importorskip(
            "instanseg.utils.loss.instanseg_loss",
            reason="needs instanseg-torch: scripts/setup-engines",
        )


def stock_module(backbone: Any, **more: Any) -> Any:
    """The package's module around a backbone, as it is published."""
    facts = {"pixel_size": 0.5, "n_sigma": 2, "dim_coords": 2, "dim_seeds": 1, **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return stock().InstanSeg_Torchscript(backbone, **facts).eval()


def write_model(path: Path, **more: Any) -> Path:
    """A whole model file, as a person would have it."""
    both, two = more.get("cells_and_nuclei", False), more.get("dim_seeds", 1) == 2
    module = stock_module(TinyBackbone(kinds=2 if both else 1, two_seeds=two), **more)
    save(module, path)
    return path


def save(module: Any, path: Path) -> None:
    """A module as a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))


def stock_labels(path: Path, pixels: np.ndarray, **more: Any) -> np.ndarray:
    """What a model file itself says of normalised pixels (3, h, w): (h, w) int32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return answered(torch.jit.load(str(path)), pixels, **more)


def answered(model: Any, pixels: np.ndarray, **more: Any) -> np.ndarray:
    """The same of a model in memory."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # sparse tensors are called new, and unchecked
        found = model(torch.from_numpy(pixels[None].copy()), **more)
    return found[0, 0].numpy().astype(np.int32)


def overview(rgb: np.ndarray) -> Overview:
    """A picture as a whole slide, all of it tissue."""
    small = rgb[::4, ::4].copy()
    whole = np.ones(small.shape[:2], np.bool_)
    return Overview(small, whole, 2.0, rgb[::2, ::2].reshape(-1, 3).copy())


def found(engine: Any, rgb: np.ndarray, **params: Any) -> np.ndarray:
    """The cells that the engine finds in a picture, also the smallest."""
    chosen = engine.Params(**{"min_area_um2": 0.0, **params})
    context = engine.prepare(overview(rgb), 0.5, chosen)
    return engine.segment(rgb, 0.5, context, chosen)


def f1(one: np.ndarray, other: np.ndarray, least: float = 0.5) -> float:
    """Agreement of two label images."""
    return tally(overlap(one, other)).f1(least)
