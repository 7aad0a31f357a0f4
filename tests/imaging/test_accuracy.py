"""Agreement of label images: by hand, by properties, and against two other implementations."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cellseg_metrics
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raysched.imaging.accuracy import (
    THRESHOLDS,
    Tally,
    mean_measures,
    overlap,
    pooled,
    tally,
)
from raysched.imaging.annotated import find_pairs, read_labels
from raysched.imaging.evaluation import Evaluation

Labels = npt.NDArray[np.int64]

images = arrays.arrays(np.int64, (6, 7), elements=st.integers(0, 4))


def row(text: str) -> Labels:
    """A label image of one row, a digit per pixel."""
    return np.array([[int(each) for each in text]])


def of(found: Labels, annotated: Labels) -> Tally:
    return tally(overlap(found, annotated))


# --- by hand --------------------------------------------------------------------------------------


def test_a_case_reckoned_by_hand() -> None:
    """Found 1 and annotated 1 share 3 of 5 px: IoU 0.6. Found 2 is annotated 2. Found 3 is false.

    matched  above .5: two; above .6: one, as 3/5 is not greater; above .9: one
    F1(.5) = 2 * 2 / (3 + 2) = 4/5, F1(.6) = 2/5
    PQ = (0.6 + 1) / (2 + 1/2) = 0.64 = SQ 0.8 * RQ 0.8
    AJI = (3 + 2) / (5 + 2 + 1): found 3 is taken by nobody and adds its pixel to U
    Dice = 2 * 5 / (4 + 2 + 1 + 4 + 2) = 10/13
    """
    sums = of(row("11110022003"), row("01111022000"))
    assert sums == Tally(
        found=3,
        annotated=2,
        matched=(2, 1, 1, 1, 1),
        matched_iou=1.6,
        aji_shared_px=5,
        aji_union_px=8,
        found_px=7,
        annotated_px=6,
        shared_px=5,
    )
    assert sums.measures() == {
        "f1": {"0.5": 0.8, "0.6": 0.4, "0.7": 0.4, "0.8": 0.4, "0.9": 0.4},
        "precision": 0.666667,
        "recall": 1.0,
        "pq": 0.64,
        "sq": 0.8,
        "rq": 0.8,
        "aji": 0.625,
        "dice": 0.769231,
    }


def test_half_is_not_more_than_half_so_a_match_is_unique() -> None:
    """Two found halves of one cell: IoU 2/4 each; counting both would match one cell twice."""
    sums = of(row("1122"), row("7777"))
    assert sums.matched == (0, 0, 0, 0, 0)
    assert (sums.f1(), sums.pq, sums.sq, sums.dice) == (0.0, 0.0, 0.0, 1.0)


def test_a_found_cell_that_covers_several_counts_for_each_in_aji_and_for_none_in_f1() -> None:
    """One found of 6 px over three of 2 px: IoU 2/6 each, all three take it (Kumar et al. 2017).

    C = 2 + 2 + 2, U = 6 + 6 + 6: AJI = 1/3, and nothing is left unused.
    """
    sums = of(row("111111"), row("112233"))
    assert (sums.matched[0], sums.aji_shared_px, sums.aji_union_px) == (0, 6, 18)
    assert sums.aji == pytest.approx(1 / 3)


def test_aji_takes_the_best_iou_and_not_the_largest_intersection() -> None:
    """Annotated 1 (4 px) meets found 1 (2 of its 20 px: IoU 2/22) and found 2 (1 of 1 px: 1/4).

    It takes found 2: C = 1, U = 4, and the unused found 1 adds 20: AJI = 1/24.
    """
    found, annotated = row("11200" + "1" * 18), row("11110" + "0" * 18)
    sums = of(found, annotated)
    assert (sums.aji_shared_px, sums.aji_union_px) == (1, 24)


def test_among_equally_good_cells_aji_takes_the_first_in_reading_order() -> None:
    """Annotated 1 (4 px) meets found 9 (1 of 1 px: 1/4) and found 2 (2 of 6 px: 2/8).

    It takes 9, which begins first: C = 1, U = 4 + 6 unused. From right to left it takes 2:
    C = 2, U = 8 + 1 unused. What they are called does not decide.
    """
    found, annotated = row("90222222"), row("11110000")
    for name in (9, 1):
        renamed = np.where(found == 9, name, found)
        sums = of(renamed, annotated)
        assert (sums.aji_shared_px, sums.aji_union_px) == (1, 10)
        mirrored = of(renamed[:, ::-1], annotated[:, ::-1])
        assert (mirrored.aji_shared_px, mirrored.aji_union_px) == (2, 9)


@pytest.mark.parametrize(
    ("found", "annotated", "score", "precision", "recall"),
    [
        ("0000", "0000", 1.0, 1.0, 1.0),
        ("0110", "0000", 0.0, 0.0, 1.0),
        ("0000", "0110", 0.0, 1.0, 0.0),
        ("1000", "0110", 0.0, 0.0, 0.0),
    ],
)
def test_where_cells_are_missing_every_measure_is_still_a_number(
    found: str, annotated: str, score: float, precision: float, recall: float
) -> None:
    measures = of(row(found), row(annotated)).measures()
    assert measures.pop("f1") == {f"{at:g}": score for at in THRESHOLDS}
    assert measures == {
        **dict.fromkeys(("pq", "sq", "rq", "aji", "dice"), score),
        "precision": precision,
        "recall": recall,
    }


def test_an_image_without_pixels_and_no_image_at_all_are_perfect() -> None:
    nothing = np.zeros((0, 5), np.int64)
    assert of(nothing, nothing) == pooled([]) == Tally()
    assert mean_measures([]) == Tally().measures()
    assert Tally().pq == 1.0


def test_ids_may_be_large_and_far_apart() -> None:
    large = np.array([[0, 70_000, 70_000, 4_000_000_000, 2**40]])
    sums = of(large, row("01123"))
    assert (sums.found, sums.matched) == (3, (3, 3, 3, 3, 3))
    assert overlap(large, row("01123")).found.tolist() == [70_000, 4_000_000_000, 2**40]


def test_types_may_differ_and_shapes_may_not() -> None:
    assert of(row("0110").astype(np.uint32), row("0110").astype(np.int16)).f1() == 1.0
    with pytest.raises(ValueError, match=r"found is \(1, 2\) but annotated is \(1, 3\)"):
        overlap(row("11"), row("111"))


def test_a_threshold_that_makes_no_match_unique_is_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        overlap(row("11"), row("11")).matched(0.4)


def test_pooled_counts_cells_and_the_mean_counts_images() -> None:
    """Image a: one cell, found. Image b: three cells, none found, one false.

    pooled F1 = 2 * 1 / (2 + 4) = 1/3; mean F1 = (1 + 0) / 2
    """
    both = [of(row("1100000"), row("1100000")), of(row("0000001"), row("1122330"))]
    assert pooled(both).f1() == pytest.approx(1 / 3)
    assert mean_measures(both)["f1"]["0.5"] == 0.5
    assert pooled(both) == pooled(both[::-1])


# --- properties -----------------------------------------------------------------------------------


@given(images, images)
def test_swapping_the_sides_swaps_precision_and_recall_and_nothing_else(
    a: Labels, b: Labels
) -> None:
    one, other = of(a, b), of(b, a)
    assert one.matched == other.matched
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert (one.f1(), one.dice) == (other.f1(), other.dice)
    assert one.pq == pytest.approx(other.pq)


@given(images)
def test_what_is_found_exactly_scores_one(labels: Labels) -> None:
    measures = of(labels, labels).measures()
    assert set(measures.pop("f1").values()) == set(measures.values()) == {1.0}


@given(images, images, st.permutations([3, 70_000, 12, 5_000_000_000]))
def test_what_cells_are_called_changes_nothing(a: Labels, b: Labels, names: list[int]) -> None:
    renamed = np.array([0, *names])[a]
    assert of(renamed, b).matched_iou == pytest.approx(of(a, b).matched_iou)
    assert {**of(renamed, b).measures()} == of(a, b).measures()


@given(images, images)
def test_a_stricter_threshold_never_matches_more(a: Labels, b: Labels) -> None:
    sums = of(a, b)
    assert list(sums.matched) == sorted(sums.matched, reverse=True)
    assert sums.matched[0] <= min(sums.found, sums.annotated)
    table = overlap(a, b)
    for threshold, count in zip(THRESHOLDS, sums.matched, strict=True):
        assert [int(side.sum()) for side in table.matched(threshold)] == [count, count]


# --- against others -------------------------------------------------------------------------------


def naive(found: Labels, annotated: Labels) -> dict[str, object]:
    """The definitions word by word, in exact fractions: one mask per cell, one loop per pair."""
    cells_a = [found == label for label in np.unique(found[found != 0])]
    cells_b = [annotated == label for label in np.unique(annotated[annotated != 0])]
    cells_a.sort(key=lambda mask: int(np.flatnonzero(mask)[0]))

    def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> Fraction:
        return Fraction(int((a & b).sum()), int((a | b).sum()))

    table = [[iou(a, b) for a in cells_a] for b in cells_b]
    matched = tuple(
        sum(each > Fraction(round(10 * at), 10) for line in table for each in line)
        for at in THRESHOLDS
    )
    shared = union = 0
    used = set()
    for b, line in zip(cells_b, table, strict=True):
        if not any(line):
            union += int(b.sum())
            continue
        best = line.index(max(line))
        shared += int((cells_a[best] & b).sum())
        union += int((cells_a[best] | b).sum())
        used.add(best)
    union += sum(int(a.sum()) for i, a in enumerate(cells_a) if i not in used)
    return {
        "matched": matched,
        "matched_iou": float(sum(e for line in table for e in line if e > Fraction(1, 2))),
        "aji": (shared, union),
    }


@given(images, images)
def test_the_sums_are_those_of_the_definitions_in_exact_fractions(a: Labels, b: Labels) -> None:
    sums = of(a, b)
    wanted = naive(a, b)
    assert sums.matched == wanted["matched"]
    assert sums.matched_iou == pytest.approx(wanted["matched_iou"])
    assert (sums.aji_shared_px, sums.aji_union_px) == wanted["aji"]


def agree(found: Labels, annotated: Labels) -> None:
    """PQ, SQ, F1 and precision are those of cellseg-metrics (which adds 1e-8 to denominators)."""
    sums = of(found, annotated)
    for threshold in THRESHOLDS:
        theirs = cellseg_metrics.panoptic_quality(annotated, found, thresh=threshold)
        assert sums.f1(threshold) == pytest.approx(theirs["dq"], abs=1e-6)
    theirs = cellseg_metrics.panoptic_quality(annotated, found)
    assert (sums.pq, sums.sq) == pytest.approx((theirs["pq"], theirs["sq"]), abs=1e-6)
    precision = cellseg_metrics.average_precision(annotated, found)
    assert sums.precision == pytest.approx(precision, abs=1e-6)


@given(images, images)
def test_a_published_implementation_agrees(a: Labels, b: Labels) -> None:
    assume(a.any() and b.any())  # it gives 0 where a side has no cells
    agree(a, b)


def test_a_published_implementation_agrees_on_nuclei(samples: Path) -> None:
    folder = samples / "annotated" / "tnbc"
    pairs = find_pairs(folder / "images", folder / "labels")[:8:2]
    for judged in Evaluation.of("classical", {}, 0.25).judge(pairs):
        found, annotated = judged.found.astype(np.int64), read_labels(judged.pair.labels)
        assert judged.tally.matched[0] > 0
        agree(found, annotated)
        # It takes the largest intersection where Kumar et al. take the best IoU: nearly the same.
        theirs = cellseg_metrics.aggregated_jaccard_index(annotated, found)
        assert judged.tally.aji == pytest.approx(theirs, abs=0.02)
        foregrounds = ((annotated > 0).astype(np.int64), (found > 0).astype(np.int64))
        dice = cellseg_metrics.dice_multiclass(*foregrounds, num_classes=2)[1]
        assert judged.tally.dice == pytest.approx(dice, abs=1e-6)
