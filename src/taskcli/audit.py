"""`taskcli audit`: who did what to whom."""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from taskcli.arguments import FIRST_PAGE, USER, Paging
from taskcli.list_pages import print_list
from taskcli.output import Record
from taskcli.running import operator, with_core
from taskcli.typed_dates import Bound, When
from taskcli.users import find_user, is_id
from taskcore import ActorKind, AuditEvent, AuditEventName, Core, NotFound, UserId
from taskcore.cursors import AUDIT
from taskcore.domain.dues import start_of_day

_FIELDS = (
    *("id", "at", "event", "actor", "actor_id", "user_id", "session_id"),
    *("ip", "user_agent", "request_id", "detail"),
)
_COLUMNS = ("at", "event", "by", "user_id", "ip", "detail")
if TYPE_CHECKING:
    Name = str
else:
    # A Literal of the values, so that shells complete them. Of an enumeration, the names would be
    # options.
    Name = Literal[tuple(event.value for event in AuditEventName)]


def audit(
    *,
    user: Annotated[
        str | None,
        Parameter(metavar=USER, help="Only what this user did or what was done to them."),
    ] = None,
    event: Annotated[
        Name | None,
        Parameter(metavar="NAME", help="Only events of this kind, such as `login.failed`."),
    ] = None,
    since: Annotated[Bound, Parameter(help="Only from this time on, in UTC.")] = None,
    paging: Paging = FIRST_PAGE,
) -> None:
    """List what was done, newest first: logins, refusals, sessions, roles, accounts.

    WHEN is a day (2026-12-01, today, yesterday, friday or fri, -2w), a time of today
    (18:00), or both ("fri 17:30", 2026-12-01T09:00, 2026-12-01T09:00+01:00).
    """

    async def work(core: Core) -> None:
        user_id = None if user is None else await _id(core, user)
        read = partial(
            core.audit.page,
            operator(),
            user_id=user_id,
            event=None if event is None else AuditEventName(event),
            since=None if since is None else _moment(since, core.tasks.clock.now()),
        )
        await print_list(read, AUDIT, paging, _COLUMNS, _shape, _line)

    with_core(work)


async def _id(core: Core, reference: str) -> UserId:
    """The id of a user. An id is not looked up, because deleted users have events too."""
    if is_id(reference):
        return UserId(int(reference))
    try:
        return (await find_user(core, reference)).id
    except NotFound as error:
        raise NotFound(f"{error.detail}; a deleted user is named by id") from None


def _moment(since: When, now: datetime) -> datetime:
    """The moment from which events are shown. A day begins at midnight in UTC."""
    found = since.resolved(now, UTC, past=True)
    return found if isinstance(found, datetime) else start_of_day(found, UTC)


def _line(event: AuditEvent) -> Record:
    """Operators are shown by their user name on the machine, users by their id."""
    by = event.actor_id or (event.user_agent if event.actor is ActorKind.SYSTEM else event.actor)
    return {**_shape(event), "by": by}


def _shape(event: AuditEvent) -> Record:
    shown = {name: getattr(event, name) for name in _FIELDS}
    return shown | {"detail": dict(event.detail)}
