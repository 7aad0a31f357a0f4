"""Random lives of users and keys, beside jobs that run, judged by a naive model.

After every event the model says for each key there ever was whom it opens for; the invariants are
checked; what was refused or is no news must have changed nothing; a replay must give the same.
"""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import dataclass
from typing import get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from world import cluster

from raysched.core.accounts import KeyKind, Role
from raysched.core.events import (
    Event,
    IdentityEvent,
    KeyMade,
    KeyRevoked,
    KeyUsed,
    LoggedIn,
    UserChanged,
    UserCreated,
    UserDeleted,
)
from raysched.core.identity import identify
from raysched.core.model import KeyId, UserId
from raysched.core.scheduler import Scheduler
from raysched.errors import RayschedError, Unauthorized
from raysched.testing import job
from tests.nightly import NIGHTLY

USERS = st.sampled_from([UserId(name) for name in ("ann", "bob", "cas")])
KEYS = st.sampled_from([KeyId(f"k{number}") for number in range(4)])
ROLES = st.sampled_from(Role)
RANK = [Role.READ_ONLY, Role.USER, Role.ADMIN]
LASTS = st.one_of(st.none(), st.floats(1, 100))

MET: Counter[tuple[type[Event], object]] = Counter()
"""How events were taken, so that a search that got poorer is noticed."""
TO_BE_MET = {
    *((kind, True) for kind in get_args(IdentityEvent)),
    *((kind, "refused") for kind in get_args(IdentityEvent) if kind is not KeyUsed),
    *((kind, False) for kind in (UserChanged, UserDeleted, KeyRevoked, KeyUsed)),
}


@dataclass
class Known:
    """A key as the model sees it."""

    user: UserId
    role: Role
    until: float | None
    is_once: bool = False
    parent: KeyId | None = None
    is_over: bool = False


class Lives(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.c = cluster(lanes=2)
        self.now = 0.0
        self.roles: dict[UserId, Role] = {}
        self.shut: set[UserId] = set()
        self.gone: set[UserId] = set()
        self.keys: dict[KeyId, Known] = {}
        self.jobs = 0

    @initialize(roles=st.lists(ROLES, min_size=2, max_size=2), is_once=st.booleans())
    def begin(self, roles: list[Role], is_once: bool) -> None:
        for number, (name, role) in enumerate(zip(("ann", "bob"), roles, strict=True)):
            self.create(UserId(name), role)
            self.make_key(UserId(name), KeyId(f"k{number}"), role, None, is_once)

    def tell(self, event: Event) -> bool:
        """Whether the event was taken and was news."""
        before, revision = pickle.dumps(self.c.core.state), self.c.core.revision
        try:
            self.c.tell(event)
        except RayschedError:
            assert pickle.dumps(self.c.core.state) == before
            MET[type(event), "refused"] += 1
            return False
        is_news = self.c.core.revision != revision
        assert is_news or pickle.dumps(self.c.core.state) == before
        MET[type(event), is_news] += 1
        return is_news

    def opens(self, name: KeyId) -> bool:
        key = self.keys[name]
        is_late = key.until is not None and self.now >= key.until
        return not (key.is_over or is_late or key.user in self.shut | self.gone)

    @rule(user=USERS, role=ROLES)
    def create(self, user: UserId, role: Role) -> None:
        took = self.tell(UserCreated(self.now, user, "Somebody", role, f"{self.now}"))
        assert took == (user not in self.roles)
        if took:
            self.roles[user] = role

    @rule(user=USERS, is_so=st.booleans())
    def disable(self, user: UserId, is_so: bool) -> None:
        is_there = user in self.roles and user not in self.gone
        took = self.tell(UserChanged(self.now, user, disabled=is_so))
        assert took == (is_there and is_so != (user in self.shut))
        if took:
            (self.shut.add if is_so else self.shut.remove)(user)

    @rule(user=USERS, most=st.integers(0, 9), weight=st.floats(0.5, 2))
    def change(self, user: UserId, most: int, weight: float) -> None:
        self.tell(UserChanged(self.now, user, max_jobs=most, weight=weight))

    @rule(user=USERS)
    def delete(self, user: UserId) -> None:
        took = self.tell(UserDeleted(self.now, user))
        assert took == (user in self.roles and user not in self.gone)
        if took:
            self.gone.add(user)

    @rule(user=USERS, name=KEYS, role=ROLES, lasts_s=LASTS, is_once=st.booleans())
    def make_key(
        self, user: UserId, name: KeyId, role: Role, lasts_s: float | None, is_once: bool
    ) -> None:
        until = self.now + lasts_s if lasts_s is not None else None
        kind = KeyKind.LOGIN if is_once else KeyKind.API
        took = self.tell(KeyMade(self.now, user, name, kind, "a key", role, name, until))
        if name not in self.keys:
            is_there = user in self.roles and user not in self.gone
            assert took == (is_there and RANK.index(role) <= RANK.index(self.roles[user]))
        if took:
            self.keys[name] = Known(user, role, until, is_once)

    @rule(user=USERS, name=KEYS)
    def revoke(self, user: UserId, name: KeyId) -> None:
        if self.tell(KeyRevoked(self.now, user, name)):
            assert self.keys[name].user == user
            for key in (self.keys[name], *(k for k in self.keys.values() if k.parent == name)):
                key.is_over = True

    @rule(name=KEYS)
    def use(self, name: KeyId) -> None:
        self.tell(KeyUsed(self.now, name))

    @rule(name=KEYS, lasts_s=st.floats(1, 100))
    def log_in(self, name: KeyId, lasts_s: float) -> None:
        session = KeyId(f"s{len(self.keys)}")
        until = self.now + lasts_s
        took = self.tell(LoggedIn(self.now, name, session, session, until))
        assert took == (name in self.keys and self.opens(name))
        if took:
            key = self.keys[name]
            parent = None if key.is_once else name
            self.keys[session] = Known(key.user, key.role, until, parent=parent)
            key.is_over = key.is_once

    @rule(user=USERS, branch=st.sampled_from("xy"))
    def submit(self, user: UserId, branch: str) -> None:
        self.jobs += 1
        try:
            self.c.submit(user, job(f"j{self.jobs}", branch))
        except RayschedError:
            return
        assert user not in self.shut | self.gone

    @rule(seconds=st.floats(0, 30))
    def pass_time(self, seconds: float) -> None:
        self.c.run(seconds)
        self.now = self.c.now

    @rule()
    def restart(self) -> None:
        self.c.restart()

    def teardown(self) -> None:
        again = Scheduler(self.c.limits)
        for event, decision in zip(self.c.history, self.c.decisions, strict=True):
            again.handle(event, decision)
        assert again.state == self.c.core.state

    @invariant()
    def each_key_opens_for_whom_the_model_says(self) -> None:
        for name, key in self.keys.items():
            try:
                found = identify(self.c.core.state, name, name, self.now)
            except Unauthorized:
                assert not self.opens(name), name
            else:
                assert self.opens(name), name
                assert (found.user, found.role) == (key.user, key.role)


def test_a_key_opens_for_its_user_whatever_happens() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Lives,
        settings=settings(
            max_examples=2000 if NIGHTLY else 150,
            stateful_step_count=40,
            deadline=None,
            derandomize=not NIGHTLY,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert TO_BE_MET - set(MET) == set()
