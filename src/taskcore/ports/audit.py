"""Storing the audit log."""

from datetime import datetime
from typing import Protocol

from taskcore.domain.audit import AuditEvent, AuditEventName, AuditEventPosition, NewAuditEvent
from taskcore.domain.users import UserId
from taskcore.ports.pages import Page


class AuditRepository(Protocol):
    async def add(self, *events: NewAuditEvent) -> None:
        """Append events; no method changes or removes one."""

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
        """Events, newest first: by time, then by id. With `after`, only those behind that position.

        `user_id` matches the events that the user caused or that concern them.
        """
