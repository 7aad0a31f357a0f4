"""raysched: many people share one Ray cluster to segment every cell of their whole-slide images."""

from __future__ import annotations

__version__ = "0.1.0"
