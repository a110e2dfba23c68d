"""Counting attempts against rate limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from taskcore.domain.limits import Limit


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt, counted against a limit. `subject` is the account, address or user counted."""

    limit: Limit
    subject: str


@dataclass(frozen=True, slots=True)
class Denial:
    """The claim whose limit is used up. `retry_after` in seconds."""

    claim: Claim
    retry_after: float


class RateLimiter(Protocol):
    """Counts outside of any transaction, so a rollback does not undo it.

    Exact with any number of processes. Only digests of subjects are written to disk.
    Every call raises Unavailable when there is no answer in time.
    """

    async def acquire(self, *claims: Claim) -> Denial | None:
        """Count an attempt against every limit, or against none.

        The first claim whose limit is used up is the one denied. List narrow limits first, so
        that a client that has used up its own limit cannot use up a shared one.
        """

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        """Reduce the count of each claim by its share. One attempt counts for `Limit.step`."""
