"""What the engines of this package need to be run at all, for tests that go over all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysched.errors import EngineFailed
from raysched.imaging.engine import load_engine


def usable(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The parameters that an engine needs here; the test is skipped where it cannot be used.

    ``folder``: where models may be made, and kept.
    """
    try:
        load_engine(name)
    except EngineFailed as error:
        pytest.skip(f"{error.message} {error.remedy}")
    if name != "instanseg":
        return {}
    from tiny_instanseg import write_model

    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return {"weights": str(write_model(folder / "tiny.pt"))}
