"""Models of the engine ``instanseg`` for all tests of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the models; ``cache`` in it is the engine's."""
    return tmp_path_factory.mktemp("instanseg")


@pytest.fixture(scope="session")
def weights(folder: Path) -> Path:
    """A small model that finds nuclei."""
    from tiny_instanseg import write_model

    return write_model(folder / "tiny.pt")


@pytest.fixture(scope="session")
def both_kinds(folder: Path) -> Path:
    """One that finds nuclei and cells."""
    from tiny_instanseg import write_model

    return write_model(folder / "both.pt", cells_and_nuclei=True)


@pytest.fixture
def engine(folder: Path) -> Any:
    """The engine with a cache of its own."""
    from raysched.imaging.instanseg.engine import InstansegEngine

    return InstansegEngine(folder / "cache")
