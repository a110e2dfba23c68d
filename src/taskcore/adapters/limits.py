"""Limits in this process's memory, and no limits at all."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from taskcore.ports import Claim, Clock, Denial

_SWEEP = 1000  # calls; what nobody remembers any more is dropped now and then


class MemoryLimiter:
    """Exact within one process, and only there.

    GCRA: what is kept is the moment at which all attempts will be forgotten, were they forgotten
    one by one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._forgotten_at: dict[Claim, datetime] = {}
        self._calls = 0

    async def acquire(self, *claims: Claim) -> Denial | None:
        now = self._clock.now()
        self._sweep(now)
        counted = {}
        for claim in claims:
            limit = claim.limit
            counted[claim] = max(self._forgotten_at.get(claim, now), now) + limit.step
            if (wait := counted[claim] - now - limit.period) > timedelta(0):
                return Denial(claim, wait.total_seconds())
        self._forgotten_at |= counted
        return None

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        for claim in shares.keys() & self._forgotten_at.keys():
            self._forgotten_at[claim] -= shares[claim]

    def _sweep(self, now: datetime) -> None:
        self._calls += 1
        if self._calls % _SWEEP == 0:
            self._forgotten_at = {c: at for c, at in self._forgotten_at.items() if at > now}


class Unlimited:
    """For tests, and behind a gateway that limits."""

    async def acquire(self, *_: Claim) -> Denial | None:
        return None

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None: ...
