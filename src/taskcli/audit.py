"""`taskcli audit`: who did what to whom."""

from datetime import UTC, datetime

from taskcli.arguments import Cursor, Json, Limit, Skip
from taskcli.exits import Usage
from taskcli.output import Record, show_page
from taskcli.running import operator, with_core
from taskcli.users import find_user, is_id
from taskcore import ActorKind, Core, Event, EventName, Page, UserId
from taskcore.cursors import EVENTS
from taskcore.domain.rules import DEFAULT_LIMIT
from taskcore.domain.visible import quoted

_FIELDS = (
    *("id", "at", "event", "actor", "actor_id", "user_id", "session_id"),
    *("ip", "user_agent", "request_id", "detail"),
)
_COLUMNS = ("at", "event", "by", "user_id", "ip", "detail")
_BY_VALUE = {event.value: event for event in EventName}


def audit(
    *,
    user: str | None = None,
    event: str | None = None,
    since: str | None = None,
    skip: Skip = 0,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
    as_json: Json = False,
) -> None:
    """List what was done, newest first: logins, refusals, sessions, roles, accounts.

    Parameters
    ----------
    user
        Only what this user did or what was done to them, by e-mail or id.
    event
        Only events of this kind, such as `login.failed`.
    since
        Only from this time on: 2026-01-31, 2026-01-31T09:30 or 2026-01-31T09:30:00+01:00.
        Without an offset the time is in UTC.
    """
    if event is not None and event not in _BY_VALUE:
        raise Usage(f"there is no event {quoted(event)}; there are {', '.join(_BY_VALUE)}")
    moment = None if since is None else _moment(since)

    async def work(core: Core) -> Page[Event]:
        user_id = None if user is None else await _id(core, user)
        name = None if event is None else _BY_VALUE[event]
        return await core.audit.page(
            operator(),
            skip=skip,
            limit=limit,
            user_id=user_id,
            event=name,
            since=moment,
            after=EVENTS.read(cursor),
        )

    page = with_core(work)
    shape = _shape if as_json else _line
    show_page(page, shape, EVENTS, _COLUMNS, skip=skip, limit=limit, cursor=cursor, as_json=as_json)


async def _id(core: Core, reference: str) -> UserId:
    """An id need not exist any more: the events of deleted users stay."""
    return UserId(int(reference)) if is_id(reference) else (await find_user(core, reference)).id


def _moment(text: str) -> datetime:
    """For people: over HTTP a program must give the time and its offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"{quoted(text)} is not a time such as 2026-01-31T09:30") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _line(event: Event) -> Record:
    """Operators are shown by their user name on the machine, users by their id."""
    by = event.actor_id or (event.user_agent if event.actor is ActorKind.SYSTEM else event.actor)
    return {**_shape(event), "by": by}


def _shape(event: Event) -> Record:
    shown = {name: getattr(event, name) for name in _FIELDS}
    return shown | {"detail": dict(event.detail)}
