"""The door to differences: the numbers, and their files, which appear whole or not at all."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from raysched.results.difference.facts import differing, gather
from raysched.results.difference.page import after_picture, before_picture
from raysched.results.difference.picture import picture_png
from raysched.results.difference.tables import write_geojson, write_parquet
from raysched.results.exports.archives import compressed
from raysched.results.exports.export import replacing_tree
from raysched.results.schema import unit_of
from raysched.results.storage import Disk, storage

NAME = "diff"
SUFFIXES = (".html", ".png", ".parquet", ".geojson.gz", ".geojson", ".json")
"""How a file is named that holds one part of a difference; a folder has all but plain GeoJSON."""
IN_A_FOLDER = tuple(suffix for suffix in SUFFIXES if suffix != ".geojson")
QUANTILES = {"median": 0.5, "p05": 0.05, "p95": 0.95}


class Difference:
    """Two finished results of one slide, compared when it is opened.

    Raises ``NotReady`` when one is no finished result, ``DifferentSlides``, ``StorageFailed``.
    """

    def __init__(self, first: Path, second: Path) -> None:
        self.facts = gather(first, second)

    def numbers(self) -> dict[str, Any]:
        """Everything that was counted, for JSON. ``f1`` is by IoU; changes are second - first."""
        facts = self.facts
        first, second = facts.first.manifest, facts.second.manifest
        sides = [
            {"job": each.job, "cells": each.counts.cells, "checksum": each.checksum}
            for each in (first, second)
        ]
        rounded = facts.tally.measures()
        return {
            "first": sides[0],
            "second": sides[1],
            "slide": first.slide.name,
            "slide_sha256": first.slide.sha256,
            **{status.value: count for status, count in facts.counts.items()},
            "f1": rounded["f1"],
            "jaccard": round(facts.jaccard, 6),
            "mean_iou": rounded["sq"],
            "changes": {name: self._change(name) for name in facts.changes},
            "differing": [
                {"setting": name, "first": one, "second": other}
                for name, one, other in differing(first, second)
            ],
        }

    def pieces(self) -> Iterator[bytes]:
        """The page as UTF-8."""
        yield before_picture(self.facts).encode()
        yield b"data:image/png;base64," + b64encode(picture_png(self.facts))
        yield after_picture(self.facts).encode()

    def file(self, path: Path) -> int:
        """Write the part that the name's suffix asks for; its size in bytes."""
        suffix = suffix_of(path)
        if suffix is None:
            raise ValueError(f"{path.name} ends in none of {SUFFIXES}")
        with storage(path):
            with Disk().replacing(path) as to:
                self._writers()[suffix](to)
            return path.stat().st_size

    def folder(self, path: Path) -> list[Path]:
        """Write all parts into a new folder; their paths."""
        with storage(path):
            with replacing_tree(path) as fresh:
                fresh.mkdir()
                for suffix in IN_A_FOLDER:
                    self.file(fresh / f"{NAME}{suffix}")
            return [path / f"{NAME}{suffix}" for suffix in IN_A_FOLDER]

    def _change(self, name: str) -> dict[str, Any]:
        change = self.facts.changes[name]
        values = {
            word: round(change.quantile(share), 6) if change.count else None
            for word, share in QUANTILES.items()
        }
        unit = unit_of(name)
        return {"unit": unit, "cells": change.count, **values}

    def _writers(self) -> dict[str, Callable[[BinaryIO], None]]:
        facts, numbers = self.facts, self.numbers()
        geojson = partial(write_geojson, facts, numbers)
        return {
            ".html": lambda to: to.writelines(self.pieces()),
            ".png": lambda to: _put(picture_png(facts), to),
            ".parquet": partial(write_parquet, facts, numbers),
            ".geojson": geojson,
            ".geojson.gz": partial(_packed, geojson),
            ".json": lambda to: _put(json.dumps(numbers, indent=2).encode() + b"\n", to),
        }


def suffix_of(path: Path) -> str | None:
    """Which part of a difference a file of that name holds; None where it is a folder's name."""
    return next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)


def _put(data: bytes, to: BinaryIO) -> None:
    to.write(data)


def _packed(write: Callable[[BinaryIO], None], to: BinaryIO) -> None:
    with compressed(to) as inner:
        write(inner)
