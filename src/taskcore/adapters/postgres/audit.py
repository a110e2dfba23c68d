"""The audit in PostgreSQL."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import audit_events
from taskcore.adapters.postgres.statements import (
    Statement,
    columns_of,
    counted_page,
    named_values,
    optional,
)
from taskcore.domain.audit import ActorKind, Event, EventName, NewEvent
from taskcore.domain.users import UserId
from taskcore.ports import Page

_COLUMNS = columns_of(audit_events, Event)
_NEW = [field.name for field in fields(NewEvent)]

_PARAMETERS = {
    name: sa.bindparam(f"event_{name}", type_=audit_events.c[name].type) for name in _NEW
}
_ADD = Statement(sa.insert(audit_events).values(_PARAMETERS))
_SINCE = sa.cast(sa.bindparam("since"), sa.DateTime(timezone=True))
_PAGE = Statement(
    counted_page(
        sa.select(*_COLUMNS).where(
            sa.or_(
                optional(audit_events.c.user_id, "user_id", sa.BigInteger),
                audit_events.c.actor_id == sa.cast(sa.bindparam("user_id"), sa.BigInteger),
            ),
            optional(audit_events.c.event, "event", sa.Text),
            sa.or_(_SINCE.is_(None), audit_events.c.at >= _SINCE),
        ),
        audit_events.c.id,
    )
)


def recorded(where: sa.CTE) -> sa.CTE:
    """Part of another statement: records the event of `values_of`, once per row of the CTE."""
    events = sa.select(*_PARAMETERS.values()).select_from(where)
    return sa.insert(audit_events).from_select(_NEW, events).cte("recorded")


def values_of(event: NewEvent) -> dict[str, Any]:
    values = {f"event_{name}": value for name, value in named_values(_NEW, event).items()}
    return values | {"event_detail": Jsonb(dict(event.detail))}


@dataclass(slots=True)
class PostgresAudit:
    _link: Link

    async def add(self, *events: NewEvent) -> None:
        """A round trip for each."""
        for event in events:
            await self._link.run(_ADD, **values_of(event))

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
