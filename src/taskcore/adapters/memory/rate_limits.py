"""A rate limiter in this process's memory, and one without limits."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from taskcore.ports import Claim, Clock, Denial, Removal

_SWEEP = 1000  # calls between two removals of expired entries


class MemoryLimiter:
    """A limiter that is exact within one process, and only there.

    GCRA: stores, per claim, the moment at which all counted attempts will have expired. Removes
    entries that are over by itself too, because a program that uses it may do no housekeeping.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expires_at: dict[Claim, datetime] = {}
        self._calls = 0

    async def acquire(self, *claims: Claim) -> Denial | None:
        now = self._clock.now()
        self._calls += 1
        if self._calls % _SWEEP == 0:
            await self.forget(len(self._expires_at))
        counted = {}
        for claim in claims:
            limit = claim.limit
            counted[claim] = max(self._expires_at.get(claim, now), now) + limit.step
            if (wait := counted[claim] - now - limit.period) > timedelta(0):
                return Denial(claim, wait.total_seconds())
        self._expires_at |= counted
        return None

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        for claim in shares.keys() & self._expires_at.keys():
            self._expires_at[claim] -= shares[claim]

    async def forget(self, limit: int) -> Removal:
        now = self._clock.now()
        over = [claim for claim, at in self._expires_at.items() if at <= now]
        for claim in over[:limit]:
            del self._expires_at[claim]
        return Removal(len(over[:limit]), more=len(over) > limit)


class Unlimited:
    """Admits everything: for tests, and behind a gateway with limits of its own."""

    async def acquire(self, *_: Claim) -> Denial | None:
        return None

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None: ...

    async def forget(self, limit: int) -> Removal:  # noqa: ARG002 - it counts nothing
        return Removal(0, more=False)
