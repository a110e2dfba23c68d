"""The numbers of tasks, maintained by triggers, always equal the counted ones."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import psycopg
import pytest

from taskcore.adapters.postgres import Connections, PostgresStore, upgrade
from taskcore.adapters.postgres.migrate import downgrade
from taskcore.domain.errors import NotFound
from taskcore.domain.tasks import Task
from tests.conftest import new_database
from tests.contracts.stored import NOW, add_user

KEPT = """
SELECT owner_id, sum(count)::int FROM task_counts GROUP BY owner_id HAVING sum(count) <> 0
"""
COUNTED = """
SELECT coalesce(owner_id, 0), count(*)::int FROM tasks GROUP BY GROUPING SETS ((owner_id), ())
HAVING count(*) > 0
"""

Db = psycopg.Connection[Any]


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with new_database(database_url) as url:
        upgrade(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO users (email, email_key, hashed_password)"
                " SELECT n || '@x.org', n || '@x.org', 'h' FROM generate_series(1, 9) n"
            )
            yield connection


def kept(db: Db) -> dict[int, int]:
    """The maintained numbers, checked against counting."""
    found = dict(db.execute(KEPT).fetchall())
    assert found == dict(db.execute(COUNTED).fetchall())
    return found


def add(db: Db, owner_id: int, count: int) -> None:
    db.execute(
        "INSERT INTO tasks (title, owner_id) SELECT 'x', %s FROM generate_series(1, %s)",
        [owner_id, count],
    )


def test_every_way_to_add_and_remove_is_counted(db: Db) -> None:
    assert kept(db) == {}
    add(db, 1, 3)
    add(db, 2, 1)
    assert kept(db) == {0: 4, 1: 3, 2: 1}
    with db.cursor().copy("COPY tasks (title, owner_id) FROM STDIN") as copy:
        for row in (("a", 2), ("b", 3), ("c", 3)):
            copy.write_row(row)
    assert kept(db) == {0: 7, 1: 3, 2: 2, 3: 2}
    db.execute("DELETE FROM tasks WHERE owner_id IN (1, 3) AND id % 2 = 1")
    kept(db)
    db.execute("UPDATE tasks SET owner_id = 9 WHERE owner_id = 2")
    assert kept(db)[9] == 2
    db.execute("UPDATE tasks SET title = 'y', owner_id = owner_id, version = version + 1")
    kept(db)
    add(db, 1, 0)
    db.execute("DELETE FROM tasks WHERE false")
    kept(db)
    db.execute("TRUNCATE tasks")
    assert kept(db) == {}
    add(db, 5, 2)
    assert kept(db) == {0: 2, 5: 2}


def test_a_deleted_owner_leaves_no_numbers(db: Db) -> None:
    add(db, 1, 3)
    add(db, 2, 2)
    db.execute("DELETE FROM users WHERE id = 1")
    assert kept(db) == {0: 2, 2: 2}
    rows = db.execute("SELECT count(*) FROM task_counts WHERE owner_id = 1").fetchone()
    assert rows == (0,)
    db.execute("DELETE FROM users")
    assert kept(db) == {}


def test_a_rollback_undoes_the_numbers(db: Db) -> None:
    add(db, 1, 3)
    with db.transaction(force_rollback=True):
        add(db, 1, 3)
        db.execute("DELETE FROM users WHERE id = 1")
    assert kept(db) == {0: 3, 1: 3}


def test_the_slots_of_all_connections_add_up(db: Db) -> None:
    for _ in range(40):  # more than there are slots
        with psycopg.connect(db.info.dsn, autocommit=True) as other:
            add(other, 1, 2)
            other.execute("DELETE FROM tasks WHERE id = (SELECT min(id) FROM tasks)")
    assert kept(db) == {0: 40, 1: 40}
    slots = db.execute("SELECT count(*) FROM task_counts WHERE owner_id = 1").fetchone()
    assert slots
    assert slots[0] > 1


def test_the_migration_counts_existing_tasks(db: Db) -> None:
    add(db, 1, 3)
    add(db, 4, 1)
    downgrade(db.info.dsn, "0003")
    add(db, 4, 1)
    db.execute("DELETE FROM tasks WHERE owner_id = 1 AND id = 1")
    upgrade(db.info.dsn)
    assert kept(db) == {0: 4, 1: 2, 4: 2}
    add(db, 4, 1)
    assert kept(db) == {0: 5, 1: 2, 4: 3}


@pytest.mark.parametrize("own_schema", [False, True])
def test_a_role_that_may_write_tasks_needs_no_right_on_the_numbers(
    db: Db, *, own_schema: bool
) -> None:
    """Servers of the previous release keep working after this migration."""
    db.execute("CREATE ROLE writes_tasks")
    try:
        db.execute("GRANT SELECT, INSERT, DELETE ON tasks TO writes_tasks")
        if own_schema:  # in which it could create a table of the same name
            db.execute("CREATE SCHEMA mine AUTHORIZATION writes_tasks")
        db.execute("SET ROLE writes_tasks")
        if own_schema:
            db.execute("SET search_path = mine, public")
            db.execute("CREATE TABLE mine.task_counts (owner_id text, slot text, count text)")
        add(db, 1, 2)
        db.execute("DELETE FROM public.tasks WHERE id = 1")
        if not own_schema:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute("UPDATE task_counts SET count = 5")
        db.execute("RESET ROLE")
        db.execute("RESET search_path")
        assert kept(db) == {0: 1, 1: 1}
    finally:
        db.execute("RESET ROLE")
        db.execute("DROP OWNED BY writes_tasks")
        db.execute("DROP ROLE writes_tasks")


@pytest.mark.anyio
async def test_the_total_of_a_page_equals_its_items_at_every_moment(
    connections: Connections, database_url: str
) -> None:
    """While tasks are added and removed through two pools."""
    store = PostgresStore(connections)
    owners = [await add_user(store, name) for name in ("ada", "bob")]
    done = asyncio.Event()

    async def change(seed: int, other: PostgresStore) -> None:
        random, mine = Random(seed), list[Task]()  # noqa: S311 - no secret
        for _ in range(60):
            async with other.autocommit() as db:
                if mine and random.random() < 0.4:
                    await db.tasks.remove(mine.pop(random.randrange(len(mine))))
                else:
                    owner = random.choice(owners).id
                    mine.append(await db.tasks.add(Task.new(owner, NOW, title="x")))

    async def look() -> int:
        looks = 0
        while not done.is_set():
            async with store.autocommit() as db:
                for owner_id in (None, owners[0].id):
                    page = await db.tasks.page(owner_id=owner_id, skip=0, limit=1000)
                    assert len(page.items) == page.total
                    looks += 1
        return looks

    async with Connections(database_url) as others:
        looking = asyncio.create_task(look())
        stores = [store, PostgresStore(others)] * 4
        await asyncio.gather(*(change(seed, other) for seed, other in enumerate(stores)))
        done.set()
        assert await looking > 5
    async with store.autocommit() as db:
        await db.users.remove(owners[0].id)
        with pytest.raises(NotFound):
            await db.tasks.add(Task.new(owners[0].id, NOW, title="x"))
    with psycopg.connect(database_url) as connection:
        kept(connection)
