"""`taskcli sessions`: where people are logged in."""

from dataclasses import fields
from functools import partial
from typing import Annotated
from uuid import UUID

from cyclopts import Parameter

from taskcli.arguments import FIRST_PAGE, USER, DryRun, Paging, Yes
from taskcli.exits import FAILURE, Usage
from taskcli.list_pages import print_list
from taskcli.nouns import noun
from taskcli.output import Record, message, note
from taskcli.prompts import confirmed, require_terminal_or
from taskcli.running import operator, with_core
from taskcli.users import find_user
from taskcore import Core, NotFound, Session, SessionId
from taskcore.cursors import SESSIONS

_FIELDS = [field.name for field in fields(Session)]
_COLUMNS = ("id", "user_id", "last_used_at", "ip", "user_agent")


def list_(
    *,
    user: Annotated[str | None, Parameter(metavar=USER, help="Only this user's.")] = None,
    paging: Paging = FIRST_PAGE,
) -> None:
    """List sessions, the one used last first."""

    async def work(core: Core) -> None:
        user_id = None if user is None else (await find_user(core, user)).id
        read = partial(core.sessions.page, operator(), user_id=user_id)
        await print_list(read, SESSIONS, paging, _COLUMNS, _shape)

    with_core(work)


def revoke(
    session_id: Annotated[UUID | None, Parameter(name="ID", help="One session.")] = None,
    /,
    *,
    user: Annotated[str | None, Parameter(metavar=USER, help="All of this user's.")] = None,
    everybody: Annotated[
        bool, Parameter(name="--all", negative="", show_default=False, help="All users' sessions.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """End one session, all of one user, or all of all users. Asks first."""
    if (session_id is not None) + (user is not None) + everybody != 1:
        raise Usage("name one session, or --user, or --all")
    require_terminal_or(yes or dry_run, "end sessions")

    async def work(core: Core) -> int | None:
        found = None if user is None else await find_user(core, user)
        whose = found.email if found else "all users"
        what = f"session {session_id}" if session_id else f"all sessions of {whose}"
        if dry_run:
            if session_id is not None:
                await _find(core, SessionId(session_id))
                message(f"would end {what}")
                return 1
            of = None if found is None else found.id
            count = (await core.sessions.page(operator(), user_id=of, limit=1)).total or 0
            message(f"would end {what}: {count}")
            return count
        if not yes and not await confirmed(f"End {what}?"):
            return None
        if session_id is not None:
            await _end(core, SessionId(session_id))
            return 1
        if found is not None:
            return await core.sessions.end_all_of(operator(), found.id)
        return await core.sessions.end_everybodys(operator())

    ended = with_core(work)
    if dry_run:
        return 0
    note("nothing was ended" if ended is None else f"sessions ended: {ended}")
    return FAILURE if ended is None else 0


async def _find(core: Core, session_id: SessionId) -> None:
    """Raises NotFound. Reads the pages of all sessions, because no use case shows one."""
    cursor: str | None = ""
    while cursor is not None:
        page = await core.sessions.page(operator(), after=SESSIONS.read(cursor))
        if any(session.id == session_id for session in page.items):
            return
        cursor = SESSIONS.after(page)
    raise _absent(session_id)


def _absent(session_id: SessionId) -> NotFound:
    return NotFound(f"there is no session {session_id}")


async def _end(core: Core, session_id: SessionId) -> None:
    try:
        await core.sessions.end(operator(), session_id)
    except NotFound:
        raise _absent(session_id) from None


def _shape(session: Session) -> Record:
    return {name: getattr(session, name) for name in _FIELDS}


app = noun(
    "sessions",
    "See where people are logged in, and log them out.\n\n"
    "A session that ends takes its access and refresh tokens with it, at once.",
)
