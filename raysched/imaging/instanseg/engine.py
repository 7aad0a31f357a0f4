"""Engine ``instanseg``: nuclei or cells by a U-Net and a small network that asks it (Goldsborough
et al. 2024, arXiv:2408.15954), with the models that its authors publish as TorchScript.

What depends on the slide (percentiles of each channel) is computed once in ``prepare``. Tiles of
one size go through the backbone together; what follows is compiled (``kernels.seeds``).

How far it looks: the published backbone has four levels with four 3 x 3 convolutions on each way
down and up, 4 (1 + 2 + 4) px down, 4 * 8 px at the bottom, 4 (4 + 2 + 1) px up: 88, and 7 for the
pooling, so 96 px. Around a seed pixels count up to 32 px away, and so do the seeds that they are
contested by. Hence 128 px, 64 um: exact for a nucleus whose pixels and whose rivals' seeds lie
within 32 px of its centroid, as nuclei do. A level lower has pixels of 8 px of the tile, so tiles
begin at multiples of 32 px, which the published models say they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field

from raysched.imaging.classical import STAIN_TABLES
from raysched.imaging.engine import Labels, Overview, Rgb
from raysched.imaging.instanseg import nets
from raysched.imaging.instanseg.cells import Thresholds, find_cells
from raysched.imaging.instanseg.pixels import F64, normalised, padded, percentiles
from raysched.imaging.instanseg.weights import failed, weights_file

F32 = npt.NDArray[np.float32]

NEEDED = ("torch", "onnxruntime", "onnx")


class InstansegParams(BaseModel):
    """Parameters of the engine ``instanseg``; thresholds as the reference has them."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Literal["brightfield_nuclei", "fluorescence_nuclei_and_cells"] = Field(
        default="brightfield_nuclei", description="whose weights, where no path is given"
    )
    weights: str | None = Field(
        default=None,
        description="path of TorchScript weights, the same on all nodes",
        json_schema_extra={"format": "path"},  # over HTTP only what the operator allows
    )
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="what the weights must hash to; needed to download them",
    )
    target: Literal["nuclei", "cells"] = Field(default="nuclei", description="what to find")
    device: Literal["cpu", "cuda", "auto"] = Field(
        default="cpu", description="where; auto takes CUDA where planning sees it"
    )
    precision: Literal["auto", "fp32", "int8", "fp16"] = Field(
        default="auto", description="auto: fp32 on a CPU, fp16 on CUDA"
    )
    seed_threshold: float = Field(
        default=0.7, ge=0.5, le=5.0, description="least height of a seed; 0.5 is the edge of a cell"
    )
    mask_threshold: float = Field(
        default=0.53, ge=0.05, le=0.99, description="least share of a seed in a pixel"
    )
    overlap_threshold: float = Field(
        default=0.3, ge=0.05, le=1.0, description="seeds that overlap more are one cell"
    )
    fg_threshold: float = Field(
        default=0.5, ge=0.05, le=0.95, description="least foreground, where the model tells it"
    )
    peak_distance_px: int = Field(
        default=5, ge=1, le=20, description="least distance of two seeds, px of 0.5 um"
    )
    min_area_um2: float = Field(default=2.5, ge=0.0, le=100.0, description="smallest cell, um2")


