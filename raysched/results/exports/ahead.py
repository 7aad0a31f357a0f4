"""Making the next items while the present one is used."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from queue import Full, Queue
from typing import TypeVar

Item = TypeVar("Item")

WAIT_S = 0.05
"""How soon a producer notices that nobody reads any more."""


class _End:
    """The last thing in the queue, with what ended the production early."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[Item], depth: int = 1) -> Generator[Item]:
    """The same items, made in a thread of its own, at most ``depth`` of them before they are asked
    for. What making them raises is raised here; a reader that stops early ends the thread.
    """
    queue: Queue[Item | _End] = Queue(depth)
    left = threading.Event()

    def put(item: Item | _End) -> bool:
        while not left.is_set():
            try:
                queue.put(item, timeout=WAIT_S)
            except Full:
                continue
            return True
        return False

    def produce() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as raised:  # noqa: BLE001 - carried to the reader
            error = raised
        put(_End(error))

    producer = threading.Thread(target=produce, name="ahead", daemon=True)
    producer.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        producer.join()
