"""Processes of a Ray that was started here, by the titles that Ray gives them: for tests and
benchmarks that watch or kill them. Only one's own are found, never a neighbour's."""

from __future__ import annotations

import psutil

UNITS = ("ray::plan ", "ray::segment ", "ray::assemble ", "ray::publish ")
"""In the title of a process that does a unit."""


def title_of(process: psutil.Process) -> str:
    """How a process calls itself; empty once it is gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def titled(*parts: str, below: int | None = None) -> list[psutil.Process]:
    """Of the processes below one (this one) those whose title Ray has given, with one of these
    parts in it; an actor's name may stand before its class. Empty once that one is gone."""
    try:
        all_below = psutil.Process(below).children(recursive=True)
    except psutil.Error:
        return []
    titles = {each: title_of(each) for each in all_below}
    return [
        each
        for each, title in titles.items()
        if title.startswith("ray::") and any(part in title for part in parts)
    ]
