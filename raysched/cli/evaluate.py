"""``raysched evaluate``: how well an engine does on images whose cells people have annotated."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from raysched.cli.options import Engine, Params, Spoken
from raysched.cli.run import parse_params
from raysched.cli.voice import Voice
from raysched.errors import MppMissing, OutputNotEmpty, StorageFailed

if TYPE_CHECKING:
    from raysched.imaging.accuracy import Tally
    from raysched.imaging.annotated import Pair
    from raysched.imaging.evaluation import Evaluation, Judged

T = TypeVar("T")

DEFAULT_ENGINE = "classical"
MOST_PICTURES = 3
"""Of the best and of the worst images each."""
MOST_NAME_BYTES = 160
"""Of an image's name in that of its picture: file systems allow 255 in all."""
NUMBERS_WIDTH = 68
SHORTEST_NAME, LONGEST_NAME = 12, 255
"""Characters that a row of the table takes without its name, and those left to a name."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Spoken):
    """The options of ``evaluate``."""

    images: Annotated[
        Path, typer.Option(metavar="DIR", help="Images: RGB, RGBA or grey PNG or TIFF.")
    ]
    labels: Annotated[
        Path, typer.Option(metavar="DIR", help="Label images of the same names: PNG or TIFF.")
    ]
    engine: Engine = None
    param: Params = None
    mpp: Annotated[
        float | None, typer.Option(metavar="UM", help="Pixel size of the images in um: 0.25.")
    ] = None
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder for pictures of the best and worst images."),
    ] = None


def evaluate(options: EvaluateOptions, voice: Voice) -> None:
    """Measure an engine against annotated images."""
    from raysched.imaging.annotated import find_pairs, read_pair
    from raysched.imaging.evaluation import Evaluation

    evaluation = Evaluation.of(
        options.engine or DEFAULT_ENGINE, parse_params(options.param or []), _mpp(options.mpp)
    )
    pairs = find_pairs(options.images, options.labels)
    _refuse_used(options.pictures)
    for pair in pairs:  # before the work: it may take minutes
        read_pair(pair)
    if options.pictures is not None:
        with _writing(options.pictures):
            pass
    shown = Extremes()
    tallies: dict[str, Tally] = {}
    for judged in _with_bar(evaluation.judge(pairs), len(pairs), voice):
        tallies[judged.pair.name] = judged.tally
        voice.emit(image={"name": judged.pair.name, **_facts(judged.tally)})
        if options.pictures is not None:
            shown.add(judged)
    _say_total(evaluation, tallies, voice)
    if options.pictures is not None:
        _draw(shown, evaluation, options.pictures, voice)


class Extremes:
    """Keeps the best and the worst few images by F1 at IoU 1/2, and forgets all others."""

    def __init__(self, most: int = MOST_PICTURES) -> None:
        self._most = most
        self._seen: list[Judged] = []

    def add(self, judged: Judged) -> None:
        """Take one more image."""
        self._seen.append(judged)
        self._seen.sort(key=lambda one: (-one.tally.f1(), one.pair.name))
        if len(self._seen) > 2 * self._most:
            del self._seen[self._most]

    def named(self) -> dict[str, Judged]:
        """best-1 is the best, worst-1 the worst; no image is both, an odd one is among the best."""
        worst = min(self._most, len(self._seen) // 2)
        best = self._seen[: len(self._seen) - worst]
        last = self._seen[len(best) :][::-1]
        return {
            **{f"best-{i}": one for i, one in enumerate(best, start=1)},
            **{f"worst-{i}": one for i, one in enumerate(last, start=1)},
        }


def _mpp(given: float | None) -> float:
    from raysched.imaging.mpp import plausible_mpp

    if given is None:
        raise MppMissing(
            "What is the pixel size of the images? They do not say.",
            remedy="Give the um per pixel, for example --mpp 0.25 for 40x, --mpp 0.5 for 20x.",
        )
    return plausible_mpp(given)


def _refuse_used(folder: Path | None) -> None:
    if folder is None or not (folder.exists() or folder.is_symlink()):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise OutputNotEmpty(
            f"{folder} exists already and is no empty folder.",
            remedy="Choose another folder with --pictures.",
            path=str(folder),
        )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make the folder for pictures and turn what the operating system says into one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StorageFailed(
            f"The folder {folder} for pictures cannot be written: {error.strerror or error}.",
            remedy="Name one with --pictures that may be made or written and has room.",
            path=str(folder),
        ) from error


def _with_bar(each: Iterator[T], total: int, voice: Voice) -> Iterator[T]:
    """A bar on a terminal, nothing elsewhere."""
    if voice.json or not sys.stderr.isatty():
        yield from each
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(each, "segmenting", total, console=console, transient=True)


def _facts(tally: Tally) -> dict[str, Any]:
    counts = {"annotated": tally.annotated, "found": tally.found, "matched": tally.matched[0]}
    return {**counts, **tally.measures()}


def _say_total(evaluation: Evaluation, tallies: dict[str, Tally], voice: Voice) -> None:
    from raysched.imaging.accuracy import mean_measures, pooled

    total, means = pooled(list(tallies.values())), mean_measures(list(tallies.values()))
    voice.emit(
        total={
            "engine": evaluation.engine.name,
            "version": evaluation.engine.version,
            "params": evaluation.params.model_dump(mode="json"),
            "mpp": evaluation.mpp,
            "images": len(tallies),
            **_facts(total),
            "mean_over_images": means,
        }
    )
    if voice.json:
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    voice.say(table_of(tallies, width))
    voice.say()
    voice.say(
        "F1 at IoU above .5 to .9; precision, recall, PQ and SQ at .5; RQ of PQ = SQ x RQ is F1 .5."
    )
    voice.say("pooled: cells and pixels of all images together; mean: every image counts the same.")


def table_of(tallies: dict[str, Tally], width: int | None = None) -> str:
    """One line per image and two for all of them; names are cut to what ``width`` leaves them."""
    import io

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from raysched.cli.jobs import one_line
    from raysched.imaging.accuracy import THRESHOLDS, mean_measures, pooled

    total = pooled(list(tallies.values()))
    most = max(SHORTEST_NAME, width - NUMBERS_WIDTH) if width else LONGEST_NAME
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("image", no_wrap=True)
    rates = [f"{at:.1f}".lstrip("0") for at in THRESHOLDS]
    rates[0] = f"F1 {rates[0]}"
    for heading in ("cells", "found", *rates, "prec", "rec", "PQ", "SQ", "AJI", "Dice"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, tally in tallies.items():
        word = one_line(name)
        word = word if len(word) <= most else f"{word[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
        table.add_row(word, *_counts(tally), *_rates(tally.measures()))
    table.add_section()
    table.add_row("pooled", *_counts(total), *_rates(total.measures()))
    table.add_row("mean", "", "", *_rates(mean_measures(list(tallies.values()))))
    paper = io.StringIO()
    wide = LONGEST_NAME + 2 * NUMBERS_WIDTH  # counts of millions widen it
    Console(file=paper, width=wide, color_system=None, markup=False).print(table)
    return "\n".join(line.rstrip() for line in paper.getvalue().rstrip().splitlines())


def _counts(tally: Tally) -> tuple[str, str]:
    return f"{tally.annotated:,}", f"{tally.found:,}"


def _rates(measures: dict[str, Any]) -> list[str]:
    """Three places without the leading zero: a row fits 80 columns."""
    plain = (measures[name] for name in ("precision", "recall", "pq", "sq", "aji", "dice"))
    return [f"{each:.3f}".replace("0.", ".")[:4] for each in (*measures["f1"].values(), *plain)]


def _draw(shown: Extremes, evaluation: Evaluation, folder: Path, voice: Voice) -> None:
    from raysched.results.storage import Disk

    paths = []
    with _writing(folder):
        for rank, judged in shown.named().items():
            name = judged.pair.name.encode()[:MOST_NAME_BYTES].decode(errors="ignore")
            path = folder / f"{rank}-{name}.png"
            Disk().write(path.absolute(), _picture(judged, judged.pair, evaluation))
            paths.append(path)
    voice.emit(pictures={"folder": str(folder.absolute()), "files": [each.name for each in paths]})
    voice.say()
    for path in paths:
        voice.say(f"picture  {path}")


def _picture(judged: Judged, pair: Pair, evaluation: Evaluation) -> bytes:
    from raysched.imaging.annotated import read_pair
    from raysched.results.comparison import Compared, comparison_png

    rgb, annotated = read_pair(pair)
    engine = f"{evaluation.engine.name} {evaluation.engine.version}"
    return comparison_png(Compared(pair.name, engine, rgb, judged.found, annotated, judged.tally))
