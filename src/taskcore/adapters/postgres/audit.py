"""The audit in PostgreSQL."""

from dataclasses import dataclass, fields
from datetime import datetime

from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, DateTime, Text, bindparam, cast, insert, or_, select

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import audit_events
from taskcore.adapters.postgres.statements import (
    Statement,
    columns_of,
    named_values,
    page_of,
    wanted,
)
from taskcore.domain.audit import ActorKind, Event, EventName, NewEvent
from taskcore.domain.users import UserId
from taskcore.ports import Page

_COLUMNS = columns_of(audit_events, Event)
_NEW = [field.name for field in fields(NewEvent)]

_ADD = Statement(insert(audit_events).values({name: bindparam(name) for name in _NEW}))
_SINCE = cast(bindparam("since"), DateTime(timezone=True))
_PAGE = Statement(
    page_of(
        select(*_COLUMNS).where(
            or_(
                wanted(audit_events.c.user_id, "user_id", BigInteger),
                audit_events.c.actor_id == cast(bindparam("user_id"), BigInteger),
            ),
            wanted(audit_events.c.event, "event", Text),
            or_(_SINCE.is_(None), audit_events.c.at >= _SINCE),
        ),
        audit_events.c.id,
    )
)


@dataclass(slots=True)
class PostgresAudit:
    _link: Link

    async def add(self, *events: NewEvent) -> None:
        """A round trip for each."""
        for event in events:
            values = named_values(_NEW, event)
            await self._link.run(_ADD, **values | {"detail": Jsonb(dict(event.detail))})

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        user_id: UserId | None = None,
        event: EventName | None = None,
        since: datetime | None = None,
    ) -> Page[Event]:
        rows = await self._link.rows(
            _PAGE, skip=skip, limit=limit, user_id=user_id, event=event, since=since
        )
        return Page([_event(*row[1:]) for row in rows if row[1] is not None], rows[0][0])


def _event(event: str, at: datetime, actor: str, *rest: object) -> Event:
    return Event(EventName(event), at, ActorKind(actor), *rest)  # type: ignore[arg-type]  # as stored
