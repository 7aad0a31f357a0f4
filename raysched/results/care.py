"""Whether this unit is done in as little memory as can be, at the price of time.

What comes out is the same, bit for bit. Told by who gives the unit to this thread; those who do the
work ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_so: ContextVar[bool] = ContextVar("careful", default=False)


@contextmanager
def careful(is_so: bool) -> Iterator[None]:
    """Do what is inside with as little memory as can be, if ``is_so``."""
    token = _is_so.set(is_so)
    try:
        yield
    finally:
        _is_so.reset(token)


def is_careful() -> bool:
    """Whether one thing is to be done after another and nothing is to be held ahead."""
    return _is_so.get()
