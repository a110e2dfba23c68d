"""The gate before the use cases: rate limits and rights. Records refusals in the audit log.

How many attempts there are: `domain/rate_limits.py`.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.errors import Forbidden, OutcomeUnknown, TooMany, Unavailable
from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor, authorize_accounts
from taskcore.domain.rate_limits import DENIED, TRIPPED, Limit
from taskcore.ports import Claim, Clock, Denial, RateLimiter, Store


@dataclass(frozen=True, slots=True)
class Gate:
    store: Store
    limiter: RateLimiter
    clock: Clock

    async def admit(self, client: Origin | Actor, *claims: Claim) -> None:
        """Count the attempt. Raises TooMany, and Unavailable."""
        if denial := await self.limiter.acquire(*claims):
            await self.turn_away(client, denial)

    async def turn_away(self, client: Origin | Actor, denial: Denial, **detail: str) -> None:
        """Raises TooMany.

        Records the denial in the audit, for each limit and subject at most once in five minutes
        (`TRIPPED`).
        """
        claim, now = denial.claim, self.clock.now()
        if await self.may_record(TRIPPED, f"{claim.limit.name} {claim.subject}"):
            name = AuditEventName.RATELIMIT_TRIPPED
            event = NewAuditEvent.by(client, name, now)
            await self.record(replace(event, detail={"limit": claim.limit.name, **detail}))
        raise TooMany(retry_after=denial.retry_after)

    async def succeeded(self, *claims: Claim) -> None:
        """Reduce the count of each claim by its limit's `given_back`, after a success."""
        await self._give_back({claim: claim.limit.given_back for claim in claims})

    async def uncount(self, *claims: Claim) -> None:
        """Uncount an attempt that has told the client nothing, because the store did not answer."""
        await self._give_back({claim: claim.limit.step for claim in claims})

    async def _give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        # The use case has succeeded; a limiter that does not answer must not make it fail.
        with suppress(Unavailable):
            await self.limiter.give_back({claim: share for claim, share in shares.items() if share})

    async def administers(self, actor: Actor) -> None:
        """Demand the right to manage other accounts. Raises Forbidden."""
        try:
            authorize_accounts(actor)
        except Forbidden:
            await self.deny(actor, "administer")
            raise

    async def deny(self, actor: Actor, action: str) -> None:
        """Record that the actor's role does not allow the action."""
        if await self.may_record(DENIED, str(actor.user_id)):
            now = self.clock.now()
            await self.record(
                NewAuditEvent.by(actor, AuditEventName.AUTHZ_DENIED, now, action=action)
            )

    async def may_record(self, limit: Limit, subject: str) -> bool:
        """Whether to record another event about the subject; if so, counts it against the limit.

        The limit keeps refusals from filling the disk.
        """
        return await self.limiter.acquire(Claim(limit, subject)) is None

    async def record(self, *events: NewAuditEvent) -> None:
        """Record in a transaction of its own, which a refusal does not undo. Raises Unavailable."""
        try:
            async with self.store.autocommit() as db:
                await db.audit.add(*events)
        except OutcomeUnknown as error:
            # The request is refused already, so only the record is in doubt: report Unavailable.
            raise Unavailable from error


def per_network(origin: Origin, *limits: Limit) -> tuple[Claim, ...]:
    """Claims for each limit on the client's network and, by `limit.per_site`, on its IPv6 /48.

    None on what is unknown.
    """
    claims = [Claim(limit, origin.network) for limit in limits if origin.network]
    claims += [Claim(limit.per_site, origin.site) for limit in limits if origin.site]
    return tuple(claims)
