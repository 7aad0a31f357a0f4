"""``scripts/bench [NAME...] [--json]``: runs benchmarks, each a module with ``measure()``."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

from figures import HEADER

from raysched.cli.ending import to_the_end

HELPERS = {
    "__main__",
    "bench_engines",
    "driver",
    "figures",
    "looked_at",
    "made_up",
    "many_lanes",
    "raylets",
    "slides",
}
NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in HELPERS)


def main() -> None:
    """List, or run what is named."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; see {', '.join(NAMES)}")
    for name in [] if options.names else NAMES:
        print(f"{name:<16}{(importlib.import_module(name).__doc__ or '').splitlines()[0]}")
    for name in options.names:
        run(name, as_json=options.json)


def run(name: str, *, as_json: bool) -> None:
    """Print a benchmark's figures as they come."""
    if not as_json:
        load = os.getloadavg()[0]
        print(f"== {name}: {os.cpu_count()} CPUs, load {load:.1f} at the start\n{HEADER}")
    for figure in importlib.import_module(name).measure():
        print(figure.as_json() if as_json else figure.as_row(), flush=True)


to_the_end(main)
