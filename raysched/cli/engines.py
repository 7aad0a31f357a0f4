"""``raysched engines``: what is installed to find cells, and what each engine may be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysched.cli.options import Serving
from raysched.cli.service import reach
from raysched.cli.voice import Voice

if TYPE_CHECKING:
    from serve_app.models import Engine

NO_DEFAULT = "-"
LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "from {} characters",
    "maxLength": "to {} characters",
    "pattern": "like {}",
}
"""What a JSON schema says of a value, in the order in which it is said."""


@dataclass(frozen=True, kw_only=True)
class EnginesOptions(Serving):
    """The options of ``engines``."""


def engines(options: EnginesOptions, voice: Voice) -> None:
    """List the installed engines with their parameters, or those of a server."""
    with reach(options) as service:
        found = service.engines()
    voice.emit(**found.model_dump(mode="json"))
    for engine in found.engines:
        for line in described(engine):
            voice.say(line)
    for broken in found.unusable:
        voice.say(f"{broken.name} ({broken.package}) cannot be used: {broken.why}")


def described(engine: Engine) -> Iterator[str]:
    """An engine in a line, then a line for each parameter."""
    yield (
        f"{engine.name} {engine.version} ({engine.package}): sees {engine.target_mpp:g} um/px, "
        f"looks {engine.halo_um:g} um far"
    )
    rows = list(parameters(engine.parameters))
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        columns = (f"{word:{width}}" for word, width in zip(row, widths, strict=False))
        yield f"  {'  '.join(columns)}  {row[3]}".rstrip()


def parameters(schema: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, default, limits and meaning of each parameter of a JSON schema."""
    import json

    for name, field in schema.get("properties", {}).items():
        default = json.dumps(field["default"]) if "default" in field else NO_DEFAULT
        yield name, default, limits(field, schema), field.get("description", "")


def limits(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Which values a field takes: '0.2 to 3', or its kind where it has no limits."""
    if "$ref" in field:
        named = schema.get("$defs", {}).get(field["$ref"].rpartition("/")[2], {})
        return limits(named, schema)
    if options := field.get("anyOf", field.get("oneOf")):
        return " or ".join(limits(each, schema) for each in options)
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    words = " ".join(form.format(field[key]) for key, form in LIMITS.items() if key in field)
    return words.removeprefix("from ") if " to " in words else words or field.get("type", "any")
