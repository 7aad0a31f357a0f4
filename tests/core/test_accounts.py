"""Users and keys: what each event may do, to whom, and what becomes of jobs."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from world import cluster, states

from raysched.core.accounts import KeyKind, Role
from raysched.core.events import (
    Event,
    JobRetryRequested,
    KeyMade,
    KeyRevoked,
    KeyUsed,
    LoggedIn,
    UserChanged,
    UserCreated,
    UserDeleted,
)
from raysched.core.identity import KEYS_MOST, account_view, account_views, identify, key_views
from raysched.core.model import LOCAL_USER, JobId, JobState, KeyId, Reason, UserId
from raysched.core.scheduler import Scheduler
from raysched.errors import (
    Conflict,
    Forbidden,
    InvalidSetting,
    LimitReached,
    NotFound,
    RayschedError,
    Unauthorized,
)
from raysched.testing import FakeCluster, job

ANN, BOB = UserId("ann"), UserId("bob")
KEY, OTHER, SESSION = KeyId("k1"), KeyId("k2"), KeyId("s1")


def created(user: UserId = ANN, role: Role = Role.USER, tag: str = "") -> UserCreated:
    return UserCreated(0.0, user, user.title(), role, tag or f"tag of {user}")


def made(user: UserId = ANN, key: KeyId = KEY, **more: object) -> KeyMade:
    usual = KeyMade(0.0, user, key, KeyKind.API, "laptop", Role.USER, f"digest of {key}")
    return replace(usual, **more)  # type: ignore[arg-type]


def disabled(user: UserId = ANN, is_so: bool = True) -> UserChanged:
    return UserChanged(0.0, user, disabled=is_so)


def begun(*events: Event, lanes: int = 0) -> FakeCluster:
    c = cluster(lanes=lanes)
    for event in (created(), created(BOB), made(), *events):
        c.tell(event)
    return c


def who(c: FakeCluster, key: KeyId = KEY, at: float = 1.0) -> tuple[str, Role]:
    found = identify(c.core.state, key, f"digest of {key}", at)
    return found.user, found.role


def refused(c: FakeCluster, event: Event, error: type[RayschedError]) -> RayschedError:
    before = pickle.dumps(c.core.state)
    with pytest.raises(error) as caught:
        c.tell(event)
    assert pickle.dumps(c.core.state) == before
    return caught.value


def no_news(c: FakeCluster, event: Event) -> None:
    before = pickle.dumps(c.core.state)
    assert c.tell(event) == []
    assert pickle.dumps(c.core.state) == before


# --- users ----------------------------------------------------------------------------------------


def test_creating_a_user_twice_is_harmless_only_with_the_same_tag() -> None:
    c = begun()
    no_news(c, created())
    refused(c, created(tag="another"), Conflict)


@pytest.mark.parametrize("name", ["", "Ann", "a b", "../a", "a" * 33, "-a", "ä"])
def test_what_cannot_be_a_users_id_is_refused(name: str) -> None:
    refused(begun(), replace(created(), user=UserId(name)), InvalidSetting)


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\nb"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    c = begun()
    refused(c, UserCreated(0.0, UserId("eve"), name, Role.USER), InvalidSetting)
    refused(c, UserChanged(0.0, ANN, name=name), InvalidSetting)
    refused(c, made(key=OTHER, name=name), InvalidSetting)


def test_a_change_writes_what_it_gives_and_leaves_the_rest() -> None:
    c = begun()
    before = account_view(c.core.state, ANN, 1.0)
    c.tell(UserChanged(0.0, ANN, weight=2.0, max_jobs=7))
    c.tell(UserChanged(0.0, ANN, name="Anna", max_bytes=10))
    after = account_view(c.core.state, ANN, 1.0)
    assert after == replace(before, name="Anna", weight=2.0, max_jobs=7, max_bytes=10)
    no_news(c, UserChanged(0.0, ANN, name="Anna", weight=2.0, max_jobs=7, disabled=False))


@pytest.mark.parametrize(
    "change", [{"weight": 0.0}, {"max_jobs": -1}, {"max_bytes": -1}, {"max_jobs": 2_000_000}]
)
def test_a_change_that_makes_no_sense_changes_nothing(change: dict[str, float]) -> None:
    event = UserChanged(0.0, ANN, name="Anna", **change)  # type: ignore[arg-type]
    refused(begun(), event, InvalidSetting)


def test_the_operators_own_user_stays() -> None:
    c = begun(created(LOCAL_USER, Role.ADMIN))
    refused(c, disabled(LOCAL_USER), Conflict)
    refused(c, UserDeleted(0.0, LOCAL_USER), Conflict)


def test_a_quota_counts_instead_of_the_usual_limit() -> None:
    c = cluster(lanes=0, max_jobs_per_user=2)
    c.tell(created())
    c.tell(UserChanged(0.0, ANN, max_jobs=3))
    c.submit("ann", *(job(f"a{number}", f"b{number}") for number in range(3)))
    with pytest.raises(LimitReached, match="the limit of 3"):
        c.submit("ann", job("a3"))
    with pytest.raises(LimitReached, match="the limit of 2"):
        c.submit("bob", *(job(f"b{number}") for number in range(3)))
    c.tell(UserChanged(0.0, ANN, max_jobs=1))
    assert len(states(c)) == 3  # what was taken in stays
    with pytest.raises(LimitReached, match="the limit of 1"):
        c.submit("ann", job("a3"))


def test_of_a_disabled_user_what_has_begun_goes_on_and_nothing_else_begins() -> None:
    c = begun(lanes=1)
    c.submit("ann", job("first", "one"), job("then", "one"), job("beside", "two"))
    assert c.view("first").state is JobState.PLANNING
    c.tell(disabled())
    c.run()
    assert states(c) == {"first": "succeeded", "then": "waiting", "beside": "waiting"}
    assert c.view("beside").explanation.reason is Reason.WAITING_FOR_ACCOUNT
    assert (dict(c.core.state.slots), dict(c.core.state.queue)) == ({}, {})
    with pytest.raises(Forbidden):
        c.submit("ann", job("new"))
    c.tell(disabled(is_so=False))
    c.run()
    assert set(states(c).values()) == {"succeeded"}


def test_a_disabled_user_retries_nothing() -> None:
    c = begun(lanes=1)
    c.answer = None
    c.submit("ann", job("a"))
    c.run()
    c.core.state.jobs[JobId("a")].state = JobState.FAILED
    c.tell(disabled())
    refused(c, JobRetryRequested(c.now, ANN, JobId("a"), "k"), Forbidden)


def test_deleting_a_user_cancels_their_jobs_and_shuts_their_keys_and_keeps_the_id() -> None:
    c = begun(made(key=OTHER, kind=KeyKind.LOGIN), lanes=1)
    c.submit(
        "ann", job("at-work", "one"), job("waits", "two"), job("after", "one"), job("behind", "two")
    )
    c.submit("bob", job("bobs"))
    c.tell(UserDeleted(0.0, ANN))
    assert states(c) == {
        "at-work": "cancelling",
        "waits": "cancelled",
        "after": "cancelled",
        "behind": "cancelled",
        "bobs": "waiting",
    }
    c.run()
    assert (states(c)["at-work"], states(c)["bobs"]) == ("cancelled", "succeeded")
    with pytest.raises(Unauthorized):
        who(c)
    assert KEY in c.core.state.identities.keys  # seen, not forgotten
    assert OTHER not in c.core.state.identities.keys
    no_news(c, UserDeleted(9.0, ANN))
    refused(c, created(tag="again"), Conflict)
    refused(c, made(key=KeyId("k9")), NotFound)
    refused(c, disabled(), NotFound)
    with pytest.raises(Forbidden):
        c.submit("ann", job("new"))
    assert [view.user for view in account_views(c.core.state, 1.0)] == [BOB]
    assert account_view(c.core.state, ANN, 1.0).deleted_at is not None


@pytest.mark.parametrize(
    "event",
    [
        UserChanged(0.0, ANN, name="Anna", weight=3.0, max_jobs=1, disabled=True),
        UserDeleted(0.0, ANN),
        made(key=OTHER),
        KeyRevoked(0.0, ANN, KEY),
        KeyUsed(0.0, KEY),
        LoggedIn(0.0, KEY, SESSION, "d", 9.0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_befalls_one_user_touches_nothing_of_anothers(event: Event) -> None:
    """Without a lane, so that nothing is handed on to who comes next."""
    c = begun(made(BOB, KeyId("bobs")))
    c.submit("ann", job("a"))
    c.submit("bob", job("b1"), job("b2", "two"))

    def of_bob() -> bytes:
        state = c.core.state
        return pickle.dumps((state.users[BOB], c.view("b1"), account_view(state, BOB, 0.0)))

    before = pickle.loads(of_bob())
    assert c.tell(event) == []
    assert pickle.loads(of_bob()) == before
    assert who(c, KeyId("bobs")) == (BOB, Role.USER)


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_opens_only_as_a_whole() -> None:
    c = begun(made(BOB, OTHER))
    assert (who(c), who(c, OTHER)) == ((ANN, Role.USER), (BOB, Role.USER))
    for key, digest in ((KEY, "digest of k2"), (KEY, ""), (KeyId("none"), ""), (KEY, "ä")):
        with pytest.raises(Unauthorized, match="not known"):
            identify(c.core.state, key, digest, 1.0)


def test_a_key_may_do_less_than_its_user_and_never_more() -> None:
    c = begun(made(key=OTHER, role=Role.READ_ONLY))
    assert who(c, OTHER) == (ANN, Role.READ_ONLY)
    refused(c, made(key=KeyId("k3"), role=Role.ADMIN), InvalidSetting)


def test_a_key_expires_to_the_second() -> None:
    c = begun(made(key=OTHER, expires_at=10.0))
    assert who(c, OTHER, at=9.999) == (ANN, Role.USER)
    with pytest.raises(Unauthorized, match="expired"):
        who(c, OTHER, at=10.0)
    refused(c, made(key=KeyId("k3"), at=5.0, expires_at=5.0), InvalidSetting)


def test_a_revoked_key_opens_nothing_nor_do_its_sessions() -> None:
    c = begun(LoggedIn(0.0, KEY, SESSION, "digest of s1", 99.0))
    assert who(c, SESSION) == (ANN, Role.USER)
    refused(c, KeyRevoked(0.0, BOB, KEY), NotFound)
    c.tell(KeyRevoked(0.0, ANN, KEY))
    for key, word in ((KEY, "revoked"), (SESSION, "not known")):
        with pytest.raises(Unauthorized, match=word):
            who(c, key)
    no_news(c, KeyRevoked(1.0, ANN, KEY))


def test_a_session_ends_alone_and_by_its_time() -> None:
    c = begun(LoggedIn(0.0, KEY, SESSION, "digest of s1", 99.0))
    with pytest.raises(Unauthorized, match="expired"):
        who(c, SESSION, at=99.0)
    refused(c, LoggedIn(0.0, SESSION, KeyId("s2"), "d", 99.0), Unauthorized)
    c.tell(KeyRevoked(0.0, ANN, SESSION))
    assert who(c) == (ANN, Role.USER)
    refused(c, KeyRevoked(0.0, ANN, SESSION), NotFound)


def test_a_one_time_login_works_once() -> None:
    c = begun(made(key=OTHER, kind=KeyKind.LOGIN, expires_at=50.0))
    first = LoggedIn(1.0, OTHER, SESSION, "digest of s1", 99.0)
    c.tell(first)
    no_news(c, first)  # the same call once more, whose answer was lost
    refused(c, replace(first, session=KeyId("s2")), Unauthorized)
    refused(c, replace(first, digest="another"), Unauthorized)
    assert who(c, SESSION) == (ANN, Role.USER)


@pytest.mark.parametrize(
    "end", [KeyRevoked(0.0, ANN, KEY), disabled(), UserDeleted(0.0, ANN)], ids=["r", "d", "x"]
)
def test_a_key_that_opens_nothing_logs_nobody_in(end: Event) -> None:
    refused(begun(end), LoggedIn(1.0, KEY, SESSION, "d", 99.0), Unauthorized)


def test_a_disabled_users_keys_open_again_when_the_user_is_enabled() -> None:
    c = begun(disabled())
    with pytest.raises(Unauthorized, match="disabled"):
        who(c)
    c.tell(disabled(is_so=False))
    assert who(c) == (ANN, Role.USER)


def test_the_last_use_is_news_once_a_minute() -> None:
    c = begun()
    told = [c.core.revision]
    for second in range(0, 181, 10):
        c.tell(KeyUsed(float(second), KEY))
        told.append(c.core.revision)
    assert told[-1] - told[0] == 4
    (view,) = key_views(c.core.state, ANN)
    assert view.used_at == 180.0
    no_news(c, KeyUsed(999.0, KeyId("gone")))


def test_a_user_has_so_many_keys_and_the_newest_dead_ones_are_kept() -> None:
    c = begun()
    for number in range(1, KEYS_MOST):
        c.tell(made(key=KeyId(f"n{number}")))
    refused(c, made(key=OTHER), LimitReached)
    c.tell(made(BOB, OTHER))
    for number in range(1, 3 * KEYS_MOST):
        c.tell(KeyRevoked(0.0, ANN, KeyId(f"n{number}")))
        c.tell(made(key=KeyId(f"n{number + KEYS_MOST - 1}")))
    views = key_views(c.core.state, ANN)
    assert sum(view.revoked_at is None for view in views) == KEYS_MOST
    assert sum(view.revoked_at is not None for view in views) == KEYS_MOST


def test_sessions_and_logins_that_are_over_are_forgotten() -> None:
    c = begun(made(key=OTHER, kind=KeyKind.LOGIN, expires_at=5.0))
    for number in range(2 * KEYS_MOST):
        c.tell(LoggedIn(1.0, KEY, KeyId(f"s{number}"), "d", 9.0))
    kinds = [key.kind for key in c.core.state.identities.keys.values()]
    assert kinds.count(KeyKind.SESSION) == KEYS_MOST
    c.tell(LoggedIn(10.0, KEY, SESSION, "d", 19.0))
    assert list(c.core.state.identities.keys) == [KEY, SESSION]


def test_the_same_key_made_twice_is_one_and_another_of_its_id_is_refused() -> None:
    c = begun()
    no_news(c, made(at=4.0))
    refused(c, made(digest="another"), Conflict)
    refused(c, made(BOB), Conflict)
    refused(c, made(key=OTHER, kind=KeyKind.SESSION), InvalidSetting)


def test_a_replay_gives_the_same_users_and_keys() -> None:
    c = begun(made(key=OTHER, role=Role.READ_ONLY), disabled(BOB), lanes=2)
    c.submit("ann", job("a"), job("b", "two"))
    c.tell(LoggedIn(0.0, KEY, SESSION, "d", 99.0))
    c.tell(UserDeleted(0.0, ANN))
    c.run()
    again = Scheduler()
    for event, decision in zip(c.history, c.decisions, strict=True):
        again.handle(event, decision)
    assert again.state == c.core.state
