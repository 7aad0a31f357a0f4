"""Numbers as people read them: with units, few digits, and round ticks."""

from __future__ import annotations

import math
from decimal import Decimal

THIN = "\N{NARROW NO-BREAK SPACE}"
TIMES, NONE = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
UNITS = {"1": "", "um": "µm", "um2": "µm²", "OD": "OD"}  # as the columns name them


def number(value: float, digits: int = 3) -> str:
    """``digits`` significant digits, thousands apart, no exponent: 1,234 12.3 0.123."""
    if not math.isfinite(value):
        return NONE
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(places, 6)}f}"


def measured(value: float, unit: str = "") -> str:
    """A number and its unit."""
    return number(value) + (THIN + unit if unit else "")


def seconds(value: float) -> str:
    """A duration: 0.41 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if value < 60:
        return measured(value, "s")
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


def size(size_bytes: int) -> str:
    """A size in kB or MB."""
    return (
        measured(size_bytes / 1e6, "MB") if size_bytes >= 1e6 else measured(size_bytes / 1e3, "kB")
    )


def round_step(wanted: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least ``wanted``, which is > 0."""
    power: float = 10.0 ** math.floor(math.log10(wanted))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= wanted * (1 - 1e-9))


def ticks(low: float, high: float, most: int) -> list[float]:
    """About ``most`` round numbers from ``low`` to ``high``; two or more if that can be."""
    if not high > low:
        return [low]
    for wanted in (most, 2 * most):
        step = round_step((high - low) / wanted)
        first, last = math.ceil(low / step - 1e-3), math.floor(high / step + 1e-3)
        if last > first:
            break
    return [each * step for each in range(first, last + 1)]


def tick_names(values: list[float]) -> list[str]:
    """The ticks, all with the decimals that tell them apart."""
    exponents = [Decimal(f"{value:.6g}").normalize().as_tuple().exponent for value in values]
    places = max(0, *(-each for each in exponents if isinstance(each, int)), 0)
    return [f"{value + 0.0:,.{places}f}" for value in values]
