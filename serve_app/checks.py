"""Checks of ``raysched doctor`` that look at HTTP and at uploads."""

from __future__ import annotations

import http.client
import time
import urllib.error
from collections.abc import Iterator
from typing import Final

from raysched.cluster.doctor import Check, Finding, Grade, Look
from raysched.cluster.nearby import ask_nearby

HTTP_WAIT_S: Final = 10.0


def application(look: Look) -> Iterator[Finding]:
    """Deployed and running on the cluster at hand."""
    if not look.joined:
        return
    from ray import serve

    from serve_app.app import APP_NAME

    found = serve.status().applications.get(APP_NAME)
    if found is None:
        yield Finding("the HTTP service is not deployed", Grade.NOTE, "`raysched up` deploys it.")
    elif found.status != "RUNNING":
        remedy = "Serve starts replicas again by itself; if this stays, see its log."
        yield Finding(f"the HTTP service is {found.status.lower()}", Grade.BAD, remedy)
    else:
        yield Finding("the HTTP service is deployed")


def answers(look: Look) -> Iterator[Finding]:
    """HTTP answers where `raysched up` says that it serves."""
    url = look.keeper.url if look.keeper else None
    if url is None:
        return
    try:
        with ask_nearby(f"{url}/readyz", HTTP_WAIT_S):
            yield Finding(f"{url} is ready")
    except urllib.error.HTTPError as error:
        remedy = "Ask again in a moment; see what is said of the scheduler."
        yield Finding(f"{url} answers that it is not ready ({error.code})", Grade.BAD, remedy)
    except (OSError, http.client.HTTPException) as error:
        remedy = "`raysched up` starts it again by itself if this stays; see what it says."
        yield Finding(f"{url} does not answer: {error}", Grade.BAD, remedy)


def uploads(look: Look) -> Iterator[Finding]:
    """Half uploads past their time; the service itself deletes them now and then."""
    limit = time.time() - look.config.serve.upload_hours * 3600
    late = [
        folder
        for user in look.config.uploads.glob("*/.uploads")
        for folder in user.iterdir()
        if folder.stat().st_mtime < limit
    ]
    if late:
        yield Finding(
            f"{len(late)} uploads have not gone on for {look.config.serve.upload_hours:g} h",
            Grade.NOTE,
            "The service deletes them by itself when somebody uploads.",
        )


CHECKS: Final[dict[str, Check]] = {"Serve": application, "HTTP": answers, "uploads": uploads}
