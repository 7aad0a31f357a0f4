"""Engines of a benchmark's own, as a package that is found by its entry points and then gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def installed(folder: Path, module: str, text: str, engines: Mapping[str, str]) -> Iterator[None]:
    """Install a module with engines (class by name), for this process and those that it starts."""
    info = folder / f"{module}-1.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    points = [f"{name} = {module}:{made}" for name, made in engines.items()]
    (info / "entry_points.txt").write_text("\n".join(["[raysched.engines]", *points]))
    sys.path.insert(0, str(folder))
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (str(folder), known) if part)
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        os.environ["PYTHONPATH"] = known
