"""The doorman of a replica, with an actor that counts its questions and a clock that is set."""

from __future__ import annotations

import asyncio

import pytest

from raysched.cluster.accounts import Secret
from raysched.cluster.gateway import Gateway
from raysched.cluster.limiter import Admission, Budget, Limiter, pace_of
from raysched.config import LimitSettings
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.model import KeyId, UserId
from raysched.errors import Busy, LimitReached, TooManyRequests, Unauthorized
from serve_app.doorman import MEMORY, Doorman, Recent
from serve_app.places import Places

EVE, BOB = UserId("eve"), UserId("bob")
LIMITS = LimitSettings(strangers_burst=3, strangers_per_s=1.0)


class Actor(Gateway):
    """As the scheduler actor: knows some keys, and keeps the buckets."""

    def __init__(self, keys: dict[str, UserId]) -> None:
        super().__init__("nowhere", patience_s=0)
        self.keys = keys
        self.limiter = Limiter()
        self.now = 0.0
        self.asked = 0
        self.disabled: set[UserId] = set()

    async def admit(self, key: KeyId, digest: str, budget: Budget) -> Admission:
        self.asked += 1
        user = self.keys.get(digest)
        if user is None:
            raise Unauthorized("This key is not known.", remedy="Check it.", for_ever=True)
        if user in self.disabled:
            raise Unauthorized("This user is disabled.", remedy="Ask.")
        taken = self.limiter.take((user, budget), pace_of(LIMITS, budget), self.now)
        return Admission(Caller(user, user, Role.USER, key, KeyKind.API, 50), taken)


class World:
    """An actor and the doormen of replicas before it."""

    def __init__(self, replicas: int = 1) -> None:
        self.eve, self.eve_too, self.bob = (Secret.new(KeyKind.API) for _ in range(3))
        known = {self.eve.digest: EVE, self.eve_too.digest: EVE, self.bob.digest: BOB}
        self.actor = Actor(known)
        self.doormen = [
            Doorman(self.actor, LIMITS, lambda: self.actor.now) for _ in range(replicas)
        ]

    def ask(self, key: Secret, budget: Budget = Budget.CREATE, replica: int = 0) -> Admission:
        return asyncio.run(self.doormen[replica].admit(key.text, KeyKind.API, budget))

    def is_let_in(self, key: Secret, budget: Budget = Budget.CREATE, replica: int = 0) -> bool:
        try:
            self.ask(key, budget, replica)
        except TooManyRequests:
            return False
        return True


def test_a_flooding_user_costs_the_actor_one_question_more_than_is_let_in() -> None:
    world = World()
    assert sum(world.is_let_in(world.eve) for _ in range(1000)) == 5
    assert world.actor.asked == 6
    world.actor.now += 1.0
    assert [world.is_let_in(world.eve) for _ in range(3)] == [True, False, False]


def test_replicas_share_a_users_bucket() -> None:
    world = World(replicas=3)
    answers = [world.is_let_in(world.eve, replica=each % 3) for each in range(300)]
    assert sum(answers) == 5


def test_all_keys_of_a_user_share_and_other_users_do_not_notice() -> None:
    world = World()
    assert [world.is_let_in(world.bob), world.is_let_in(world.eve_too)] == [True, True]
    assert sum(world.is_let_in(world.eve) for _ in range(10)) == 4
    asked = world.actor.asked
    assert not world.is_let_in(world.eve_too)
    assert world.actor.asked == asked
    assert world.is_let_in(world.bob)
    assert world.is_let_in(world.eve, Budget.EXPORT)


def test_the_refusal_says_how_long_it_still_lasts() -> None:
    world = World()
    while world.is_let_in(world.eve):
        pass
    world.actor.now += 0.75
    with pytest.raises(TooManyRequests) as refused:
        world.ask(world.eve)
    assert refused.value.retry_after_s == pytest.approx(0.25)


def test_a_key_that_opens_nothing_is_asked_about_once_a_second() -> None:
    world = World()
    unknown = Secret.new(KeyKind.API)
    for _ in range(100):
        with pytest.raises(Unauthorized, match="not known"):
            world.ask(unknown)
    assert world.actor.asked == 1
    world.actor.now += 1.5
    with pytest.raises(Unauthorized):
        world.ask(unknown)
    assert world.actor.asked == 2


@pytest.mark.parametrize("text", ["", "rsk_", "x" * 10_000, "rsk_0123", "\ud800"])
def test_what_cannot_be_a_key_never_reaches_the_actor(text: str) -> None:
    world = World()
    with pytest.raises(Unauthorized):
        asyncio.run(world.doormen[0].admit(text, KeyKind.API, Budget.DEFAULT))
    with pytest.raises(Unauthorized, match="not for this use"):
        login = Secret.new(KeyKind.LOGIN)
        asyncio.run(world.doormen[0].admit(login.text, KeyKind.API, Budget.DEFAULT))
    assert world.actor.asked == 0


def test_trying_many_keys_is_slow_and_does_not_slow_down_who_is_at_work() -> None:
    world = World()
    world.ask(world.bob)
    for _ in range(2):
        with pytest.raises(Unauthorized):
            world.ask(Secret.new(KeyKind.API))
    for _ in range(100):
        with pytest.raises(TooManyRequests) as refused:
            world.ask(Secret.new(KeyKind.API))
    assert refused.value.facts["budget"] == "strangers"
    assert world.actor.asked == 3
    assert not world.is_let_in(world.eve)  # not seen here before: she has to wait her turn
    assert world.is_let_in(world.bob)
    world.actor.now += 1.0
    assert world.is_let_in(world.eve)


def test_who_is_enabled_again_is_let_in_at_once() -> None:
    world = World()
    world.actor.disabled.add(EVE)
    with pytest.raises(Unauthorized, match="disabled"):
        world.ask(world.eve)
    world.actor.disabled.clear()
    assert world.is_let_in(world.eve)


def test_a_key_that_was_revoked_opens_nothing_from_the_next_request_on() -> None:
    world = World()
    world.ask(world.eve)
    del world.actor.keys[world.eve.digest]
    with pytest.raises(Unauthorized):
        world.ask(world.eve)


def test_only_the_newest_are_remembered() -> None:
    recent: Recent[int, int] = Recent()
    for each in range(MEMORY + 10):
        recent.put(each, each)
        recent.put(0, each)
    assert (recent.get(0), recent.get(1), recent.get(11)) == (MEMORY + 9, None, 11)


# --- places ---------------------------------------------------------------------------------------


def test_places_are_counted_for_each_user_and_in_all_and_given_back() -> None:
    places = Places("downloads", per_user=2, in_all=3)
    with places.taken(EVE), places.taken(EVE):
        with pytest.raises(LimitReached, match="2 downloads of yours"), places.taken(EVE):
            pass
        with places.taken(BOB), pytest.raises(Busy, match="3 downloads"), places.taken(BOB):
            pass
        assert len(places) == 2
    with pytest.raises(ZeroDivisionError), places.taken(EVE):
        raise ZeroDivisionError
    assert len(places) == 0


def test_a_place_is_given_back_when_the_request_is_cancelled() -> None:
    places = Places("downloads", per_user=1, in_all=1)

    async def story() -> int:
        begun = asyncio.Event()

        async def download() -> None:
            with places.taken(EVE):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(download())
        await begun.wait()
        during = len(places)
        task.cancel()
        await asyncio.wait({task})
        return during

    assert (asyncio.run(story()), len(places)) == (1, 0)
