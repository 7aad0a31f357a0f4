"""Pages over HTTP: how many a page holds, and the cursor that leads to the one after it.

A cursor is a place in a listing as text. It is for the service alone, and holds nothing secret:
what is shown from it on is the caller's own, whoever made it up.
"""

from __future__ import annotations

import base64
import json
from typing import Annotated

from fastapi import Query
from pydantic import TypeAdapter, ValidationError

from raysched.cluster.listing import PAGE_MOST, Place
from raysched.errors import InvalidSetting

PAGE_USUAL = 100
LARGEST = 10**12
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST, description="how many a page may hold")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next` of the page before, as it is")
]
_PLACES = TypeAdapter(Place)


def cursor_of(place: Place | None) -> str | None:
    """A place as text for a URL."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> Place | None:
    """The place that a cursor names. Raises ``InvalidSetting``."""
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place = _PLACES.validate_json(base64.b64decode(padded, b"-_", validate=True), strict=True)
        if 0 <= place.job <= LARGEST and abs(place.submitted_at) <= LARGEST:
            return place
    except (ValueError, ValidationError):
        pass
    raise InvalidSetting(
        "The cursor is none that this service has given.",
        remedy="Send `next` of the page before as it is, or leave it out for the first page.",
    )
