"""Reading the audit log."""

from dataclasses import dataclass, replace
from datetime import datetime

from taskcore.domain.audit import ActorKind, AuditEvent, AuditEventName, AuditEventPosition
from taskcore.domain.pages import DEFAULT_LIMIT, check_slice
from taskcore.domain.policies import Actor, own_id
from taskcore.domain.users import UserId
from taskcore.ports import Page, Store
from taskcore.usecases.rate_limits import Gate


@dataclass(frozen=True, slots=True)
class Audit:
    """Who did what, for administrators, and of one's own account."""

    store: Store
    gate: Gate

    async def page(
        self,
        actor: Actor,
        *,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        user_id: UserId | None = None,
        event: AuditEventName | None = None,
        since: datetime | None = None,
        after: AuditEventPosition | None = None,
    ) -> Page[AuditEvent]:
        """All events, or those that one user caused or that concern them; newest first.

        For administrators. Raises Forbidden and Invalid. To read on, pass the last event's
        `position` as `after`.
        """
        await self.gate.administers(actor)
        check_slice(skip, limit)
        async with self.store.autocommit(actor.user_id, may_lag=True) as db:
            return await db.audit.page(
                skip=skip, limit=limit, user_id=user_id, event=event, since=since, after=after
            )

    async def own(
        self,
        actor: Actor,
        *,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        after: AuditEventPosition | None = None,
    ) -> Page[AuditEvent]:
        """The actor's own events, as in `page`, without the origin of others. Raises Invalid."""
        check_slice(skip, limit)
        user_id = own_id(actor)
        async with self.store.autocommit(user_id) as db:
            page = await db.audit.page(skip=skip, limit=limit, user_id=user_id, after=after)
        return replace(page, items=[_seen_by(user_id, event) for event in page.items])


def _seen_by(user_id: UserId, event: AuditEvent) -> AuditEvent:
    if event.actor_id in {None, user_id} and event.actor is not ActorKind.SYSTEM:
        return event
    return replace(event, actor_id=None, session_id=None, ip=None, user_agent=None, request_id=None)
