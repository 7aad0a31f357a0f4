"""The backbone in PyTorch, for a CUDA GPU: in 16 bits, channels last, a whole batch at once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raysched.imaging.instanseg.cells import Facts
from raysched.imaging.instanseg.export import load
from raysched.imaging.instanseg.weights import failed

F32 = npt.NDArray[np.float32]


def require_cuda() -> Any:
    """The device. Raises ``EngineFailed`` where PyTorch sees none: nothing runs on a CPU then."""
    import torch

    if not torch.cuda.is_available():
        raise failed(
            "InstanSeg was asked to run on a GPU (device=cuda), but PyTorch sees no CUDA here.",
            "Give lanes a GPU (cluster.lane_gpus) and a CUDA build of torch, or say device=cpu.",
        )
    return torch.device("cuda")


class TorchNet:
    """The TorchScript backbone itself, frozen: ``torch.compile`` takes no TorchScript."""

    most_px: ClassVar[int] = 16 << 20
    """In one forward pass: the widest layer of a Mpx takes 64 MB in 16 bits."""
    leaves_cpu: ClassVar[bool] = True

    def __init__(self, weights: Path, facts: Facts, device: Any, *, half: bool) -> None:
        import torch

        self._device, self._half, self.facts = device, half, facts
        backbone = load(weights).fcn.to(device)
        for each in backbone.parameters():
            if each.ndim == 4:  # of a convolution
                each.data = each.data.contiguous(memory_format=torch.channels_last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is old, and what models come as
            self._backbone = torch.jit.freeze(backbone.eval())

    def __call__(self, batch: F32) -> F32:
        """All channels, (n, c, h, w), of normalised pixels (n, 3, h, w)."""
        import torch

        pixels = torch.from_numpy(batch).to(self._device, memory_format=torch.channels_last)
        kind = self._device.type
        with torch.inference_mode(), torch.autocast(kind, torch.float16, enabled=self._half):
            raw = self._backbone(pixels)
        return np.asarray(raw.float().contiguous().cpu().numpy(), np.float32)
