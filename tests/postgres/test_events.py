"""What PostgreSQL's log of tasks does beyond the contract: it stays within its size."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from taskcore import Actor, Create, Delete, Operation, Role, Update
from taskcore.adapters.postgres import Connections, PostgresStore, event_rows, events
from taskcore.adapters.postgres.autocommit import Autocommit
from taskcore.adapters.postgres.statements import Rows
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.events import EVENT_BYTES, MAX_LOG_BYTES
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User
from taskcore.ports import Store
from taskcore.testing.contracts.stored import LATER, NOW, add_task, add_user, move_to_trash
from tests.conftest import ManualClock, bound, emptied, until
from tests.postgres.plans import plan

pytestmark = pytest.mark.anyio

Db = psycopg.Connection[Any]
SIZE = "SELECT log_bytes, log_full FROM streams WHERE owner_id = %s"
WAITING = "SELECT FROM pg_locks WHERE NOT granted"
TRUE_SIZE = """
SELECT sum(%s::int + coalesce(octet_length(changes::text), 0)) FROM events WHERE owner_id = %s
"""


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Db]:
    emptied(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def postgres(db: Db) -> AsyncIterator[Store]:
    async with Connections(db.info.dsn) as connections:
        yield PostgresStore(connections)


def size_of(db: Db, owner: User) -> tuple[int, bool]:
    row = db.execute(SIZE, [owner.id]).fetchone()
    true = db.execute(TRUE_SIZE, [EVENT_BYTES, owner.id]).fetchone()
    assert row
    assert true
    assert row[0] == (true[0] or 0)
    return row[0], row[1]


async def edited(store: Store, task: Task, title: str) -> Task:
    task_now = task.edited(LATER, title=title)
    async with store.autocommit() as db:
        return await db.tasks.save(task_now, was=task)


async def test_a_task_that_goes_while_a_long_page_is_read_is_told_as_removed(
    postgres: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_PART", 1)
    ada = await add_user(postgres)
    async with postgres.autocommit() as db:
        start = await db.events.end(ada.id)
    task = await add_task(postgres, ada)
    read = Autocommit.in_turn

    async def read_and_remove(link: Autocommit, *statement: Any, **values: Any) -> Rows:
        rows = await read(link, *statement, **values)
        if values["after"] == start.position:
            await move_to_trash(postgres, task)
        return rows

    monkeypatch.setattr(Autocommit, "in_turn", read_and_remove)
    async with postgres.autocommit() as db:
        page = await db.events.changes(ada.id, after=start, limit=9)
    assert [(each.place.position, each.task) for each in page.items] == [(start.position + 2, None)]


async def remove_old(store: Store, limit: int = 100) -> None:
    async with store.autocommit() as db:
        while (await db.events.remove_old(NOW, limit)).count:
            pass


async def test_the_size_of_a_log_is_known_whatever_is_written_and_removed(
    postgres: Store, db: Db
) -> None:
    ada = await add_user(postgres)
    kept = await edited(postgres, await add_task(postgres, ada), "\u00e9" * 200)
    trashed = await move_to_trash(postgres, await add_task(postgres, ada, "gone"))
    before, _ = size_of(db, ada)
    async with postgres.autocommit() as repositories:
        await repositories.trash.purge(ada.id, trashed.id, at=LATER)
    assert size_of(db, ada)[0] < before
    async with postgres.autocommit() as repositories:
        assert (await repositories.events.remove_old(LATER + timedelta(days=1), 100)).count == 3
    assert size_of(db, ada) == (0, False)
    await edited(postgres, kept, "again")
    assert size_of(db, ada)[0] > 0
    core = bound(postgres, ManualClock(), ScryptHasher(n=2, r=1, p=1))
    before, _ = size_of(db, ada)
    operations: list[Operation] = [
        Create({"title": "new"}),
        Update(kept.id, {"title": "\u00e9"}),
        Delete(kept.id),
    ]
    await core.tasks.bulk(Actor(ada.id, Role.USER), operations)
    assert size_of(db, ada)[0] > before + 3 * EVENT_BYTES


async def test_of_a_log_that_is_too_large_the_oldest_events_go(postgres: Store, db: Db) -> None:
    ada, bob = await add_user(postgres), await add_user(postgres, "bob")
    task = await add_task(postgres, ada)
    for number in range(9):
        task = await edited(postgres, task, str(number))
    await add_task(postgres, bob)
    await remove_old(postgres)
    assert len(db.execute("SELECT FROM events").fetchall()) == 11
    size, _ = size_of(db, ada)
    db.execute(
        "UPDATE streams SET log_bytes = log_bytes + %s WHERE owner_id = %s",
        [MAX_LOG_BYTES - size, ada.id],
    )
    task = await edited(postgres, task, "one more")
    await remove_old(postgres, 4)
    left = db.execute(
        "SELECT array_agg(position ORDER BY position) FROM events WHERE owner_id = %s", [ada.id]
    ).fetchone()
    assert left == ([5, 6, 7, 8, 9, 10, 11],)
    row = db.execute("SELECT floor, log_full FROM streams WHERE owner_id = %s", [ada.id]).fetchone()
    assert row == (4, False)


def written_by(busy: Db, owner: User, position: int) -> None:
    """Another process logs an event, and has not committed it yet."""
    busy.execute(
        "INSERT INTO events (owner_id, position, type, object_id, version, at)"
        " VALUES (%s, %s, 1, 1, 1, now())",
        [owner.id, position],
    )
    busy.execute(
        "UPDATE streams SET head = %s, log_bytes = log_bytes + %s WHERE owner_id = %s",
        [position, EVENT_BYTES, owner.id],
    )


@pytest.mark.parametrize("limit", [4, 100])
async def test_a_log_that_is_too_large_gets_smaller_while_its_owner_writes(
    postgres: Store, db: Db, limit: int
) -> None:
    ada = await add_user(postgres)
    task = await add_task(postgres, ada)
    for number in range(5):
        task = await edited(postgres, task, str(number))
    size, _ = size_of(db, ada)
    grown = [MAX_LOG_BYTES + 1 - size, ada.id]
    db.execute(
        "UPDATE streams SET log_full = true, log_bytes = log_bytes + %s WHERE owner_id = %s", grown
    )
    with psycopg.connect(db.info.dsn) as busy:
        written_by(busy, ada, 7)
        async with postgres.autocommit() as repositories:
            removing = asyncio.create_task(repositories.events.remove_old(NOW, limit))
            await until(lambda: removing.done() or bool(db.execute(WAITING).fetchall()))
            busy.commit()
            assert (await removing).count == min(limit, 6)
    left = db.execute("SELECT count(*) FROM events WHERE owner_id = %s", [ada.id]).fetchone()
    assert left == (7 - min(limit, 6),)
    row = db.execute(
        "SELECT log_full, floor, head, oldest_at IS NULL FROM streams WHERE owner_id = %s", [ada.id]
    ).fetchone()
    assert row == (False, min(limit, 6), 7, False)
    db.execute(
        "UPDATE streams SET log_bytes = log_bytes - %s WHERE owner_id = %s",
        grown,
    )
    size_of(db, ada)


async def test_what_is_left_of_a_purged_task_with_many_events_is_erased_later(
    postgres: Store, db: Db
) -> None:
    ada = await add_user(postgres)
    tasks = [await add_task(postgres, ada) for _ in range(12)]
    for number, task in enumerate(tasks):
        db.execute(
            "INSERT INTO events (owner_id, position, type, object_id, version, at, changes)"
            " SELECT %s, %s + n, 1, %s, n, now(), '{}' FROM generate_series(2, %s) n",
            [ada.id, 1000 * (number + 1), task.id, event_rows.ERASED_AT_ONCE + number],
        )
    db.execute(
        "UPDATE streams SET head = 20000, log_bytes = (SELECT sum(102) FROM events)"
        " WHERE owner_id = %s",
        [ada.id],
    )
    for task in tasks:
        trashed = await move_to_trash(postgres, task)
        async with postgres.autocommit() as repositories:
            await repositories.trash.purge(ada.id, trashed.id, at=LATER)
    kept = "SELECT count(*) > 12, sum(unerased::int) FROM events"
    assert db.execute(kept).fetchone() == (True, 12)
    await remove_old(postgres)
    assert db.execute("SELECT count(*), sum(unerased::int) FROM events").fetchone() == (12, 0)


@pytest.mark.parametrize("busy", [0, 1])
async def test_erasing_waits_for_no_account_so_that_it_deadlocks_with_no_write(
    postgres: Store, database_url: str, db: Db, busy: int
) -> None:
    accounts = [await add_user(postgres, name) for name in ("ada", "bob")]
    for each in accounts:
        trashed = await move_to_trash(postgres, await add_task(postgres, each))
        async with postgres.autocommit() as repositories:
            await repositories.trash.purge(each.id, trashed.id, at=LATER)
        db.execute("UPDATE events SET unerased = type = 4 WHERE owner_id = %s", [each.id])
        db.execute(
            "INSERT INTO events (owner_id, position, type, object_id, version, at, changes)"
            " VALUES (%s, 1, 1, %s, 1, now(), '{}')",
            [each.id, trashed.id],
        )
    lock = "SELECT FROM streams WHERE owner_id = %s FOR NO KEY UPDATE"
    with psycopg.connect(database_url) as writer:
        writer.execute(lock, [accounts[busy].id])
        async with postgres.autocommit() as repositories:
            await repositories.events.remove_old(NOW, 1000)
        left = "SELECT owner_id FROM events WHERE unerased"
        assert db.execute(left).fetchall() == [(accounts[busy].id,)]
    await remove_old(postgres)
    assert db.execute(left).fetchall() == []


@pytest.mark.parametrize("generic", [False, True])
async def test_a_version_is_found_in_the_events_behind_it_without_sorting_their_values(
    postgres: Store, db: Db, *, generic: bool
) -> None:
    ada = await add_user(postgres)
    db.execute(
        "INSERT INTO events (owner_id, position, type, object_id, version, at, changes)"
        " SELECT %s, n, 1, n %% 2, n / 2, now(), jsonb_build_object('description',"
        " jsonb_build_array(n::text || repeat('x', 1000), repeat('y', 1000)))"
        " FROM generate_series(2, 4001) n",
        [ada.id],
    )
    db.execute("VACUUM ANALYZE events")
    db.execute("SET work_mem = '64kB'")
    values: dict[str, Any] = {"owner_id": ada.id, "task_id": 1, "of": 2000}
    for version in (1990, 1):
        found = plan(db, events._VERSION, generic=generic, version=version, **values)
        assert not any(node.get("Sort Space Type") == "Disk" for node in found)
        assert not any(node["Node Type"] == "CTE Scan" for node in found)
        read = max(int(node["Actual Rows"]) for node in found if "Scan" in node["Node Type"])
        assert read <= 2000 - version
        async with postgres.autocommit() as repositories:
            told = await repositories.events.version(ada.id, TaskId(1), version, of=2000)
        assert str(told["description"]).startswith(f"{2 * version + 3}x")
