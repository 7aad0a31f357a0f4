"""``raysched user``: who may use the service over HTTP, and with which keys.

These verbs talk to the cluster itself, as its operator: whoever reaches Ray needs no key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from raysched.cli.options import Common, verb
from raysched.cli.session import ask, settings
from raysched.cli.voice import Voice
from raysched.core.accounts import AccountView, KeyKind, KeyView, Role
from raysched.core.events import UserChanged
from raysched.core.model import UserId
from raysched.errors import InvalidSetting

if TYPE_CHECKING:
    from raysched.cluster.accounts import Accounts
    from raysched.cluster.gateway import Gateway

T = TypeVar("T")
GB = 1_000_000_000
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Id of a user.")]


@dataclass(frozen=True, kw_only=True)
class OneUser(Common):
    """The options of verbs about one user."""

    user: UserArgument


@dataclass(frozen=True, kw_only=True)
class CreateOptions(OneUser):
    """The options of ``user create``."""

    name: Annotated[str | None, typer.Option(help="Name to show. Default: the id.")] = None
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.USER


@dataclass(frozen=True, kw_only=True)
class RenameOptions(OneUser):
    """The options of ``user rename``."""

    name: Annotated[str, typer.Argument(metavar="NAME", help="Name to show from now on.")]


@dataclass(frozen=True, kw_only=True)
class WeightOptions(OneUser):
    """The options of ``user weight``."""

    weight: Annotated[float, typer.Argument(metavar="WEIGHT", help="Share; 1 is the usual one.")]


@dataclass(frozen=True, kw_only=True)
class QuotaOptions(OneUser):
    """The options of ``user quota``."""

    jobs: Annotated[
        int | None, typer.Option(min=0, help="Unfinished jobs at once; 0: as everybody.")
    ] = None
    gb: Annotated[
        float | None,
        typer.Option(min=0, help="GB that slides may take; 0: as everybody."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class DeleteOptions(OneUser):
    """The options of ``user delete``."""

    yes: Annotated[bool, typer.Option("--yes", help="Yes, for ever.")] = False


@dataclass(frozen=True, kw_only=True)
class KeyOptions(OneUser):
    """The options of ``user key``."""

    name: Annotated[str, typer.Option(help="What the key is for.")] = "key"
    role: Annotated[
        Role | None, typer.Option(help="May do less than the user. Default: as the user.")
    ] = None
    days: Annotated[
        float | None, typer.Option(min=0.001, help="Days until it expires. Default: never.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class RevokeOptions(OneUser):
    """The options of ``user revoke``."""

    key: Annotated[str, typer.Argument(metavar="KEY", help="Id of a key or session.")]


def create(options: CreateOptions, voice: Voice) -> None:
    """Take a user in. The id is for ever, also after the user is deleted."""
    name = options.name or options.user
    view = _ask(options, lambda accounts: accounts.create(options.user, name, options.role))
    _say(view, voice)
    voice.note(f"next, a key: raysched user key {options.user}")


def list_(options: Common, voice: Voice) -> None:
    """Show all users."""
    views = ask(settings(options.address), lambda gateway: gateway.accounts())
    if voice.json:
        from serve_app.account_models import User, Users

        voice.emit(**Users(users=tuple(map(User.of, views))).model_dump(mode="json"))
    for view in views:
        voice.say(_row(view))


def rename(options: RenameOptions, voice: Voice) -> None:
    """Show a user under another name; the id stays."""
    _change(options, UserChanged(0.0, UserId(options.user), name=options.name), voice)


def weight(options: WeightOptions, voice: Voice) -> None:
    """Give a user another share of the lanes than 1."""
    _change(options, UserChanged(0.0, UserId(options.user), weight=options.weight), voice)


def quota(options: QuotaOptions, voice: Voice) -> None:
    """Say how many unfinished jobs and how much storage a user may have."""
    if options.jobs is None and options.gb is None:
        raise InvalidSetting("No quota was given.", remedy="Give --jobs, --gb or both.")
    most_bytes = round(options.gb * GB) if options.gb is not None else None
    change = UserChanged(0.0, UserId(options.user), max_jobs=options.jobs, max_bytes=most_bytes)
    _change(options, change, voice)


def disable(options: OneUser, voice: Voice) -> None:
    """Refuse a user's keys. Jobs that have begun go on; nothing else begins until `enable`."""
    _change(options, UserChanged(0.0, UserId(options.user), disabled=True), voice)


