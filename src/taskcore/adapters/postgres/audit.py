"""The audit in PostgreSQL."""

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.dialects.postgresql import JSONB

from taskcore.adapters.postgres.account_tables import audit_events
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.statements import (
    Statement,
    batch_of,
    columns_of,
    first,
    in_index_order,
    named_values,
    page_and_total,
    page_of,
    sliced,
)
from taskcore.domain.audit import (
    ActorKind,
    AuditEvent,
    AuditEventId,
    AuditEventName,
    AuditEventPosition,
    NewAuditEvent,
)
from taskcore.domain.users import UserId
from taskcore.ports import Page

_COLUMNS = columns_of(audit_events, AuditEvent)
_NEW = [field.name for field in fields(NewAuditEvent)]

_PARAMETERS = {
    name: sa.bindparam(f"event_{name}", type_=audit_events.c[name].type) for name in _NEW
}
_ADD = Statement(sa.insert(audit_events).values(_PARAMETERS))


def _add_many() -> Statement:
    kinds = {name: audit_events.c[name].type for name in _NEW} | {"detail": sa.Text()}
    batch = batch_of(**{f"event_{name}": kind for name, kind in kinds.items()})
    values: list[sa.ColumnElement[Any]] = [
        batch.c[f"event_{name}"] for name in _NEW if name != "detail"
    ]
    values.append(sa.cast(batch.c.event_detail, JSONB))
    return Statement(
        sa.insert(audit_events).from_select(_NEW, sa.select(*values).order_by(batch.c.number))
    )


_ADD_MANY = _add_many()
_AT, _ID = audit_events.c.at, audit_events.c.id
_MOMENT, _NUMBER = _AT.type, _ID.type
_LOW: tuple[sa.ColumnElement[Any], ...] = (
    sa.bindparam("since", type_=_MOMENT),
    sa.literal_column("0"),
)
_BELOW = (sa.bindparam("at_before", type_=_MOMENT), sa.bindparam("id_before", type_=_NUMBER))
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_BEYOND_ALL = AuditEventPosition(datetime.max.replace(tzinfo=UTC), AuditEventId(0))


@cache  # eight statements
def _page(*, of_user: bool, of_event: bool, counted: bool) -> Statement:
    """Each filter has an index on its column, the time and the id.

    With both filters the index on the user is used: the user's other events are read, and dropped.
    """
    event = sa.bindparam("event", type_=audit_events.c.event.type)
    user_id = sa.bindparam("user_id", type_=_NUMBER)
    matching = sa.select(*_COLUMNS).where(_LOW[0] <= _AT)
    if of_event:
        matching = matching.where(audit_events.c.event == event)
    if of_user:
        concerned = [audit_events.c.user_id, audit_events.c.actor_id]
        matching = matching.where(sa.or_(*(column == user_id for column in concerned)))
        # No index has the order of an OR: read the newest of either, then take the newest of these.
        newest = [_newest(sa.select(_AT, _ID), column, user_id) for column in concerned]
        if of_event:
            newest = [each.where(audit_events.c.event == event) for each in newest]
        found = sa.union(*(first(each) for each in newest)).subquery("found")
        chosen = sliced(sa.select(found.c.id).order_by(found.c.at.desc(), found.c.id.desc()))
        page = _by_id(chosen.subquery("chosen"))
    else:
        page = sliced(
            _newest(sa.select(*_COLUMNS), audit_events.c.event, event)
            if of_event
            else in_index_order(sa.select(*_COLUMNS), [_AT, _ID], low=_LOW, below=_BELOW)
        )
    return page_and_total(page, _AT, _ID, of=matching if counted else None)


def _by_id(ids: sa.Subquery) -> sa.Select[Any]:
    """Looks up one id after the other: the planner expects many, and would scan the table.

    The LIMIT keeps the planner from rewriting this to a join that begins with the table.
    """
    one: sa.ColumnElement[int] = sa.literal_column("1")
    event = sa.select(*_COLUMNS).where(ids.c.id == _ID).limit(one).lateral("event")
    return sa.select(*event.c).select_from(ids.join(event, sa.true()))


def _newest(
    events: sa.Select[Any], column: sa.Column[Any], value: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    low, below = [value, *_LOW], [value, *_BELOW]
    return in_index_order(events, [column, _AT, _ID], low=low, below=below)


def recorded(where: sa.CTE) -> sa.CTE:
    """Part of another statement: records the event of `values_of`, once per row of the CTE."""
    events = sa.select(*_PARAMETERS.values()).select_from(where)
    return sa.insert(audit_events).from_select(_NEW, events).cte("recorded")


def values_of(event: NewAuditEvent) -> dict[str, Any]:
    values = {f"event_{name}": value for name, value in named_values(_NEW, event).items()}
    return values | {"event_detail": Jsonb(dict(event.detail))}


@dataclass(slots=True)
class PostgresAudit:
    _link: Link

    async def add(self, *events: NewAuditEvent) -> None:
        """One round trip."""
        if len(events) == 1:
            await self._link.run(_ADD, **values_of(events[0]))
        elif events:
            rows = [named_values(_NEW, event) for event in events]
            columns = {f"event_{name}": [row[name] for row in rows] for name in _NEW}
            details = [json.dumps(dict(event.detail)) for event in events]
            await self._link.run(_ADD_MANY, **columns | {"event_detail": details})

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        user_id: UserId | None = None,
        event: AuditEventName | None = None,
        since: datetime | None = None,
        after: AuditEventPosition | None = None,
    ) -> Page[AuditEvent]:
        filters = {"of_user": user_id is not None, "of_event": event is not None}
        at_before, id_before = after or _BEYOND_ALL
        rows = await self._link.in_turn(
            _page(**filters, counted=after is None),
            _page(**filters, counted=False),
            user_id=user_id,
            event=event,
            since=since or _ALWAYS,
            at_before=at_before,
            id_before=id_before,
            skip=skip,
            limit=limit + 1,  # one more, to see whether this is the last page
        )
        return page_of(rows, limit, _event)


def _event(event: str, at: datetime, actor: str, *rest: object) -> AuditEvent:
    return AuditEvent(AuditEventName(event), at, ActorKind(actor), *rest)  # type: ignore[arg-type]  # as stored
