"""Storing the audit log."""

from datetime import datetime
from typing import Protocol

from taskcore.domain.audit import AuditEvent, AuditEventName, AuditEventPosition, NewAuditEvent
from taskcore.domain.users import UserId
from taskcore.ports.pages import Page


class AuditRepository(Protocol):
    async def add(self, *events: NewAuditEvent) -> None:
        """Append only: no method changes or removes an event."""

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
        """Newest first: by time, then by id. With `after`, only what comes after that position.

        `user_id` matches the events that the user caused or that concern them.
        """
