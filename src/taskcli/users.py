"""`taskcli users`: accounts."""

import re
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from taskcli.arguments import FIRST_PAGE, USER, DryRun, Json, Paging, Yes
from taskcli.exits import FAILURE, Usage
from taskcli.housekeeping import swept
from taskcli.list_pages import print_list
from taskcli.nouns import noun
from taskcli.output import Record, message, note, show
from taskcli.prompts import confirmed, new_password, require_terminal_or
from taskcli.running import operator, with_core
from taskcore import (
    Core,
    Invalid,
    NotFound,
    OneTimePassword,
    Problem,
    Role,
    Unavailable,
    User,
    UserId,
)
from taskcore.cursors import USERS
from taskcore.domain.policies import keep_an_admin
from taskcore.domain.printable import quoted
from taskcore.domain.rate_limits import LOGIN
from taskcore.domain.users import DEFAULT_TIME_ZONE, ProfileChanges
from taskcore.usecases.housekeeping import ACCOUNTS

Reference = Annotated[str, Parameter(name=USER, help="The user.")]
Address = Annotated[str, Parameter(metavar="EMAIL")]
Name = Annotated[str, Parameter(metavar="NAME")]
Zone = Annotated[str, Parameter(metavar="ZONE")]

_COLUMNS = ("id", "email", "full_name", "role", "is_active", "created_at")
# An allow-list: the password hash is never shown.
_FIELDS = (
    *("id", "email", "full_name", "role", "is_active", "time_zone", "created_at", "updated_at"),
)
_ID = re.compile(r"[0-9]{1,19}")


def create(
    *,
    email: Address,
    full_name: Name | None = None,
    role: Role = Role.USER,
    time_zone: Zone = DEFAULT_TIME_ZONE,
    password_stdin: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: Json = False,
) -> None:
    """Create an account. The password is asked for twice, or read from standard input.

    Parameters
    ----------
    email
        The address to log in with.
    full_name
        The person's name.
    role
        An admin manages all accounts and all tasks.
    time_zone
        Where the person's days begin and end, such as Europe/Berlin.
    password_stdin
        Read the password from one line of standard input.
    """
    password = new_password(from_stdin=password_stdin)
    user = with_core(
        lambda core: core.accounts.create(
            operator(),
            email=email,
            password=password,
            full_name=full_name,
            role=role,
            time_zone=time_zone,
        ),
        creates=True,
    )
    show(_shape(user), as_json=as_json)


def list_(
    *,
    email: Address | None = None,
    role: Role | None = None,
    is_active: Annotated[bool | None, Parameter(name="--active", negative="--inactive")] = None,
    paging: Paging = FIRST_PAGE,
) -> None:
    """List accounts, newest first.

    Parameters
    ----------
    email
        Only the account with this address.
    role
        Only accounts with this role.
    is_active
        Only active accounts, or only deactivated ones.
    """

    async def work(core: Core) -> None:
        read = partial(core.accounts.page, operator(), email=email, role=role, is_active=is_active)
        await print_list(read, USERS, paging, _COLUMNS, _shape)

    with_core(work)


def show_(reference: Reference, /, *, as_json: Json = False) -> None:
    """Show one account."""
    user = with_core(lambda core: find_user(core, reference))
    show(_shape(user), as_json=as_json)


def edit(
    reference: Reference,
    /,
    *,
    full_name: Name | None = None,
    time_zone: Zone | None = None,
    as_json: Json = False,
) -> None:
    """Change a user's profile. A field that is not named stays as it is.

    Parameters
    ----------
    full_name
        The person's name; `--full-name ""` removes it.
    time_zone
        Where the person's days begin and end, such as Europe/Berlin. Dues with a time stay as they
        are, with their time zones.
    """
    changes: ProfileChanges = {}
    if full_name is not None:
        changes["full_name"] = full_name or None
    if time_zone is not None:
        changes["time_zone"] = time_zone
    if not changes:
        raise Usage("nothing to change: give --full-name or --time-zone")

    async def work(core: Core) -> tuple[User, User]:
        user = await find_user(core, reference)
        return user, await core.accounts.change(operator(), user.id, **changes)

    was, user = with_core(work)
    show(_shape(user), as_json=as_json)
    if user.time_zone != was.time_zone and not as_json:
        note(f"days begin in {user.time_zone} now; dues with a time stay, with their time zones")


def set_role(
    reference: Reference,
    role: Annotated[Role, Parameter(help="The new role.")],
    /,
    *,
    as_json: Json = False,
) -> None:
    """Make a user an administrator, or an ordinary user again. It takes effect at once."""

    async def work(core: Core) -> User:
        user = await find_user(core, reference)
        return await core.accounts.change(operator(), user.id, role=role)

    show(_shape(with_core(work)), as_json=as_json)


