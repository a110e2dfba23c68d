"""Denials of a rate limiter, remembered by this process."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from taskcore.domain.rate_limits import Limit, Success
from taskcore.ports import Claim, Clock, Denial, RateLimiter, Removal

MAX_DENIALS = 10_000  # 4 MB
# How long a denial is repeated if another process may have reduced the count: a login succeeded
# there, or the operator has unlocked the account.
_GIVEN_BACK_ELSEWHERE = timedelta(seconds=0.2)


class _Period(NamedTuple):
    begin: datetime
    until: datetime  # of the remembered denial
    retry_at: datetime


class RememberingDenials:
    """A rate limiter that repeats the denials of another one until there is room again.

    Denying a flood this way costs the other limiter nothing. What is admitted stays the same: a
    denied attempt counts nowhere, so the other limiter would deny each attempt before the
    `retry_after` of its denial. When this process gives back to a claim, its denial is
    forgotten; limits to which other processes give back are asked again after 0.2 s.

    If several limits are used up, the denial names the remembered one, not always the first.
    Bounded by MAX_DENIALS: beyond that the oldest is forgotten.
    """

    def __init__(self, limiter: RateLimiter, clock: Clock) -> None:
        self._limiter, self._clock = limiter, clock
        self._denied: dict[tuple[str, str], _Period] = {}

    async def acquire(self, *claims: Claim) -> Denial | None:
        now = self._clock.now()
        if self._denied:
            for claim in claims:
                if remembered := self._remembered(claim, now):
                    return remembered
        denial = await self._limiter.acquire(*claims)
        if denial:
            self._remember(denial, now)  # `now` from before the call, so that it ends no later
        return denial

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        try:
            await self._limiter.give_back(shares)
        finally:
            for claim in shares:
                self._denied.pop(_key(claim), None)

    async def forget(self, limit: int) -> Removal:
        return await self._limiter.forget(limit)

    def _remembered(self, claim: Claim, now: datetime) -> Denial | None:
        key = _key(claim)
        period = self._denied.get(key)
        if period is None:
            return None
        if period.begin <= now < period.until:  # else the clock was set back, or the period is over
            return Denial(claim, (period.retry_at - now).total_seconds())
        del self._denied[key]
        return None

    def _remember(self, denial: Denial, now: datetime) -> None:
        wait = timedelta(seconds=denial.retry_after)
        kept = wait if _only_grows(denial.claim.limit) else min(wait, _GIVEN_BACK_ELSEWHERE)
        key = _key(denial.claim)
        self._denied.pop(key, None)
        if len(self._denied) >= MAX_DENIALS:
            del self._denied[next(iter(self._denied))]
        self._denied[key] = _Period(now, now + kept, now + wait)


def _only_grows(limit: Limit) -> bool:
    """Whether no process ever gives back to the limit."""
    return limit.success is Success.COUNTS


def _key(claim: Claim) -> tuple[str, str]:
    """A key that takes less time to hash than the claim itself."""
    return claim.limit.name, claim.subject
