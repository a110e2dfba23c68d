"""What may be some seconds old is read from a replica that is not further behind."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from taskcore import SYSTEM, Actor, Core
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.replica import OLDEST, Replica, following, replica_connections
from taskcore.domain.users import Role
from tests.conftest import ManualClock, bound, cheap_argon2, until
from tests.factories import PASSWORD
from tests.postgres.servers import Server, replicated

pytestmark = [pytest.mark.anyio, pytest.mark.long]


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Server, Server]]:
    with replicated() as servers:
        yield servers


@pytest.fixture
async def core(pair: tuple[Server, Server], clock: ManualClock) -> AsyncIterator[Core]:
    first, second = pair
    async with (
        Connections(first.conninfo) as connections,
        replica_connections(second.conninfo, size=5, pooler=False) as copy,
        cheap_argon2() as hasher,
    ):
        yield bound(PostgresStore(connections, copy), clock, hasher)


async def number_of_users(core: Core) -> int:
    return (await core.accounts.page(SYSTEM)).total or 0


async def test_a_replica_that_stands_still_is_asked_for_seconds_and_never_for_ones_own(
    core: Core, pair: tuple[Server, Server]
) -> None:
    ada = await core.accounts.create(SYSTEM, email="ada@example.org", password=PASSWORD)
    actor = Actor(ada.id, Role.ADMIN)
    with psycopg.connect(pair[1].conninfo, autocommit=True) as replica:
        await until(lambda: replica.execute("SELECT FROM users").rowcount == 1)
        await asked(core)
        replica.execute("SELECT pg_wal_replay_pause()")
        try:
            before, events = await number_of_users(core), (await core.audit.page(SYSTEM)).total
            task = await core.tasks.create(actor, title="Write")
            await core.accounts.create(SYSTEM, email="bob@example.org", password=PASSWORD)
            assert await number_of_users(core) == before  # some seconds old
            assert (await core.audit.page(SYSTEM)).total == events
            assert (await core.tasks.page(SYSTEM)).items == []  # all tasks
            assert (await core.tasks.page(actor, owner_id=ada.id)).items == [task]
            assert await core.tasks.get(actor, task.id) == task
            assert (await core.accounts.find(SYSTEM, "bob@example.org")) is not None
            await asyncio.sleep(OLDEST)  # now it is too old
            assert await number_of_users(core) == before + 1
            assert (await core.tasks.page(SYSTEM)).items == [task]
        finally:
            replica.execute("SELECT pg_wal_replay_resume()")


async def asked(core: Core) -> None:
    """Wait until the replica is asked: it may be a moment behind at the first look."""
    assert isinstance(core.store, PostgresStore)
    assert core.store._replica
    async with asyncio.timeout(10):
        while not await core.store._replica.is_fresh():  # noqa: ASYNC110 - it is asked, and says so
            await asyncio.sleep(0.05)


async def test_it_is_told_how_a_replica_follows(
    core: Core, pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskcore.adapters.postgres.replica.OLDEST", 0.5)
    first, second = pair
    async with (
        Connections(first.conninfo) as database,
        replica_connections(second.conninfo, size=5, pooler=False) as copy,
    ):
        await until(lambda: asked_of(second, "SELECT count(*) FROM pg_stat_wal_receiver") == 1)
        found = await following(database, copy)
        assert (found.is_ours, found.takes_writes, found.behind) == (True, False, 0)
        assert (found.is_paused, found.receives) == (False, True)
        asked_of(second, "SELECT pg_wal_replay_pause()::text")
        try:
            await core.accounts.create(SYSTEM, email="eve@example.org", password=PASSWORD)
            found = await following(database, copy)
            assert found.behind > 0
            assert found.is_paused
            assert found.replayed_ago is not None
        finally:
            asked_of(second, "SELECT pg_wal_replay_resume()::text")


async def test_a_replica_of_another_database_is_not_asked(pair: tuple[Server, Server]) -> None:
    first, second = pair
    with psycopg.connect(first.conninfo, autocommit=True) as admin:
        admin.execute("CREATE DATABASE another")
    await until(
        lambda: asked_of(second, "SELECT count(*) FROM pg_database WHERE datname = 'another'") == 1
    )
    another = second.conninfo.replace("/postgres?", "/another?")
    async with (
        Connections(first.conninfo) as database,
        replica_connections(another, size=5, pooler=False) as copy,
    ):
        replica = Replica(database, copy)
        for _ in range(3):
            replica._look_at = 0.0  # look at once
            assert not await replica.is_fresh()
        assert not (await following(database, copy)).is_ours


def asked_of(server: Server, question: str) -> object:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        ((answer,),) = connection.execute(question).fetchall()
        return answer


async def test_a_replica_that_is_away_is_not_missed(
    core: Core, pair: tuple[Server, Server]
) -> None:
    before = await number_of_users(core)
    pair[1].stop()
    try:
        for _ in range(3):
            assert await number_of_users(core) == before
    finally:
        pair[1].start()
