"""Denials that a process remembers: how often the limiter behind it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest

import taskcore.adapters.denials
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.memory.rate_limits import MemoryLimiter
from taskcore.domain.rate_limits import CHANGE_PASSWORD, LOGIN, LOGIN_FAILURES, Limit
from taskcore.ports import Claim, Denial, Removal
from tests.conftest import ManualClock

pytestmark = pytest.mark.anyio

KEPT = Claim(CHANGE_PASSWORD, "1")
GIVEN_BACK = [Claim(limit, "192.0.2.1") for limit in (LOGIN, LOGIN_FAILURES)]


@dataclass
class Counted:
    """A limiter that counts how often it is asked."""

    inner: MemoryLimiter
    asked: int = 0

    async def acquire(self, *claims: Claim) -> Denial | None:
        self.asked += 1
        return await self.inner.acquire(*claims)

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        await self.inner.give_back(shares)

    async def forget(self, limit: int) -> Removal:
        return await self.inner.forget(limit)


class Process:
    """One of several that share the counts of a store."""

    def __init__(self, store: MemoryLimiter, clock: ManualClock) -> None:
        self.store = Counted(store)
        self.limiter = RememberingDenials(self.store, clock)

    async def denied(self, *claims: Claim, times: int = 1) -> int:
        return sum([await self.limiter.acquire(*claims) is not None for _ in range(times)])


@pytest.fixture
def processes(clock: ManualClock) -> list[Process]:
    store = MemoryLimiter(clock)
    return [Process(store, clock) for _ in range(2)]


async def test_a_denial_is_repeated_until_there_is_room_without_asking_the_store(
    processes: list[Process], clock: ManualClock
) -> None:
    process, _ = processes
    assert await process.denied(KEPT, times=50) == 50 - CHANGE_PASSWORD.quota
    assert process.store.asked == CHANGE_PASSWORD.quota + 1
    clock.moment += CHANGE_PASSWORD.step - timedelta(milliseconds=1)
    denial = await process.limiter.acquire(Claim(LOGIN, "other"), KEPT)
    assert denial == Denial(KEPT, 0.001)
    assert process.store.asked == CHANGE_PASSWORD.quota + 1
    clock.moment += timedelta(milliseconds=1)
    assert await process.denied(KEPT) == 0


@pytest.mark.parametrize("claim", GIVEN_BACK)
async def test_what_another_process_gives_back_counts_after_a_fifth_of_a_second(
    processes: list[Process], clock: ManualClock, claim: Claim
) -> None:
    here, elsewhere = processes
    quota = claim.limit.quota
    assert await here.denied(claim, times=quota + 30) == 30
    assert here.store.asked == quota + 1
    await elsewhere.limiter.give_back({claim: claim.limit.period})
    clock.advance(seconds=0.2)
    assert await here.denied(claim) == 0


@pytest.mark.parametrize("claim", [KEPT, *GIVEN_BACK])
async def test_what_the_process_itself_gives_back_counts_at_once(
    processes: list[Process], claim: Claim
) -> None:
    process, _ = processes
    assert await process.denied(claim, times=claim.limit.quota + 1) == 1
    await process.limiter.give_back({claim: claim.limit.step})
    assert await process.denied(claim, times=2) == 1


async def test_a_clock_that_is_set_back_prolongs_no_denial(
    processes: list[Process], clock: ManualClock
) -> None:
    process, _ = processes
    await process.denied(KEPT, times=CHANGE_PASSWORD.quota + 1)
    asked = process.store.asked
    clock.advance(hours=-1)
    await process.denied(KEPT)
    assert process.store.asked == asked + 1


async def test_only_so_many_denials_are_remembered(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taskcore.adapters.denials, "MAX_DENIALS", 3)
    one = Limit("one", 1, timedelta(minutes=1))
    process = Process(MemoryLimiter(clock), clock)
    for number in range(5):
        assert await process.denied(Claim(one, str(number)), times=2) == 1
    assert len(process.limiter._denied) == 3
    asked = process.store.asked
    assert await process.denied(Claim(one, "4")) == 1  # the latest
    assert process.store.asked == asked
