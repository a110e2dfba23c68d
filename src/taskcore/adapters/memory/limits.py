"""A rate limiter in this process's memory, and one without limits."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from taskcore.ports import Claim, Clock, Denial

_SWEEP = 1000  # calls between two removals of expired entries


class MemoryLimiter:
    """Exact within one process, and only there.

    GCRA: stores, per claim, the moment at which all counted attempts will have expired.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expires_at: dict[Claim, datetime] = {}
        self._calls = 0

    async def acquire(self, *claims: Claim) -> Denial | None:
        now = self._clock.now()
        self._sweep(now)
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

    def _sweep(self, now: datetime) -> None:
        self._calls += 1
        if self._calls % _SWEEP == 0:
            self._expires_at = {c: at for c, at in self._expires_at.items() if at > now}


class Unlimited:
    """For tests, and behind a gateway with limits of its own."""

    async def acquire(self, *_: Claim) -> Denial | None:
        return None

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None: ...
