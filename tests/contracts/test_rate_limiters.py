"""The contract of `ports.RateLimiter`, on every kind."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

import taskcore.adapters.memory.rate_limits
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.memory.rate_limits import MemoryLimiter, Unlimited
from taskcore.domain import rate_limits as domain
from taskcore.domain.rate_limits import Limit, Success
from taskcore.ports import Claim, Removal
from taskcore.testing import ManualClock
from taskcore.testing.contracts import LimiterContract, Limiting
from taskcore.testing.contracts.rate_limiters import ADA, BOB, FIVE, TEN
from tests.conftest import emptied

pytestmark = pytest.mark.anyio

# PostgreSQL is imported where it is needed: --quick needs none.
# ruff: noqa: PLC0415


@pytest.fixture(params=["memory", "remembering", "postgresql"])
async def limiting(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Limiting]:
    if request.param != "postgresql":
        memory = MemoryLimiter(clock)
        remembering = RememberingDenials(memory, clock)

        async def advance(span: timedelta) -> None:
            clock.moment += span

        limiter = memory if request.param == "memory" else remembering
        yield Limiting(limiter, advance, lambda: len(memory._expires_at))
        return
    import psycopg

    from taskcore.adapters.postgres import Connections, PostgresLimiter

    url: str = request.getfixturevalue("database_url")
    emptied(url)
    async with Connections(url) as connections:
        # The database's clock cannot be moved: what it has noted is moved the other way.
        with psycopg.connect(url, autocommit=True) as admin:

            async def age(span: timedelta) -> None:
                admin.execute("UPDATE rate_limits SET forgotten_at = forgotten_at - %s", [span])

            def count() -> int:
                row = admin.execute("SELECT count(*) FROM rate_limits").fetchone()
                return int(row[0]) if row else 0

            yield Limiting(PostgresLimiter(connections, b"k" * 32), age, count)


class TestLimiters(LimiterContract):
    """On the fixture `limiting`, which is each of our limiters in turn."""


async def test_limits_in_memory_forget_expired_counts_by_themselves(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taskcore.adapters.memory.rate_limits, "_SWEEP", 30)
    limiter = MemoryLimiter(clock)
    for number in range(20):
        await limiter.acquire(Claim(TEN, str(number)))
    clock.advance(minutes=1)
    for _ in range(10):
        await limiter.acquire(BOB)
    assert limiter._expires_at.keys() == {BOB}


async def test_what_is_stored_does_not_tell_whom_it_is_about(database_url: str) -> None:
    """RL-4, RL-12: keys are digests of one length, and change with the secret key."""
    import psycopg

    from taskcore.adapters.postgres import Connections, PostgresLimiter

    emptied(database_url)
    async with Connections(database_url) as connections:
        for key in (b"k" * 32, b"o" * 32):
            await PostgresLimiter(connections, key).acquire(Claim(FIVE, "ada@example.org"))
    with psycopg.connect(database_url) as reader:
        rows = [row[0] for row in reader.execute("SELECT key FROM rate_limits").fetchall()]
    assert len(set(rows)) == 2  # of another key it is another row
    assert {len(row) for row in rows} == {32}
    assert b"ada" not in b"".join(rows)


async def test_no_limits_are_none() -> None:
    limiter = Unlimited()
    assert [await limiter.acquire(ADA) for _ in range(99)] == [None] * 99
    await limiter.give_back({ADA: FIVE.step})
    assert await limiter.forget(9) == Removal(0, more=False)


async def test_no_number_of_the_domain_is_rounded() -> None:
    """Steps are whole microseconds, or a quota would be one less than it says."""
    stated = [limit for limit in vars(domain).values() if isinstance(limit, Limit)]
    names = [limit.name for limit in stated]
    assert len(set(names)) == len(names)
    assert {"login", "login.account", "register", "refresh"} <= set(names)
    for limit in (*stated, *(limit.per_site for limit in stated)):
        assert limit.step * limit.quota == limit.period
        shares = {Success.COUNTS: 0, Success.GIVES_BACK: 1, Success.CLEARS: limit.quota}
        assert limit.given_back == shares[limit.success] * limit.step
