"""The contract of `ports.RateLimiter`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from taskcore.domain.rate_limits import Limit
from taskcore.ports import Claim, RateLimiter, Removal
from taskcore.testing.contracts.contract import Contract

FIVE = Limit("five", 5, timedelta(minutes=5))
TEN = Limit("ten", 10, timedelta(minutes=1))
ADA, BOB = Claim(FIVE, "ada"), Claim(FIVE, "bob")


@dataclass
class Limiting:
    """A limiter, and the time that passes for it."""

    limiter: RateLimiter
    pass_time: Callable[[timedelta], Awaitable[None]]
    kept: Callable[[], int]
    """How many counts are stored."""

    async def admitted(self, *claims: Claim, times: int) -> int:
        """One after the other."""
        return sum([await self.limiter.acquire(*claims) is None for _ in range(times)])


class LimiterContract(Contract):
    """On the fixture `limiting`: a limiter without any counts, and its time."""

    async def test_a_limit_admits_its_quota_at_once_and_then_nothing(
        self, limiting: Limiting
    ) -> None:
        assert await limiting.admitted(ADA, times=9) == 5

    async def test_each_subject_and_each_limit_counts_for_itself(self, limiting: Limiting) -> None:
        assert await limiting.admitted(ADA, times=9) == 5
        assert await limiting.admitted(BOB, times=9) == 5
        assert await limiting.admitted(Claim(TEN, "ada"), times=19) == 10

    async def test_attempts_are_forgotten_one_by_one(self, limiting: Limiting) -> None:
        await limiting.admitted(ADA, times=5)
        await limiting.pass_time(FIVE.step - timedelta(seconds=5))
        assert await limiting.admitted(ADA, times=1) == 0
        await limiting.pass_time(timedelta(seconds=5))
        assert await limiting.admitted(ADA, times=2) == 1
        await limiting.pass_time(3 * FIVE.step)
        assert await limiting.admitted(ADA, times=9) == 3
        await limiting.pass_time(99 * FIVE.period)
        assert await limiting.admitted(ADA, times=9) == 5

    async def test_a_denial_says_what_denied_and_when_there_is_room_again(
        self, limiting: Limiting
    ) -> None:
        for _ in range(5):
            assert await limiting.limiter.acquire(ADA) is None
        denial = await limiting.limiter.acquire(ADA)
        assert denial
        assert denial.claim == ADA
        assert denial.retry_after == pytest.approx(FIVE.step.total_seconds(), abs=5)
        await limiting.pass_time(timedelta(seconds=denial.retry_after + 0.1))
        assert await limiting.limiter.acquire(ADA) is None

    async def test_what_is_denied_counts_nowhere(self, limiting: Limiting) -> None:
        wide = Claim(TEN, "everybody")
        assert await limiting.admitted(ADA, wide, times=50) == 5
        assert await limiting.admitted(wide, times=50) == 5
        # The other way round too: the wide one is asked last, and what is narrow is given back.
        assert await limiting.admitted(BOB, wide, times=50) == 0
        assert await limiting.admitted(BOB, times=50) == 5

    async def test_the_first_limit_that_is_used_up_decides(self, limiting: Limiting) -> None:
        cid, dan = Claim(FIVE, "cid"), Claim(FIVE, "dan")
        for claim in (ADA, BOB, cid, dan):
            await limiting.admitted(claim, times=5)
        for claims in ((ADA, BOB), (dan, cid)):
            denial = await limiting.limiter.acquire(*claims)
            assert denial
            assert denial.claim == claims[0]

    async def test_nothing_to_count_is_no_limit(self, limiting: Limiting) -> None:
        assert await limiting.admitted(times=99) == 99
        assert limiting.kept() == 0

    async def test_what_is_given_back_may_be_used_again(self, limiting: Limiting) -> None:
        await limiting.admitted(ADA, times=5)
        await limiting.limiter.give_back({ADA: FIVE.step})
        assert await limiting.admitted(ADA, times=9) == 1
        await limiting.limiter.give_back({ADA: FIVE.period, BOB: FIVE.step})
        assert await limiting.admitted(ADA, times=9) == 5
        assert await limiting.admitted(BOB, times=9) == 5

    async def test_giving_back_more_than_was_taken_makes_no_larger_quota(
        self, limiting: Limiting
    ) -> None:
        await limiting.admitted(ADA, times=1)
        await limiting.limiter.give_back({ADA: 99 * FIVE.period})
        assert await limiting.admitted(ADA, times=50) == 5
        await limiting.limiter.give_back({})

    async def test_a_limit_is_exact_however_many_ask_at_once(self, limiting: Limiting) -> None:
        wide = Claim(TEN, "everybody")
        denials = await asyncio.gather(*(limiting.limiter.acquire(ADA, wide) for _ in range(40)))
        assert denials.count(None) == 5
        others = [limiting.limiter.acquire(Claim(FIVE, str(n)), wide) for n in range(40)]
        assert (await asyncio.gather(*others)).count(None) == 5

    async def test_who_asks_and_who_gives_back_do_not_block_each_other(
        self, limiting: Limiting
    ) -> None:
        claims = [Claim(TEN, f"{n}") for n in range(4)]

        async def attempt() -> None:
            if await limiting.limiter.acquire(*claims) is None:
                await limiting.limiter.give_back(dict.fromkeys(claims, TEN.step))

        await asyncio.gather(*(attempt() for _ in range(60)))
        assert await limiting.admitted(*claims, times=50) == 10

    @pytest.mark.parametrize("subject", ["", "\0", "\ud800", "x" * 10**6, "a b", "\U0001f600"])
    async def test_a_subject_is_any_text(self, limiting: Limiting, subject: str) -> None:
        assert await limiting.admitted(Claim(FIVE, subject), times=9) == 5

    async def test_expired_counts_are_forgotten_a_few_at_a_time_and_no_others(
        self,
        limiting: Limiting,
    ) -> None:
        """RL-12: in memory and in the database."""
        for number in range(20):
            await limiting.limiter.acquire(Claim(TEN, str(number)))
        await limiting.admitted(ADA, times=5)
        await limiting.pass_time(TEN.period)
        assert limiting.kept() == 21
        removals = [await limiting.limiter.forget(15)]
        while removals[-1].more:
            removals.append(await limiting.limiter.forget(15))
        assert sum(removal.count for removal in removals) == 20
        assert max(removal.count for removal in removals) <= 15
        assert limiting.kept() == 1
        assert await limiting.limiter.forget(15) == Removal(0, more=False)
        assert await limiting.admitted(ADA, times=9) < 5
