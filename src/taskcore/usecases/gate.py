"""What stands before the use cases: limits and rights. Whoever is refused is put on record."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from taskcore.domain.audit import EventName, NewEvent
from taskcore.domain.errors import Forbidden, TooMany, Unavailable
from taskcore.domain.limits import DENIED, TRIPPED, Limit
from taskcore.domain.origins import Origin
from taskcore.domain.policies import Actor, authorize_accounts
from taskcore.ports import Claim, Clock, Denial, RateLimiter, Store


@dataclass(frozen=True, slots=True)
class Gate:
    store: Store
    limiter: RateLimiter
    clock: Clock

    async def admit(self, who: Origin | Actor, *claims: Claim) -> None:
        """Count the attempt. Raises TooMany, and Unavailable."""
        if denial := await self.limiter.acquire(*claims):
            await self.turn_away(who, denial)

    async def turn_away(self, who: Origin | Actor, denial: Denial, **detail: str) -> None:
        """Raises TooMany. One event in a while is enough to tell that somebody keeps trying."""
        claim, now = denial.claim, self.clock.now()
        if await self.is_news(TRIPPED, f"{claim.limit.name} {claim.subject}"):
            name = EventName.RATELIMIT_TRIPPED
            event = (
                NewEvent.by(who, name, now)
                if isinstance(who, Actor)
                else NewEvent.of_anybody(who, name, now)
            )
            await self.record(replace(event, detail={"limit": claim.limit.name, **detail}))
        raise TooMany(retry_after=denial.retry_after)

    async def succeeded(self, *claims: Claim) -> None:
        """Each limit forgets what a success makes it forget."""
        await self._give_back({claim: claim.limit.given_back for claim in claims})

    async def take_back(self, *claims: Claim) -> None:
        """The attempt was not made after all."""
        await self._give_back({claim: claim.limit.step for claim in claims})

    async def _give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        # What was done stands, whether or not this is counted.
        with suppress(Unavailable):
            await self.limiter.give_back({claim: share for claim, share in shares.items() if share})

    async def administers(self, actor: Actor) -> None:
        """Everything about other people's accounts. Raises Forbidden."""
        try:
            authorize_accounts(actor)
        except Forbidden:
            await self.deny(actor, "administer")
            raise

    async def deny(self, actor: Actor, action: str) -> None:
        """Put it on record that the actor's role does not allow it."""
        if await self.is_news(DENIED, str(actor.user_id)):
            now = self.clock.now()
            await self.record(NewEvent.by(actor, EventName.AUTHZ_DENIED, now, action=action))

    async def is_news(self, limit: Limit, subject: str) -> bool:
        """Whether it may be put on record once more, or would only fill the disk."""
        return await self.limiter.acquire(Claim(limit, subject)) is None

    async def record(self, *events: NewEvent) -> None:
        """On its own, so that it stays when the use case ends in a refusal. Raises Unavailable."""
        async with self.store.autocommit() as db:
            await db.audit.add(*events)


def per_network(origin: Origin, *limits: Limit) -> tuple[Claim, ...]:
    """Nothing where it is not known: a library that limits by network passes its origins on."""
    claims = [Claim(limit, origin.network) for limit in limits if origin.network]
    claims += [Claim(limit.wide, origin.site) for limit in limits if origin.site]
    return tuple(claims)
