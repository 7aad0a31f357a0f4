"""From a TorchScript file to an ONNX backbone with the model's facts in its metadata.

This needs PyTorch, and is done once for some weights: processes that find the result in the cache
start without it. Whatever the file is, it is tried here before any slide is.
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysched.imaging.accuracy import overlap, tally
from raysched.imaging.instanseg.cells import METADATA, Facts, Thresholds, find_cells
from raysched.imaging.instanseg.pixels import normalised, percentiles, tissue
from raysched.imaging.instanseg.weights import failed

F32 = npt.NDArray[np.float32]

FORMAT = 1
"""Of what is kept in the cache: raise it when the exported file or its metadata changes."""
OPSET = 17
MODEL_MPP = 0.5
LEAST_AGREEMENT = 0.8
LEAST_TRIED = 10
"""Cells on the trial picture below which agreement says nothing."""
NEAR = 1e-3
"""Most that the ONNX backbone may differ from the original, of the largest value."""


def exported(weights: Path) -> bytes:
    """The backbone of a TorchScript model as ONNX, its ``Facts`` in the metadata.

    Raises ``EngineFailed`` when the file is no such model.
    """
    import onnx

    model = load(weights)
    facts = interface(model, weights)
    stream = io.BytesIO()
    _write_onnx(model.fcn, stream)
    trial = normalised(tissue(seed=3), percentiles(tissue(seed=3).reshape(-1, 3)))
    raw = _same_answer(model.fcn, stream.getvalue(), trial, weights)
    facts = _agreeing(model, facts, (raw, trial), weights)
    kept = onnx.load_from_string(stream.getvalue())
    kept.metadata_props.add(key=METADATA, value=json.dumps(facts.as_json()))
    return bytes(kept.SerializeToString())


def load(weights: Path) -> Any:
    """The TorchScript module of a file, on the CPU. Raises ``EngineFailed``."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is old, and what models come as
            return torch.jit.load(str(weights), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise failed(
            f"{weights} is no whole TorchScript file: {words[0][:200]}.",
            "Copy or download the weights again (instanseg.pt, not the archive around it).",
        ) from error


def interface(model: Any, weights: Path) -> Facts:
    """What a loaded model is. Raises ``EngineFailed`` when it is not one of InstanSeg's."""
    try:
        facts = Facts(
            fields=int(model.dim_coords),
            sigmas=int(model.n_sigma),
            seeds=int(getattr(model, "dim_seeds", 1)),
            both=bool(model.cells_and_nuclei),
            layers=_layers(model.pixel_classifier, weights),
        )
        model.fcn  # noqa: B018 - whether it is there
        mpp = float(model.pixel_size)
    except AttributeError as error:
        raise _other(weights, f"it has no {str(error).rpartition('attribute ')[2]}") from error
    if mpp and abs(mpp / MODEL_MPP - 1) > 0.05:
        raise _other(weights, f"it wants {mpp:g} um/px, and tiles have {MODEL_MPP:g}")
    if len(facts.layers[0][0]) != facts.fields + facts.sigmas + 1 or facts.fields < 2:
        raise _other(
            weights,
            f"its pixel classifier takes {len(facts.layers[0][0]) - 1} features, not its "
            f"{facts.fields} coordinates and {facts.sigmas} sigmas",
        )
    shape = _channels_of(model.fcn, weights)
    wanted = facts.channels * (2 if facts.both else 1)
    if shape != (1, wanted, 64, 64):
        raise _other(weights, f"its backbone makes {shape} of 64 px, not (1, {wanted}, 64, 64)")
    return facts


def _layers(classifier: Any, weights: Path) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """The three layers of the pixel classifier, each with its bias as the last column."""
    state = {
        name: np.asarray(each.detach().float()) for name, each in classifier.named_parameters()
    }
    names = [f"fc{i}.{what}" for i in (1, 2, 3) for what in ("weight", "bias")]
    if sorted(state) != sorted(names) or any(state[name].ndim > 2 for name in names):
        raise _other(weights, f"its pixel classifier is made of {', '.join(sorted(state))[:200]}")
    layers = [np.column_stack([state[f"fc{i}.weight"], state[f"fc{i}.bias"]]) for i in (1, 2, 3)]
    width = layers[0].shape[0]
    if layers[1].shape != (width, width + 1) or layers[2].shape != (1, width + 1):
        sizes = ", ".join(f"{each.shape[0]} x {each.shape[1] - 1}" for each in layers)
        raise _other(weights, f"its pixel classifier has layers of {sizes}")
    return tuple(tuple(tuple(row) for row in layer.tolist()) for layer in layers)


def _channels_of(backbone: Any, weights: Path) -> tuple[int, ...]:
    import torch

    try:
        with torch.inference_mode():
            return tuple(backbone(torch.zeros(1, 3, 64, 64)).shape)
    except (RuntimeError, AttributeError, TypeError) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise _other(weights, f"its backbone takes no RGB image: {words[-1][:200]}") from error


def _write_onnx(backbone: Any, stream: io.BytesIO) -> None:
    """Batch, height and width stay free; the exporter by tracing is the one for TorchScript."""
    import torch

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            backbone,
            (torch.zeros(1, 3, 64, 64),),
            stream,
            input_names=["pixels"],
            output_names=["raw"],
            dynamic_axes={each: {0: "n", 2: "h", 3: "w"} for each in ("pixels", "raw")},
            opset_version=OPSET,
            dynamo=False,
        )


def _same_answer(backbone: Any, data: bytes, trial: F32, weights: Path) -> F32:
    """What both backbones say of the trial picture, (c, h, w)."""
    import torch

    from raysched.imaging.instanseg.onnx_net import session

    (said,) = session(data, 1).run(None, {"pixels": trial[None]})
    with torch.inference_mode():
        wanted = backbone(torch.from_numpy(trial[None])).float().numpy()
    apart = float(np.abs(said - wanted).max())
    if not apart <= NEAR * max(1.0, float(np.abs(wanted).max())):
        raise failed(
            f"The backbone of {weights} answers otherwise as ONNX, by {apart:g}.",
            "Report this with the versions of torch and onnxruntime.",
        )
    return np.asarray(said[0], np.float32)


def _agreeing(model: Any, facts: Facts, made: tuple[F32, F32], weights: Path) -> Facts:
    """The facts with the agreement on the trial picture. Models of another recipe, as older ones
    have, answer here with other cells, and are refused."""
    import torch

    raw, trial = made
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # older code in the file speaks of sparse tensors
        # Nuclei alone: what has cells too would reconcile both.
        said = model(torch.from_numpy(trial[None].copy()), target_segmentation=torch.tensor([1, 0]))
        theirs = said[0, 0].numpy().astype(np.int32)
    ours = find_cells(raw, facts, "nuclei", Thresholds(least_px=0))
    counts = [len(np.unique(each[each > 0])) for each in (ours, theirs)]
    if max(counts) < LEAST_TRIED:
        return facts
    f1 = tally(overlap(ours, theirs)).f1(0.5)
    if f1 < LEAST_AGREEMENT:
        raise _other(
            weights,
            f"on made-up tissue its own forward pass finds {counts[1]} cells, this engine "
            f"{counts[0]}, F1 {f1:.2f}",
        )
    return Facts.from_json({**facts.as_json(), "agreement": round(f1, 4)})


def _other(weights: Path, what: str) -> Exception:
    return failed(
        f"{weights} is TorchScript, but no InstanSeg model that is known here: {what}.",
        "Use brightfield_nuclei or fluorescence_nuclei_and_cells of release 0.1.1 or later.",
    )
