"""The contract of engines: every installed one keeps it, and each way to break it is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from engines_here import usable
from pydantic import BaseModel, ConfigDict, Field
from rough import RoughEngine

from raysched.errors import EngineFailed
from raysched.imaging.asking import ask_context, ask_densities, run_engine
from raysched.imaging.classical import ClassicalEngine
from raysched.imaging.engine import engine_names, load_engine
from raysched.testing.engines import (
    ContractBroken,
    check_engine,
    engine_faults,
    usual_picture,
)

DARK = 150


class GoodParams(BaseModel):
    model_config = ConfigDict(extra="forbid")

    longest_px: int = Field(default=40, ge=1, le=40)


class Good:
    """Dark spots up to 20 um long. What breaks the contract below differs in one thing."""

    name: ClassVar[Any] = "good"
    version: ClassVar[Any] = "1"
    Params: ClassVar[Any] = GoodParams
    target_mpp: ClassVar[float] = 0.5
    halo_um: ClassVar[float] = 24.0

    def prepare(self, overview: Any, mpp: float, params: Any) -> Any:
        return {"dark": DARK}

    def segment(self, rgb: Any, mpp: float, context: Any, params: Any) -> Any:
        dark = (rgb[..., 0] < context["dark"]).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
        small = stats[:, 2:4].max(axis=1) <= params.longest_px
        small[0] = False
        return np.where(small[labels], labels, 0).astype(np.int32)

    def optical_density(self, rgb: Any, context: Any) -> Any:
        return (1 - rgb[..., 0].astype(np.float32) / 255,) * 2


@pytest.mark.parametrize("name", engine_names())
def test_every_installed_engine_keeps_the_contract(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = usable(name, tmp_path, monkeypatch)
    check_engine(load_engine(name), params)


def test_an_engine_whose_tiles_differ_a_little_keeps_it() -> None:
    check_engine(RoughEngine())


def test_parameters_and_a_picture_of_ones_own_may_be_given() -> None:
    picture = usual_picture(0.5, 40.0)
    assert engine_faults(Good(), {"longest_px": 30}, picture=picture) == ()


# --- what an engine says of itself ----------------------------------------------------------------


class Unmarked:
    name = "unmarked"
    version = "1"


class OddName(Good):
    name = "two words"


class NumberedVersion(Good):
    version = 3


class PlainParams(Good):
    Params = dict


class NoScale(Good):
    target_mpp = 0.0


class EndlessHalo(Good):
    halo_um = float("inf")


class Lenient(BaseModel):
    x: int = 1


class LenientParams(Good):
    Params = Lenient


class Demanding(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: int


class DemandingParams(Good):
    Params = Demanding


class Secretive(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    x: np.random.Generator | None = None


class SecretiveParams(Good):
    Params = Secretive


# --- what it answers ------------------------------------------------------------------------------


class Arrays(Good):
    def prepare(self, *_: Any) -> Any:
        return {"dark": DARK, "mean": np.zeros(3)}


class NotANumber(Good):
    def prepare(self, *_: Any) -> Any:
        return {"dark": float("nan")}


class ListContext(Good):
    def prepare(self, *_: Any) -> Any:
        return [DARK]


class NeedsTissue(Good):
    def prepare(self, overview: Any, *_: Any) -> Any:
        return {"dark": DARK + 0 * int(overview.samples.min())}


class Raising(Good):
    def segment(self, *_: Any) -> Any:
        raise RuntimeError("out of memory")


class Wide(Good):
    def segment(self, *asked: Any) -> Any:
        return super().segment(*asked).astype(np.int64)


class Cropped(Good):
    def segment(self, *asked: Any) -> Any:
        return super().segment(*asked)[1:]


class Nested(Good):
    def segment(self, *asked: Any) -> Any:
        return super().segment(*asked).tolist()


class Negative(Good):
    def segment(self, *asked: Any) -> Any:
        return super().segment(*asked) - 1


class Huge(Good):
    def segment(self, *asked: Any) -> Any:
        return super().segment(*asked) * 1_000_000


class OneStain(Good):
    def optical_density(self, rgb: Any, context: Any) -> Any:
        return super().optical_density(rgb, context)[0]


class DoubleStains(Good):
    def optical_density(self, rgb: Any, context: Any) -> Any:
        return tuple(stain.astype(float) for stain in super().optical_density(rgb, context))


class SmallStains(Good):
    def optical_density(self, rgb: Any, context: Any) -> Any:
        return tuple(stain[::2] for stain in super().optical_density(rgb, context))


class EndlessStains(Good):
    def optical_density(self, rgb: Any, context: Any) -> Any:
        with np.errstate(divide="ignore"):
            return (-np.log10(rgb[..., 0] / np.float32(255)),) * 2


# --- what it does ---------------------------------------------------------------------------------


class Counting(Good):
    def __init__(self) -> None:
        self.asked = 0

    def prepare(self, *_: Any) -> Any:
        self.asked += 1
        return {"dark": DARK + self.asked / 1000}


class Remembering(Good):
    last = 0.0

    def segment(self, rgb: Any, mpp: float, context: Any, params: Any) -> Any:
        labels = super().segment(rgb, mpp, context, params)
        before, type(self).last = type(self).last, float(rgb.mean())
        return labels if abs(before - self.last) < 1 else np.zeros_like(labels)


class Reusing(Good):
    def __init__(self) -> None:
        self.buffers: dict[tuple[int, ...], Any] = {}

    def segment(self, *asked: Any) -> Any:
        labels = super().segment(*asked)
        buffer = self.buffers.setdefault(labels.shape, labels)
        buffer[:] = labels
        return buffer


class NoisyStains(Good):
    random: ClassVar[Any] = np.random.default_rng(1)

    def optical_density(self, rgb: Any, context: Any) -> Any:
        return (self.random.random(rgb.shape[:2], np.float32),) * 2


class Painting(Good):
    def segment(self, rgb: Any, *more: Any) -> Any:
        labels = super().segment(rgb, *more)
        rgb[labels > 0] = 0
        return labels


class Bleaching(Good):
    def optical_density(self, rgb: Any, context: Any) -> Any:
        stains = super().optical_density(rgb, context)
        rgb[:] = 255
        return stains


class Scribbling(Good):
    def segment(self, rgb: Any, mpp: float, context: Any, params: Any) -> Any:
        context["seen"] = True
        return super().segment(rgb, mpp, context, params)


class Sampling(Good):
    def prepare(self, overview: Any, *_: Any) -> Any:
        overview.samples.sort(axis=0)
        return {"dark": DARK}


class Adjusting(Good):
    def segment(self, rgb: Any, mpp: float, context: Any, params: Any) -> Any:
        params.longest_px = 39
        return super().segment(rgb, mpp, context, params)


class SquareOnly(Good):
    def segment(self, rgb: Any, *more: Any) -> Any:
        if rgb.shape[0] != rgb.shape[1]:
            raise ValueError("tiles are square")
        return super().segment(rgb, *more)


class OneScale(Good):
    def segment(self, rgb: Any, mpp: float, *more: Any) -> Any:
        if mpp != self.target_mpp:
            raise ValueError("not my scale")
        return super().segment(rgb, mpp, *more)


class SeesGhosts(Good):
    def segment(self, rgb: Any, *more: Any) -> Any:
        labels = super().segment(rgb, *more)
        labels[0, 0] = 1 if labels.max() == 0 else labels[0, 0]
        return labels


class DividesByDarkness(Good):
    def segment(self, rgb: Any, *more: Any) -> Any:
        if rgb.max() == 0:
            raise ZeroDivisionError("no light")
        return super().segment(rgb, *more)


class Blind(Good):
    def segment(self, rgb: Any, *_: Any) -> Any:
        return np.zeros(rgb.shape[:2], np.int32)


class SmallHalo(Good):
    halo_um = 2.0


class OwnNormalisation(Good):
    """As many do: a threshold from the tile."""

    def segment(self, rgb: Any, mpp: float, context: Any, params: Any) -> Any:
        level = {"dark": float(rgb[..., 0].mean()) - 40}
        return super().segment(rgb, mpp, level, params)


class NearsEdges(Good):
    """What is within 26 um of an edge is not trusted: half of it may be missing."""

    def segment(self, rgb: Any, *more: Any) -> Any:
        labels = super().segment(rgb, *more)
        inner = np.zeros_like(labels)
        middle = np.s_[52:-52, 52:-52]
        inner[middle] = labels[middle]
        return inner


BROKEN: dict[type, str] = {
    Unmarked: "it has no Params, target_mpp, halo_um, prepare, segment, optical_density",
    OddName: "its name 'two words' is not of letters",
    NumberedVersion: "its version 3 is no text",
    PlainParams: "its Params is no pydantic model",
    NoScale: "its target_mpp 0.0 is no pixel size",
    EndlessHalo: "its halo_um inf is no length",
    LenientParams: "takes unknown parameters",
    DemandingParams: "parameters without a default",
    SecretiveParams: "have no JSON schema",
    Arrays: "a context that is no JSON",
    NotANumber: "a context that is no JSON",
    ListContext: "a context that is no dict",
    NeedsTissue: "failed while preparing a slide: ValueError",
    Raising: r"failed on a tile: RuntimeError\('out of memory'\)",
    Wide: "int64 of .* instead of int32 labels",
    Cropped: "int32 of .* instead of int32 labels of the tile's",
    Nested: "a list instead of int32 labels",
    Negative: "the label -1: labels begin with 1",
    Huge: "number the cells 1 to n",
    OneStain: "the pair of haematoxylin and eosin",
    DoubleStains: "float64 of .* as haematoxylin instead of float32",
    SmallStains: "as haematoxylin instead of float32 of the tile's",
    EndlessStains: "haematoxylin that is not finite",
    Counting: "prepare answers twice differently",
    Remembering: "segment answers twice differently",
    Reusing: "segment changes an earlier answer",
    NoisyStains: "optical_density answers twice differently",
    Painting: "segment changes the pixels",
    Bleaching: "optical_density changes the pixels",
    Scribbling: "changes the context",
    Sampling: "prepare changes the overview",
    Adjusting: "changes the parameters",
    SquareOnly: "failed on a tile: ValueError.*square",
    OneScale: "failed on a tile: ValueError.*not my scale",
    SeesGhosts: "it finds 1 cells on glass",
    DividesByDarkness: "failed on a tile: ZeroDivisionError",
    Blind: "it finds no cell in the picture",
    SmallHalo: "a cell changes when what is more than halo_um = 2.0 um away turns into glass",
    OwnNormalisation: "a cell changes when what is more than halo_um = 24.0 um away turns into",
    NearsEdges: "does not show the cell as it is",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_an_engine_that_breaks_the_contract_is_told_how(kind: type) -> None:
    with pytest.raises(ContractBroken, match=f"(?s)^{kind.__name__} breaks .*{BROKEN[kind]}"):
        check_engine(kind())


def test_a_halo_that_is_too_small_for_a_real_engine_is_noticed() -> None:
    """Its nuclei here reach 4 um on the mean, their surroundings 8 um on, smoothing 1 um."""

    class Hasty(ClassicalEngine):
        halo_um = 10.0

    faults = engine_faults(Hasty())
    assert faults and all("it looks further" in fault for fault in faults)


def test_an_engine_is_broken_in_one_thing_only() -> None:
    assert engine_faults(Good()) == ()
    for kind in (Reusing, Painting, SquareOnly, NearsEdges, NoisyStains, Wide):
        (fault,) = engine_faults(kind())
        assert fault


def test_a_picture_in_which_nothing_lies_beyond_the_halo_proves_nothing() -> None:
    middle = usual_picture(0.5, 24.0)[100:173, 100:173]
    (fault,) = engine_faults(Good(), picture=middle)
    assert "the picture is too small" in fault


# --- on a job -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Raising, Wide, Cropped, Nested, Negative, Huge])
def test_labels_of_another_kind_fail_the_job_and_name_the_engine(kind: type[Good]) -> None:
    rgb = usual_picture(0.5, 24.0)
    with pytest.raises(EngineFailed, match="Engine 'good'") as caught:
        run_engine(kind(), rgb, 0.5, {"dark": DARK}, GoodParams())
    assert (caught.value.facts, bool(caught.value.remedy)) == ({"engine": "good"}, True)


class Views(Good):
    """Answers with views into larger arrays that nobody may write to, as other libraries do."""

    def segment(self, *asked: Any) -> Any:
        return np.broadcast_to(super().segment(*asked)[..., None], (*asked[0].shape[:2], 2))[..., 1]

    def optical_density(self, rgb: Any, context: Any) -> Any:
        stains = np.repeat(np.stack(super().optical_density(rgb, context), axis=-1), 2, axis=1)
        stains.flags.writeable = False
        return stains[:, ::2, 0], stains[:, ::2, 1]


def test_arrays_however_they_lie_in_memory_reach_the_kernels_in_one_piece() -> None:
    rgb, context = usual_picture(0.5, 24.0), {"dark": DARK}
    found, wanted = (
        (run_engine(each, rgb, 0.5, context, GoodParams()), *ask_densities(each, rgb, context))
        for each in (Views(), Good())
    )
    for here, there in zip(found, wanted, strict=True):
        assert here.flags.c_contiguous and here.flags.writeable
        assert np.array_equal(here, there)
    assert engine_faults(Views()) == ()


@pytest.mark.parametrize("kind", [OneStain, DoubleStains, SmallStains])
def test_stains_of_another_kind_fail_the_job_and_name_the_engine(kind: type[Good]) -> None:
    with pytest.raises(EngineFailed, match="Engine 'good' answered with"):
        ask_densities(kind(), usual_picture(0.5, 24.0), {})


def test_an_engine_that_talks_without_end_is_cut_short() -> None:
    class Talking(Good):
        def segment(self, *_: Any) -> Any:
            raise RuntimeError("x" * 10**6)

    with pytest.raises(EngineFailed) as caught:
        run_engine(Talking(), usual_picture(0.5, 24.0), 0.5, {}, GoodParams())
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("kind", [Arrays, NotANumber, ListContext])
def test_a_context_that_no_file_can_hold_fails_the_job_and_names_the_engine(
    kind: type[Good],
) -> None:
    with pytest.raises(EngineFailed, match="Engine 'good' answered with a context"):
        ask_context(kind(), None, 0.5, GoodParams())  # type: ignore[arg-type]
