"""How soon there is a sample slide without a network, beside the making of the synthetic one."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from figures import Figure

from raysched.imaging.samples import (
    SYNTHETIC_NUCLEI,
    SYNTHETIC_SIZE_PX,
    sample_slide,
)
from raysched.imaging.synthetic import write_synthetic_slide


def measure() -> Iterator[Figure]:
    """Seconds until the answer in each way of having no network."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as closing:
        folder = Path(name)
        width, height = SYNTHETIC_SIZE_PX
        plain_s = _seconds(
            lambda: write_synthetic_slide(
                folder / "plain.tif", width_px=width, height_px=height, nuclei=SYNTHETIC_NUCLEI
            )
        )
        silent = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        for what, url in (
            ("connection refused", f"http://127.0.0.1:{_port_of_none()}/sample"),
            ("a name that does not exist", "http://slides.invalid/sample"),
            ("a server that says nothing", f"http://127.0.0.1:{silent.getsockname()[1]}/sample"),
        ):
            cache = folder / what.replace(" ", "-")

            def ask(url: str = url, cache: Path = cache) -> object:
                return sample_slide(None, cache, url=url)

            yield Figure(f"{what}, slide included", _seconds(ask), "s", plain_s, 5.0)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _port_of_none() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
