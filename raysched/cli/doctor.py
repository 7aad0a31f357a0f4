"""``raysched doctor``: what is wrong with the service, and what to do; ``--repair`` does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Common
from raysched.cli.session import settings
from raysched.cli.voice import Voice

if TYPE_CHECKING:
    from raysched.cluster.doctor import Found
    from raysched.config import Config

MOST_OF_A_SORT = 20
WRONG_EXIT_CODE = 1


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Common):
    """The options of ``doctor``."""

    repair: Annotated[
        bool, typer.Option("--repair", help="Do what is surely safe. Results are never touched.")
    ] = False


def doctor(options: DoctorOptions, voice: Voice) -> None:
    """Look what is wrong with the service and say what to do. Exit code 1: something is."""
    seen: Counter[str] = Counter()
    wrong = repaired = 0
    for each in _found(settings(options.address), repair=options.repair):
        wrong += each.is_wrong
        repaired += each.repaired is not None
        seen[each.check] += 1
        _emit(each, voice)
        if seen[each.check] <= MOST_OF_A_SORT:
            _say(each, voice)
        elif seen[each.check] == MOST_OF_A_SORT + 1:
            voice.say(f"        {each.check}: and more of the same; all with --json")
    voice.emit(doctor={"wrong": wrong, "repaired": repaired})
    voice.say(_total(wrong, repaired))
    if wrong:
        raise typer.Exit(WRONG_EXIT_CODE)


def _found(config: Config, *, repair: bool) -> Iterator[Found]:
    from raysched.cluster import doctor_files, doctor_ray
    from raysched.cluster.doctor import Look, examine
    from serve_app import checks as doctor_serve

    look = Look.at(config)
    table = {**doctor_files.CHECKS, **doctor_ray.CHECKS, **doctor_serve.CHECKS}
    try:
        yield from examine(look, table, repair=repair)
    finally:
        doctor_ray.leave()


def _emit(each: Found, voice: Voice) -> None:
    finding = each.finding
    voice.emit(
        check=each.check,
        grade=finding.grade,
        says=finding.says,
        remedy=finding.remedy or None,
        repaired=each.repaired,
    )


def _say(each: Found, voice: Voice) -> None:
    finding = each.finding
    voice.say(f"{finding.grade.value:<6}  {each.check}: {finding.says}")
    if each.repaired is not None:
        voice.say(f"        done: {each.repaired}")
    elif finding.remedy:
        voice.say(f"        do: {finding.remedy}")


def _total(wrong: int, repaired: int) -> str:
    done = f"{repaired} repaired; " if repaired else ""
    return f"{done}{wrong} to be done" if wrong else f"{done}nothing is wrong"
