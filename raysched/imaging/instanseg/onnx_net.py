"""The backbone on a CPU: ONNX Runtime, in 32 bits or, where that is asked for, in 8."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raysched.imaging.instanseg.cells import METADATA, Facts
from raysched.imaging.instanseg.pixels import normalised, percentiles, tissue

F32 = npt.NDArray[np.float32]

CALIBRATED_ON = (11, 12, 13, 14)
"""Seeds of the made-up tissue that the ranges of 8 bits are taken from."""
ERRORS_ONLY = 3


class OnnxNet:
    """A backbone in memory, and what it was made from. ``data``: the file, with its facts."""

    most_px: ClassVar[int] = 1 << 20
    """In one forward pass, unless a single tile has more: the layers of a Mpx take 0.7 GB, and on a
    CPU a larger batch is no faster."""

    leaves_cpu: ClassVar[bool] = False

    def __init__(self, data: bytes, cpus: int) -> None:
        self._session = session(data, cpus)
        kept = self._session.get_modelmeta().custom_metadata_map[METADATA]
        self.facts = Facts.from_json(json.loads(kept))

    def __call__(self, batch: F32) -> F32:
        """All channels, (n, c, h, w), of normalised pixels (n, 3, h, w)."""
        import onnxruntime

        after = onnxruntime.RunOptions()
        # Within a run layers reuse memory, which is an eighth faster; then it goes back, because a
        # worker that keeps 1 GB for the next tile lacks it for everything else.
        after.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        (raw,) = self._session.run(None, {"pixels": batch}, after)
        return np.asarray(raw, np.float32)


def session(data: bytes, cpus: int) -> Any:
    """A backbone that uses so many threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cpus, 1
    options.log_severity_level = ERRORS_ONLY
    # Threads that wait by turning would take the CPUs of other lanes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # plans memory for one size of tile, and keeps it
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def in_8_bits(data: bytes) -> bytes:
    """The same backbone with weights and layers in 8 bits, per channel, the facts as they were.

    The ranges come from made-up stained tissue, always the same.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc] # the library has no types
        def __init__(self) -> None:
            self._batches = _calibration()

        def get_next(self) -> dict[str, F32] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as folder:
        source, ready, target = (Path(folder) / f"{i}.onnx" for i in range(3))
        source.write_bytes(data)
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(target)
    facts = {each.key: each.value for each in onnx.load_from_string(data).metadata_props}[METADATA]
    del quantized.metadata_props[:]
    quantized.metadata_props.add(key=METADATA, value=facts)
    return bytes(quantized.SerializeToString())


def _calibration() -> Iterator[dict[str, F32]]:
    for seed in CALIBRATED_ON:
        rgb = tissue(seed)
        yield {"pixels": normalised(rgb, percentiles(rgb.reshape(-1, 3)))[None]}
