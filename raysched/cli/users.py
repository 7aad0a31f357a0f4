"""``raysched user``: who may use the service over HTTP, and with which keys.

Without a server they talk to the cluster itself, as its operator: whoever reaches Ray needs no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raysched.cli.options import Serving, verb
from raysched.cli.service import reach
from raysched.cli.voice import Voice
from raysched.core.accounts import Role
from raysched.errors import InvalidSetting

if TYPE_CHECKING:
    from serve_app.account_models import Key, User

GB = 1_000_000_000
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Id of a user.")]


@dataclass(frozen=True, kw_only=True)
class OneUser(Serving):
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
    with reach(options) as service:
        made = service.create_user(options.user, name=options.name, role=options.role)
    _say(made, voice)
    voice.note(f"next, a key: raysched user key {options.user}")


def list_(options: Serving, voice: Voice) -> None:
    """Show all users."""
    with reach(options) as service:
        found = service.users()
    voice.emit(users=[user.model_dump(mode="json") for user in found])
    for user in found:
        voice.say(_row(user))


def rename(options: RenameOptions, voice: Voice) -> None:
    """Show a user under another name; the id stays."""
    _change(options, voice, name=options.name)


def weight(options: WeightOptions, voice: Voice) -> None:
    """Give a user another share of the lanes than 1."""
    _change(options, voice, weight=options.weight)


def quota(options: QuotaOptions, voice: Voice) -> None:
    """Say how many unfinished jobs and how much storage a user may have."""
    if options.jobs is None and options.gb is None:
        raise InvalidSetting("No quota was given.", remedy="Give --jobs, --gb or both.")
    most_bytes = round(options.gb * GB) if options.gb is not None else None
    _change(options, voice, max_jobs=options.jobs, max_bytes=most_bytes)


def disable(options: OneUser, voice: Voice) -> None:
    """Refuse a user's keys. Jobs that have begun go on; nothing else begins until `enable`."""
    _change(options, voice, disabled=True)


def enable(options: OneUser, voice: Voice) -> None:
    """Let a disabled user in again, with the same keys; jobs that waited begin."""
    _change(options, voice, disabled=False)


def delete(options: DeleteOptions, voice: Voice) -> None:
    """Cancel all unfinished jobs of a user and end their keys. Results stay on disk."""
    if not options.yes:
        raise InvalidSetting(
            f"Deleting {options.user} cancels their jobs and ends their keys, for ever; results "
            "stay on disk, and the id is not given out again.",
            remedy="Say --yes, or use `raysched user disable`.",
        )
    with reach(options) as service:
        _say(service.delete_user(options.user), voice)


def key(options: KeyOptions, voice: Voice) -> None:
    """Make a key for a user and print it: the only time that it is shown."""
    with reach(options) as service:
        made = service.make_user_key(
            options.user, options.name, role=options.role, days=options.days
        )
    voice.emit(key=made.model_dump(mode="json"))
    voice.say(made.key)
    voice.note(f"shown this once; end it with: raysched user revoke {options.user} {made.id}")


def keys(options: OneUser, voice: Voice) -> None:
    """Show a user's keys and sessions, without their secrets."""
    with reach(options) as service:
        found = service.user_keys(options.user)
    voice.emit(keys=[key.model_dump(mode="json") for key in found])
    for each in found:
        voice.say(_key_row(each))


def revoke(options: RevokeOptions, voice: Voice) -> None:
    """End a key of a user's, with the sessions that it began, or one session: at once."""
    with reach(options) as service:
        service.revoke_user_key(options.user, options.key)
    voice.emit(revoked={"id": options.key, "user": options.user})
    voice.say(f"{options.key} opens nothing any more")


app = typer.Typer(
    help="Say who may use the service over HTTP, with which keys.", no_args_is_help=True
)
app.command("list")(verb(list_))
for function in (create, rename, weight, quota, disable, enable, delete, key, keys, revoke):
    app.command()(verb(function))


def _change(options: OneUser, voice: Voice, **changes: Any) -> None:
    given = {name: value for name, value in changes.items() if value is not None}
    with reach(options) as service:
        _say(service.change_user(options.user, **given), voice)


def _say(user: User, voice: Voice) -> None:
    voice.emit(user=user.model_dump(mode="json"))
    voice.say(_row(user))


def _row(user: User) -> str:
    """One line about one user."""
    ended = "deleted" if user.deleted_at else "disabled" if user.disabled_at else ""
    facts = [
        f"{user.jobs_open} unfinished" + (f" of {user.max_jobs}" if user.max_jobs else ""),
        f"{user.keys} keys",
        f"weight {user.weight:g}",
        f"{user.max_bytes / GB:g} GB" if user.max_bytes else "",
        ended,
    ]
    return f"{user.id:<16}  {user.role:<9}  {user.name}  ({', '.join(filter(None, facts))})"


def _key_row(key: Key) -> str:
    """One line about one key."""
    revoked, expires, used = map(_day, (key.revoked_at, key.expires_at, key.used_at))
    ends = f"revoked {revoked}" if revoked else f"expires {expires}" if expires else ""
    facts = [f"made {_day(key.made_at)}", f"last used {used}" if used else "never used", ends]
    said = ", ".join(filter(None, facts))
    return f"{key.id}  {key.kind:<7}  {key.role:<9}  {key.name}  ({said})"


def _day(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M") if at is not None else ""