class InstansegEngine:
    """See the module. ``cache``: folder of weights and exported backbones; default: the user's."""

    name: ClassVar[str] = "instanseg"
    version: ClassVar[str] = "1"
    Params: ClassVar[type[BaseModel]] = InstansegParams
    target_mpp: ClassVar[float] = 0.5
    halo_um: ClassVar[float] = 64.0
    align_px: ClassVar[int] = 32
    batch: ClassVar[int] = 8

    def __init__(self, cache: Path | None = None) -> None:
        lacking = [name for name in NEEDED if find_spec(name) is None]
        if lacking:
            raise failed(
                f"Engine 'instanseg' needs {', '.join(lacking)}.",
                "Install it on all nodes: pip install 'raysched[instanseg]'.",
            )
        self._given = cache

    def prepare(
        self,
        overview: Overview,
        mpp: float,  # noqa: ARG002 - the protocol's; the model has one scale
        params: BaseModel,
    ) -> dict[str, Any]:
        """The slide's percentiles, and which model finds its cells, where and how.

        Raises ``EngineFailed`` when the weights are not to be had or not InstanSeg's, and when
        CUDA is asked for and not there.
        """
        assert isinstance(params, InstansegParams)
        device = _device(params)
        precision = nets.RUNS_IN[device][0] if params.precision == "auto" else params.precision
        model = self._loaded(params, device, precision)
        facts = model.net.facts
        if params.target == "cells" and not facts.both:
            raise failed(
                "This InstanSeg model finds nuclei only.",
                "Say target=nuclei, or use fluorescence_nuclei_and_cells.",
            )
        return {
            "ends": percentiles(overview.samples).tolist(),
            "weights_sha256": model.sha256,
            "net_sha256": model.net_sha256,
            "device": device,
            "precision": precision,
            "agreement": facts.agreement,
        }

    def segment(self, rgb: Rgb, mpp: float, context: dict[str, Any], params: BaseModel) -> Labels:
        """The cells of one tile: (h, w) int32, 0 is background."""
        return self.segment_many([rgb], mpp, context, params)[0]

    def segment_many(
        self, rgbs: Sequence[Rgb], mpp: float, context: dict[str, Any], params: BaseModel
    ) -> list[Labels]:
        """The cells of each tile, in order; those of one size go through the backbone together.

        Raises ``EngineFailed`` when this process has other weights than the slide was planned with,
        or not the device.
        """
        assert isinstance(params, InstansegParams)
        model = self._loaded(params, context["device"], context["precision"])
        for name, here in (("weights_sha256", model.sha256), ("net_sha256", model.net_sha256)):
            if context[name] != here:
                raise failed(
                    f"This worker has InstanSeg with {name} {here}, but the slide was planned with "
                    f"{context[name]}.",
                    "Put the same weights, and for int8 the same cache folder, on all nodes.",
                )
        thresholds = _thresholds(params, mpp)
        ends = np.array(context["ends"])

        def find(raw: F32, index: int) -> Labels:
            height, width = rgbs[index].shape[:2]
            mine = np.ascontiguousarray(raw[:, :height, :width])
            return find_cells(mine, model.net.facts, params.target, thresholds)

        # On a GPU the host finds cells in one batch while the next is computed.
        later = _finder.submit if model.net.leaves_cpu else _at_once
        found: dict[int, Future[Labels]] = {}
        for group in groups(rgbs, model.net.most_px):
            raw = model.net(np.stack([_pixels(rgbs[index], ends) for index in group]))
            if not np.isfinite(raw).all():
                raise failed(
                    "The InstanSeg backbone answered with numbers that are not finite.",
                    "Say precision=fp32; if it does so there too, the weights are damaged.",
                )
            found |= {index: later(find, raw[i], index) for i, index in enumerate(group)}
        return [found[index].result() for index in range(len(rgbs))]

    def optical_density(
        self,
        rgb: Rgb,
        context: dict[str, Any],  # noqa: ARG002 - the protocol's; the vectors are fixed
    ) -> tuple[F32, F32]:
        """Amounts of haematoxylin and eosin as the engine ``classical`` has them, (h, w) each."""
        from raysched.imaging.kernels import stains

        return stains.densities(np.ascontiguousarray(rgb), STAIN_TABLES)

    def _loaded(
        self, params: InstansegParams, device: nets.Device, precision: nets.Precision
    ) -> nets.Loaded:
        cache = self._given or user_cache_path("raysched") / "instanseg"
        path = weights_file(params.model, params.weights, params.sha256, cache)
        return nets.loaded(path, device, precision, cache)


_finder = ThreadPoolExecutor(1, thread_name_prefix="instanseg")


def _at_once(find: Any, raw: F32, index: int) -> Future[Labels]:
    done: Future[Labels] = Future()
    done.set_result(find(raw, index))
    return done


def groups(rgbs: Sequence[Rgb], most_px: int) -> Iterator[list[int]]:
    """Indices of tiles that are padded to one size, of so many px together, or single."""
    waiting: dict[tuple[int, ...], list[int]] = {}
    for index, rgb in enumerate(rgbs):
        size = tuple(side + -side % InstansegEngine.align_px for side in rgb.shape[:2])
        group = waiting.setdefault(size, [])
        if group and (len(group) + 1) * size[0] * size[1] > most_px:
            yield waiting.pop(size)
            group = waiting.setdefault(size, [])
        group.append(index)
    yield from waiting.values()


def _pixels(rgb: Rgb, ends: F64) -> F32:
    return normalised(padded(rgb, InstansegEngine.align_px), ends)


def _device(params: InstansegParams) -> nets.Device:
    if params.device != "auto":
        return params.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _thresholds(params: InstansegParams, mpp: float) -> Thresholds:
    return Thresholds(
        seed=params.seed_threshold,
        mask=params.mask_threshold,
        overlap=params.overlap_threshold,
        foreground=params.fg_threshold,
        distance_px=params.peak_distance_px,
        least_px=round(params.min_area_um2 / mpp**2),
    )
