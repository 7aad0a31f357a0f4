"""Whoever asks whether the service is ready: all of them together cost the scheduler little."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

from raysched.cluster.gateway import Gateway
from raysched.cluster.health import Health
from serve_app.desk import PULSE_S, Pulse


class Asked(Gateway):
    """A scheduler that counts who asks how it is, and answers with that count."""

    def __init__(self) -> None:
        super().__init__("nowhere", patience_s=0)
        self.asked = 0

    async def health(self) -> Health:
        self.asked += 1
        told: dict[str, Any] = dict.fromkeys((each.name for each in fields(Health)), 0)
        return Health(**{**told, "epoch": self.asked})


def test_a_thousand_who_ask_cost_one_question() -> None:
    gateway = Asked()

    async def ask() -> set[int]:
        pulse = Pulse(gateway)
        return {each.epoch for each in await asyncio.gather(*(pulse.health() for _ in range(1000)))}

    assert (asyncio.run(ask()), gateway.asked) == ({1}, 1)


def test_an_answer_is_never_older_than_its_question() -> None:
    gateway = Asked()

    async def ask() -> list[int]:
        pulse, clock = Pulse(gateway), asyncio.get_running_loop().time
        began = clock()
        told = [(await pulse.health()).epoch for _ in range(3)]
        assert clock() >= began + 2 * PULSE_S
        return told

    assert asyncio.run(ask()) == [1, 2, 3]
