"""The audit log in memory."""

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from taskcore.adapters.memory.tables import Access, Tables, page_of
from taskcore.domain.audit import (
    AuditEvent,
    AuditEventId,
    AuditEventName,
    AuditEventPosition,
    NewAuditEvent,
)
from taskcore.domain.users import UserId
from taskcore.ports import Page


@dataclass(slots=True)
class MemoryAudit:
    _access: Access

    async def add(self, *events: NewAuditEvent) -> None:
        async with self._access() as tables:
            append(tables, *events)

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
        async with self._access() as tables:
            matching = [
                stored
                for stored in tables.audit
                if user_id in {None, stored.user_id, stored.actor_id}
                and event in {None, stored.event}
                and (since is None or stored.at >= since)
            ]
        return page_of(matching, attrgetter("position"), skip=skip, limit=limit, after=after)


def append(tables: Tables, *events: NewAuditEvent) -> None:
    for event in events:
        tables.audit += (event.stored_as(AuditEventId(next(tables.ids.events))),)
