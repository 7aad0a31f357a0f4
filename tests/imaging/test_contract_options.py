"""The contract of the members that an engine may have: batches and alignment."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from test_contract import DARK, Good, GoodParams

from raysched.errors import EngineFailed
from raysched.imaging.asking import run_engine_on
from raysched.imaging.engine import align_of, batch_of
from raysched.imaging.planning import halo_of
from raysched.testing.engines import ContractBroken, check_engine, engine_faults, usual_picture


class Batching(Good):
    """As it should be."""

    batch: ClassVar[Any] = 3

    def segment_many(self, rgbs: Any, *more: Any) -> Any:
        return [self.segment(rgb, *more) for rgb in rgbs]


class Shuffling(Batching):
    """Answers in the order of brightness where tiles are of one size."""

    def segment_many(self, rgbs: Any, *more: Any) -> Any:
        if len({rgb.shape for rgb in rgbs}) > 1:
            return super().segment_many(rgbs, *more)
        return super().segment_many(sorted(rgbs, key=lambda rgb: float(rgb.mean())), *more)


class Mixing(Batching):
    """What is dark is taken from the whole batch."""

    def segment_many(self, rgbs: Any, mpp: float, context: Any, params: Any) -> Any:
        dark = {"dark": min(float(np.median(rgb)) for rgb in rgbs) - 20}
        return [self.segment(rgb, mpp, dark, params) for rgb in rgbs]


class Forgetful(Batching):
    def segment_many(self, rgbs: Any, *more: Any) -> Any:
        return super().segment_many(rgbs, *more)[:1]


class Stacking(Batching):
    def segment_many(self, rgbs: Any, *more: Any) -> Any:
        return np.stack(super().segment_many(rgbs[:1], *more))


class WideInBatches(Batching):
    def segment_many(self, rgbs: Any, *more: Any) -> Any:
        return [labels.astype(np.int64) for labels in super().segment_many(rgbs, *more)]


class PaintingInBatches(Batching):
    def segment_many(self, rgbs: Any, *more: Any) -> Any:
        found = super().segment_many(rgbs, *more)
        rgbs[0][:] = 0
        return found


class RaisingInBatches(Batching):
    def segment_many(self, *_: Any) -> Any:
        raise RuntimeError("out of memory")


class Halved(Good):
    batch: ClassVar[Any] = 3


class NoBatch(Batching):
    batch = 0


class Unaligned(Good):
    align_px: ClassVar[Any] = 2.5


class Blocks(Good):
    """Dark is what is darker than the block of 16 px around it, counted from the tile's corner."""

    align_px: ClassVar[Any] = 16

    def segment(self, rgb: Any, mpp: float, context: Any, params: Any) -> Any:
        height, width = rgb.shape[:2]
        full = np.pad(rgb[..., 0], ((0, -height % 16), (0, -width % 16)), "edge").astype(float)
        blocks = full.reshape(full.shape[0] // 16, 16, full.shape[1] // 16, 16)
        around = np.kron(blocks.mean(axis=(1, 3)), np.ones((16, 16)))[:height, :width]
        dark = np.where(rgb[..., 0] < np.minimum(DARK, around + 10), 0, 255).astype(np.uint8)
        return super().segment(np.repeat(dark[..., None], 3, 2), mpp, context, params)


class BlocksUnsaid(Blocks):
    align_px = 1


BROKEN: dict[type, str] = {
    Shuffling: "segment_many says of a tile, or of its place, what segment does not",
    Mixing: "segment_many says of a tile, or of its place, what segment does not",
    Forgetful: "answered with 1 label images to a batch of 3",
    Stacking: "answered with something else than label images to a batch of 3",
    WideInBatches: "int64 of .* instead of int32 labels",
    PaintingInBatches: "segment_many changes the pixels it is given",
    RaisingInBatches: "failed on a batch of 3: RuntimeError",
    Halved: "of batch and segment_many it has one without the other",
    NoBatch: "its batch 0 is no number of 1 to 1024",
    Unaligned: "its align_px 2.5 is no number of 1 to 1024",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_an_engine_that_breaks_the_contract_is_told_how(kind: type) -> None:
    with pytest.raises(ContractBroken, match=f"(?s)^{kind.__name__} breaks .*{BROKEN[kind]}"):
        check_engine(kind())


def test_an_engine_of_batches_or_blocks_keeps_it() -> None:
    for kind in (Batching, Blocks):
        assert engine_faults(kind()) == ()
    assert [batch_of(engine) for engine in (Good(), Batching())] == [1, 3]
    assert [align_of(engine) for engine in (Good(), Blocks())] == [1, 16]


def test_the_halo_is_whole_blocks() -> None:
    assert [halo_of(engine, 0.5) for engine in (Good(), Blocks())] == [48, 48]
    assert [halo_of(engine, 0.49) for engine in (Good(), Blocks())] == [49, 64]


def test_an_engine_without_batches_is_asked_for_each_tile() -> None:
    picture = usual_picture(0.5, 24.0)
    tiles = [picture[:100], picture[100:, :90], picture[:20]]
    for engine in (Good(), Batching()):
        found = run_engine_on(engine, tiles, 0.5, {"dark": DARK}, GoodParams())
        alone = [engine.segment(tile, 0.5, {"dark": DARK}, GoodParams()) for tile in tiles]
        assert [labels.shape for labels in found] == [tile.shape[:2] for tile in tiles]
        assert all(map(np.array_equal, found, alone))
        assert all(labels.max() > 0 for labels in alone)


@pytest.mark.parametrize("kind", [Forgetful, Stacking, WideInBatches, RaisingInBatches])
def test_a_wrong_batch_fails_the_job_and_names_the_engine(kind: type[Batching]) -> None:
    tiles = [usual_picture(0.5, 24.0)] * 3
    with pytest.raises(EngineFailed, match="Engine 'good'") as caught:
        run_engine_on(kind(), tiles, 0.5, {"dark": DARK}, GoodParams())
    assert (caught.value.facts, bool(caught.value.remedy)) == ({"engine": "good"}, True)