def activate(reference: Reference, /, *, as_json: Json = False) -> None:
    """Let a deactivated user log in again."""
    _set_active(reference, active=True, as_json=as_json)


def deactivate(reference: Reference, /, *, as_json: Json = False) -> None:
    """Log a user out at once and refuse further logins. The user's tasks stay."""
    _set_active(reference, active=False, as_json=as_json)


def unlock(reference: Reference, /) -> None:
    """Forget the failed logins of all networks that lock the account.

    The attempts from the owner's own network stay counted: where all five are used up,
    one more becomes free each minute. From another network the owner logs in at once.
    """

    async def work(core: Core) -> User:
        user = await find_user(core, reference)
        return await core.sessions.unlock(operator(), user.id)

    user = with_core(work, keyed=True)
    note(
        f"unlocked user {user.id}; a login from a network that has used up its {LOGIN.quota}"
        f" attempts may still get 429: one more is free each {LOGIN.step.total_seconds():.0f} s"
    )


def set_password(
    reference: Reference,
    /,
    *,
    one_time: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    password_stdin: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: Json = False,
) -> None:
    """Give a user who has forgotten theirs another password, and end all sessions of the user.

    It is asked for twice, or read from standard input. Failed logins may have locked the account:
    `taskcli users unlock` forgets them.

    Parameters
    ----------
    one_time
        Make a random password and print it. The user can log in with it for 24 hours, once, and
        has to choose another one there.
    password_stdin
        Read the password from one line of standard input.
    """
    if one_time and password_stdin:
        raise Usage("give --one-time or --password-stdin, not both")
    password = None if one_time else new_password(from_stdin=password_stdin)

    async def work(core: Core) -> tuple[User, OneTimePassword | None]:
        user = await find_user(core, reference)
        if password is None:
            return user, await core.accounts.set_one_time_password(operator(), user.id)
        await core.accounts.set_password(operator(), user.id, password=password)
        return user, None

    user, made = with_core(work)
    note(f"set the password of user {user.id}, {user.email}; all sessions have ended")
    if made or as_json:
        shown = (made.password, made.expires_at) if made else (None, None)
        show(dict(zip(("one_time_password", "expires_at"), shown, strict=True)), as_json=as_json)


def delete(reference: Reference, /, *, yes: Yes = False, dry_run: DryRun = False) -> int:
    """Delete an account with all its tasks and sessions. Asks first.

    The account is gone once `deleted user` is printed. After that its tasks are removed; if you
    interrupt this, a running server or `taskcli housekeeping` removes the rest.
    """
    require_terminal_or(yes or dry_run, "delete a user")

    async def work(core: Core) -> bool:
        user = await find_user(core, reference)
        if dry_run or not yes:
            tasks = await core.tasks.page(operator(), owner_id=user.id, limit=1)
            what = f"user {user.id}, {user.email} ({user.role.value})"
            what += f", with {tasks.total} tasks and every session"
            if dry_run:
                active = await core.accounts.page(
                    operator(), role=Role.ADMIN, is_active=True, limit=2
                )
                keep_an_admin([admin.id for admin in active.items], without=user.id)
                message(f"would delete {what}")
                return True
            if not await confirmed(f"Delete {what}?"):
                return False
        await core.accounts.delete(operator(), user.id)
        note(f"deleted user {user.id}, {user.email}")
        for error in (await swept(core, Counter(), ACCOUNTS)).values():
            if not isinstance(error, Unavailable):
                raise error
            # No reader sees the tasks that are left: the deletion has succeeded.
            note("its tasks take longer: a server or `taskcli housekeeping` removes the rest")
        return True

    if with_core(work):
        return 0
    note("nothing was deleted")
    return FAILURE


async def find_user(core: Core, reference: str) -> User:
    """The user with that id or e-mail address. Raises NotFound, and Invalid for anything else."""
    user = None
    if is_id(reference):
        with suppress(NotFound):
            user = await core.accounts.get(operator(), UserId(int(reference)))
    elif "@" in reference:
        user = await core.accounts.find(operator(), reference)
    else:
        raise Invalid(
            Problem(
                "user", f"{quoted(reference)} is neither an id nor an e-mail address", "reference"
            )
        )
    if user is None:
        raise NotFound(f"there is no user {reference}")
    return user


def is_id(reference: str) -> bool:
    return _ID.fullmatch(reference) is not None


def _set_active(reference: str, *, active: bool, as_json: bool) -> None:
    async def work(core: Core) -> User:
        user = await find_user(core, reference)
        return await core.accounts.change(operator(), user.id, is_active=active)

    show(_shape(with_core(work)), as_json=as_json)


def _shape(user: User) -> Record:
    return {name: getattr(user, name) for name in _FIELDS}


app = noun(
    "users",
    "Manage accounts.\n\n"
    "A user is named by id or by e-mail address. The last active administrator can neither be "
    "deleted, nor deactivated, nor made an ordinary user: make another one first.",
)
