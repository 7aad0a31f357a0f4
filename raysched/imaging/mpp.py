"""The pixel size of a slide: taken from where it is stated, refused when it cannot be true.

A wrong pixel size changes every area and every threshold silently, so a doubtful one becomes a
question to a person before any compute.
"""

from __future__ import annotations

from raysched.errors import InvalidSetting, MppMissing
from raysched.imaging.slide import Slide

MIN_MPP = 0.08
MAX_MPP = 2.0
MAX_ANISOTROPY = 0.05
MPP_TIMES_POWER = 10.0
"""um: pixel size times objective power of common scanners (40x is 0.25 um, 20x is 0.5 um)."""
UM_PER_UNIT = {"centimeter": 10_000.0, "inch": 25_400.0}


def resolve_mpp(slide: Slide, user: float | None) -> tuple[float, str]:
    """The um per level-0 px and its source: "user", "vendor", "tiff" or "objective".

    The first source that says anything decides, except that an implausible TIFF resolution is
    passed over (72 dpi is what writers put when they know nothing). Raises ``MppMissing`` when
    nothing plausible is left or x and y differ by more than 5 %, ``InvalidSetting`` when the
    user's value lies outside 0.08..2 um.
    """
    if user is not None:
        return plausible_mpp(user), "user"
    found: list[str] = []
    for source, x, y in _stated(slide):
        found.append(f"{source} says {x:g} um" if x == y else f"{source} says {x:g} x {y:g} um")
        if not (_plausible(x) and _plausible(y)):
            if source == "tiff":
                continue
            break
        if abs(x - y) > MAX_ANISOTROPY * min(x, y):
            break
        return (x + y) / 2, source
    raise MppMissing(
        f"What is the pixel size of {slide.path.name}? "
        + ("; ".join(found) + ", which cannot be right." if found else "The file does not say."),
        remedy="Answer with the um per pixel at full resolution: --mpp 0.25 for 40x, 0.5 for 20x.",
        path=str(slide.path),
        found=found,
        min_mpp=MIN_MPP,
        max_mpp=MAX_MPP,
    )


def plausible_mpp(user: float) -> float:
    """The user's value. Raises ``InvalidSetting`` when it lies outside 0.08..2 um."""
    if not _plausible(user):
        raise InvalidSetting(
            f"A pixel size of {user:g} um is outside {MIN_MPP:g}..{MAX_MPP:g} um.",
            remedy="Give the um per pixel at full resolution, for example --mpp 0.25.",
            mpp=user,
        )
    return user


def _stated(slide: Slide) -> list[tuple[str, float, float]]:
    """(source, x, y) of each source that says something, best first.

    OpenSlide fills ``openslide.mpp-*`` of generic TIFFs from the TIFF resolution, so there the
    source is "tiff".
    """
    stated: list[tuple[str, float, float]] = []
    x, y = _number(slide, "openslide.mpp-x"), _number(slide, "openslide.mpp-y")
    if x is not None and y is not None:
        stated.append(("tiff" if slide.vendor == "generic-tiff" else "vendor", x, y))
    per_x, per_y = _number(slide, "tiff.XResolution"), _number(slide, "tiff.YResolution")
    unit = UM_PER_UNIT.get(slide.properties.get("tiff.ResolutionUnit", ""))
    known = any(source == "tiff" for source, _, _ in stated)
    if per_x and per_y and unit and not known:
        stated.append(("tiff", unit / per_x, unit / per_y))
    power = _number(slide, "openslide.objective-power")
    if power:
        stated.append(("objective", MPP_TIMES_POWER / power, MPP_TIMES_POWER / power))
    return stated


def _number(slide: Slide, name: str) -> float | None:
    try:
        return float(slide.properties[name])
    except (KeyError, ValueError):
        return None


def _plausible(mpp: float) -> bool:
    return MIN_MPP <= mpp <= MAX_MPP
