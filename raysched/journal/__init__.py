"""The append-only event log in DuckDB: durable before anything acts on it, replayed at start.

The only package that imports duckdb. ``Journal`` is the one door, and the one process (and thread)
that opened it is the only one that may write the state folder; the lock in ``lock.py`` sees to it.
"""

from __future__ import annotations
