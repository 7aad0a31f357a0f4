"""Which engines are installed, what each takes, and which cannot be used and why."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from raysched.errors import EngineFailed
from raysched.imaging.engine import engine_points, load_engine


@dataclass(frozen=True, slots=True)
class Listed:
    """An engine that can be used. ``parameters``: their JSON schema."""

    name: str
    version: str
    package: str
    target_mpp: float
    halo_um: float
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unusable:
    """An engine that is installed and cannot be used."""

    name: str
    package: str
    why: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All installed engines, each list by name."""

    engines: tuple[Listed, ...]
    unusable: tuple[Unusable, ...]


def catalogue() -> Catalogue:
    """Load every installed engine and see. A broken one keeps no other from being listed."""
    first: dict[str, str] = {}
    engines: list[Listed] = []
    unusable: list[Unusable] = []
    for point in engine_points():
        package = _package(point)
        if first.setdefault(point.name, package) != package:
            why = f"{first[point.name]} has an engine of this name, which is the one that is asked."
            unusable.append(Unusable(point.name, package, why))
            continue
        try:
            engines.append(_listed(point))
        except EngineFailed as error:
            unusable.append(Unusable(point.name, package, f"{error.message} {error.remedy}"))
    return Catalogue(
        tuple(sorted(engines, key=lambda engine: engine.name)),
        tuple(sorted(unusable, key=lambda each: each.name)),
    )


def _listed(point: EntryPoint) -> Listed:
    engine = load_engine(point.name)
    try:
        return Listed(
            name=engine.name,
            version=str(engine.version),
            package=_package(point),
            target_mpp=float(engine.target_mpp),
            halo_um=float(engine.halo_um),
            parameters=engine.Params.model_json_schema(),
        )
    except Exception as error:
        raise EngineFailed(
            f"Engine {point.name!r} cannot be described: {error!r}.",
            remedy="Report this to its author.",
            engine=point.name,
        ) from error


def _package(point: EntryPoint) -> str:
    """Name and version of the package that brought an engine."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