def enable(options: OneUser, voice: Voice) -> None:
    """Let a disabled user in again, with the same keys; jobs that waited begin."""
    _change(options, UserChanged(0.0, UserId(options.user), disabled=False), voice)


def delete(options: DeleteOptions, voice: Voice) -> None:
    """Cancel all unfinished jobs of a user and end their keys. Results stay on disk."""
    if not options.yes:
        raise InvalidSetting(
            f"Deleting {options.user} cancels their jobs and ends their keys, for ever; results "
            "stay on disk, and the id is not given out again.",
            remedy="Say --yes, or use `raysched user disable`.",
        )
    _say(_ask(options, lambda accounts: accounts.delete(options.user)), voice)


def key(options: KeyOptions, voice: Voice) -> None:
    """Make a key for a user and print it: the only time that it is shown."""
    from raysched.cluster.accounts import KeyWish

    wish = KeyWish(options.name, options.role, options.days)
    made = _ask(options, lambda accounts: accounts.make_key(options.user, wish))
    voice.emit(key={"id": made.key, "user": options.user, "key": made.text})
    voice.say(made.text)
    voice.note(f"shown this once; end it with: raysched user revoke {options.user} {made.key}")


def keys(options: OneUser, voice: Voice) -> None:
    """Show a user's keys and sessions, without their secrets."""
    found = ask(settings(options.address), lambda gateway: gateway.keys(UserId(options.user)))
    shown = [each for each in found if each.kind is not KeyKind.LOGIN]
    if voice.json:
        from serve_app.account_models import Key, Keys

        voice.emit(**Keys(keys=tuple(map(Key.of, shown))).model_dump(mode="json"))
    for each in shown:
        voice.say(_key_row(each))


def revoke(options: RevokeOptions, voice: Voice) -> None:
    """End a key of a user's, with the sessions that it began, or one session: at once."""
    _ask(options, lambda accounts: accounts.revoke(options.user, options.key))
    voice.emit(revoked={"id": options.key, "user": options.user})
    voice.say(f"{options.key} opens nothing any more")


app = typer.Typer(
    help="Say who may use the service over HTTP, with which keys.", no_args_is_help=True
)
app.command("list")(verb(list_))
for function in (create, rename, weight, quota, disable, enable, delete, key, keys, revoke):
    app.command()(verb(function))


def _ask(options: Common, question: Callable[[Accounts], Awaitable[T]]) -> T:
    def asked(gateway: Gateway) -> Awaitable[T]:
        from raysched.cluster.accounts import Accounts

        return question(Accounts(gateway))

    return ask(settings(options.address), asked)


def _change(options: OneUser, change: UserChanged, voice: Voice) -> None:
    _say(_ask(options, lambda accounts: accounts.change(change)), voice)


def _say(view: AccountView, voice: Voice) -> None:
    if voice.json:
        from serve_app.account_models import User

        voice.emit(user=User.of(view).model_dump(mode="json"))
    voice.say(_row(view))


def _row(view: AccountView) -> str:
    """One line about one user."""
    ended = "deleted" if view.deleted_at else "disabled" if view.disabled_at else ""
    facts = [
        f"{view.jobs_open} unfinished" + (f" of {view.max_jobs}" if view.max_jobs else ""),
        f"{view.keys} keys",
        f"weight {view.weight:g}",
        f"{view.max_bytes / GB:g} GB" if view.max_bytes else "",
        ended,
    ]
    return f"{view.user:<16}  {view.role:<9}  {view.name}  ({', '.join(filter(None, facts))})"


def _key_row(view: KeyView) -> str:
    """One line about one key."""
    revoked, expires, used = map(_day, (view.revoked_at, view.expires_at, view.used_at))
    ends = f"revoked {revoked}" if revoked else f"expires {expires}" if expires else ""
    facts = [f"made {_day(view.made_at)}", f"last used {used}" if used else "never used", ends]
    said = ", ".join(filter(None, facts))
    return f"{view.key}  {view.kind:<7}  {view.role:<9}  {view.name}  ({said})"


def _day(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") if at is not None else ""
