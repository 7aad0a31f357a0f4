"""Lists that the service answers page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from raysched.client.wire import Call, M, Wire


def pages(
    wire: Wire, path: str, name: str, kind: type[M], params: Mapping[str, Any]
) -> Iterator[M]:
    """The members ``name`` of all pages of a list, each page asked for when it is needed."""
    cursor: dict[str, str] = {}
    while True:
        page = wire.send(Call(method="GET", path=path, params={**params, **cursor})).json()
        for each in page[name]:
            yield wire.read(kind, json.dumps(each))
        if not page.get("next"):
            return
        cursor = {"cursor": page["next"]}
