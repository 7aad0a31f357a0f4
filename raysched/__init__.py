"""raysched: many people share one Ray cluster to segment every cell of their whole-slide images.

``raysched.Client`` asks a running service over HTTP; it is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysched.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> object:
    """Import what is heavier than a version when it is asked for."""
    if name == "Client":
        from raysched.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
