"""The numbers of an account and of all tasks equal what is stored, at every moment."""

import asyncio
from random import Random

import psycopg
import pytest

from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.account_rows import SLOTS
from taskcore.domain.errors import Invalid, NotFound
from taskcore.domain.tasks import MAX_TASKS, Task
from taskcore.domain.users import User
from taskcore.testing.contracts.stored import NOW, add_user

pytestmark = pytest.mark.anyio

NUMBERS = "SELECT owner_id, live, in_trash FROM streams WHERE live + in_trash > 0"
COUNTED = """
SELECT owner_id, count(*) FILTER (WHERE live), count(*) FILTER (WHERE NOT live)
FROM (SELECT owner_id, true AS live FROM tasks UNION ALL SELECT owner_id, false FROM trash)
GROUP BY owner_id
"""
TOTAL = "SELECT (SELECT sum(tasks) FROM totals)::int, (SELECT count(*) FROM tasks)::int"


def kept(url: str) -> int:
    """The number of all tasks, checked like those of each account against counting."""
    with psycopg.connect(url) as db:
        assert set(db.execute(NUMBERS).fetchall()) == set(db.execute(COUNTED).fetchall())
        ((total, counted),) = db.execute(TOTAL).fetchall()
        assert total == counted
        return int(total)


async def add(store: PostgresStore, owner: User, at_most: int = MAX_TASKS) -> Task:
    async with store.autocommit() as db:
        return await db.tasks.add(Task.new(owner.id, NOW, title="x"), at_most=at_most)


async def test_the_total_of_a_page_equals_its_items_at_every_moment(
    connections: Connections, database_url: str
) -> None:
    """While tasks come, go to the trash, come back and go for good, through two pools."""
    store = PostgresStore(connections)
    owners = [await add_user(store, name) for name in ("ada", "bob")]
    done = asyncio.Event()

    async def change(seed: int, other: PostgresStore) -> None:
        random = Random(seed)  # noqa: S311 - no secret
        mine, thrown = list[Task](), list[Task]()
        for _ in range(60):
            kind = random.random()
            async with other.autocommit() as db:
                if mine and kind < 0.4:
                    task = mine.pop(random.randrange(len(mine)))
                    thrown.append(task.trashed(NOW))
                    await db.tasks.trash(thrown[-1], was=task)
                elif thrown and kind < 0.5:
                    task = thrown.pop()
                    mine.append(task.restored(NOW))
                    await db.trash.restore(mine[-1], was=task)
                elif thrown and kind < 0.6:
                    task = thrown.pop()
                    await db.trash.purge(task.owner_id, task.id, at=NOW)
                else:
                    mine.append(await add(other, random.choice(owners)))

    async def look() -> int:
        looks = 0
        while not done.is_set():
            async with store.autocommit() as db:
                for owner_id in (None, owners[0].id):
                    page = await db.tasks.page(owner_id, skip=0, limit=1000)
                    assert len(page.items) == page.total
                thrown = await db.trash.page(owners[0].id, skip=0, limit=1000)
                assert len(thrown.items) == thrown.total
            looks += 1
        return looks

    async with Connections(database_url) as others:
        looking = asyncio.create_task(look())
        stores = [store, PostgresStore(others)] * 4
        await asyncio.gather(*(change(seed, other) for seed, other in enumerate(stores)))
        done.set()
        assert await looking > 5
    assert kept(database_url) > 0
    async with store.autocommit() as db:
        await db.users.remove(owners[0].id)
        with pytest.raises(NotFound):
            await add(store, owners[0])
        await db.users.remove(owners[1].id, at_once=0)  # its tasks stay for a while
        assert (await db.tasks.page(None, skip=0, limit=1)).total == 0


async def test_the_limit_of_an_account_holds_however_many_add_at_once(
    connections: Connections, database_url: str
) -> None:
    async with Connections(database_url) as others:
        stores = [PostgresStore(connections), PostgresStore(others)]
        ada = await add_user(stores[0])
        adding = (add(stores[number % 2], ada, at_most=25) for number in range(60))
        results = await asyncio.gather(*adding, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert (len(refused), {type(refusal) for refusal in refused}) == (35, {Invalid})
    assert kept(database_url) == 25


async def test_the_slots_of_all_connections_add_up(
    connections: Connections, database_url: str
) -> None:
    ada = await add_user(PostgresStore(connections))
    for _ in range(SLOTS + 8):
        async with Connections(database_url, size=1) as other:
            await add(PostgresStore(other), ada)
    assert kept(database_url) == SLOTS + 8
    with psycopg.connect(database_url) as db:
        slots = db.execute("SELECT count(*) FROM totals WHERE tasks <> 0").fetchone()
    assert slots
    assert slots[0] > 1
