"""Who is asking. There is one local user until there are keys; nothing else may name a user."""

from __future__ import annotations

from raysched.core.model import UserId

LOCAL_USER = UserId("local")


def caller() -> UserId:
    """The user that a request comes from, as a FastAPI dependency."""
    return LOCAL_USER
