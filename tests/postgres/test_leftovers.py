"""Accounts with many tasks in PostgreSQL: deleted within the timeouts, and swept in batches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from taskcore import SYSTEM, Core, InvalidCredentials, InvalidToken, Role, User
from taskcore.adapters.postgres import Connections, PostgresLimiter, PostgresStore
from taskcore.core import Terms
from taskcore.ports import Removal
from tests.conftest import KEY, ManualClock, bound, cheap_argon2, emptied
from tests.factories import PASSWORD
from tests.usecases.people import address, join

pytestmark = pytest.mark.anyio

TURN = "SELECT pg_advisory_lock(2026112701)"
# Each deleted task takes a millisecond.
SLOWLY = """
CREATE FUNCTION take_a_moment() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END $$;
CREATE TRIGGER slowly BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION take_a_moment()
"""

TERMS = Terms(batch=20, at_once=20)

Db = psycopg.Connection[Any]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Db]:
    emptied(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def timeouts() -> str:
    """A statement takes a fifth of a second at most."""
    return "-c statement_timeout=200 -c lock_timeout=150"


@pytest.fixture
async def core(db: Db, clock: ManualClock, timeouts: str) -> AsyncIterator[Core]:
    """Batches of 20 tasks."""
    url = make_conninfo(db.info.dsn, options=timeouts)
    async with Connections(url) as connections, cheap_argon2() as hasher:
        limiter = PostgresLimiter(connections, KEY)
        yield bound(PostgresStore(connections), clock, hasher, limiter=limiter, terms=TERMS)


@pytest.fixture
def _slow(db: Db) -> Any:
    db.execute(SLOWLY)
    yield
    db.execute("DROP TRIGGER slowly ON tasks")
    db.execute("DROP FUNCTION take_a_moment")


async def with_tasks(core: Core, db: Db, name: str, count: int, *, thrown: int = 0) -> User:
    user = await core.accounts.create(SYSTEM, email=address(name), password=PASSWORD)
    add_tasks(db, user.id, count, thrown=thrown)
    return user


def add_tasks(db: Db, owner: int, count: int, *, thrown: int = 0) -> None:
    """With their words; `thrown` of them are in the trash."""
    db.execute(
        "WITH added AS (INSERT INTO tasks (id, title, owner_id) SELECT nextval('tasks_id_seq'),"
        " 'x', %s FROM generate_series(1, %s) RETURNING owner_id, id)"
        " INSERT INTO task_words SELECT owner_id, id, 'x' FROM added",
        [owner, count - thrown],
    )
    db.execute(
        "INSERT INTO trash (id, title, owner_id, deleted_at)"
        " SELECT nextval('tasks_id_seq'), 'x', %s, now() FROM generate_series(1, %s)",
        [owner, thrown],
    )
    db.execute(
        "INSERT INTO streams AS kept (owner_id, live, in_trash) VALUES (%s, %s, %s)"
        " ON CONFLICT (owner_id) DO UPDATE SET live = kept.live + excluded.live,"
        " in_trash = kept.in_trash + excluded.in_trash",
        [owner, count - thrown, thrown],
    )
    db.execute("UPDATE totals SET tasks = tasks + %s WHERE slot = 0", [count - thrown])


def rows(db: Db, table: str = "tasks") -> int:
    found = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a name of ours
    return int(found[0]) if found else 0


def waiting(db: Db) -> bool:
    """Whether a transaction waits for a lock."""
    return db.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


async def sweep(core: Core) -> None:
    async for step in core.housekeeping.sweep():
        assert step.error is None


@pytest.mark.usefixtures("_slow")
async def test_an_account_whose_tasks_take_longer_than_a_statement_may_is_deleted(
    core: Core, db: Db
) -> None:
    ada = await with_tasks(core, db, "ada", 400, thrown=150)
    await core.accounts.delete(SYSTEM, ada.id)
    await sweep(core)
    for table in ("tasks", "trash", "task_words", "streams", "users"):
        assert rows(db, table) == 0, table
    assert db.execute("SELECT sum(tasks) FROM totals").fetchone() == (0,)


@pytest.mark.usefixtures("_slow")
async def test_batches_get_smaller_where_the_database_is_too_slow_for_them(
    core: Core, db: Db
) -> None:
    ada = await with_tasks(core, db, "ada", 400)
    await core.accounts.delete(SYSTEM, ada.id)
    await sweep(replace(core, housekeeping=replace(core.housekeeping, batch=300)))
    assert (rows(db), rows(db, "users")) == (0, 0)


async def test_other_administrators_do_not_wait_for_the_tasks(core: Core, db: Db) -> None:
    ada = await with_tasks(core, db, "ada", 30)
    root = await join(core, "root", Role.ADMIN)
    with psycopg.connect(db.info.dsn) as busy:
        busy.execute("SELECT FROM tasks LIMIT 1 FOR UPDATE")  # the removal has to wait for this
        await core.accounts.delete(root.actor, ada.id)
        sweeping = asyncio.create_task(sweep(core))
        bob = await core.accounts.create(root.actor, email=address("bob"), password=PASSWORD)
        await core.accounts.change(root.actor, bob.id, full_name="Bob")
        await core.accounts.delete(root.actor, bob.id)
        busy.rollback()
        await asyncio.wait([sweeping])
    await sweep(core)
    assert rows(db) == 0


@pytest.mark.parametrize("timeouts", ["-c lock_timeout=10000"])
@pytest.mark.parametrize("own", [True, False])
async def test_a_deletion_that_waits_for_a_write_delays_no_administrator(
    core: Core, db: Db, *, own: bool
) -> None:
    ada, root = await join(core, "ada"), await join(core, "root", Role.ADMIN)
    add_tasks(db, ada.user.id, 1)
    with psycopg.connect(db.info.dsn) as busy:
        busy.execute("SELECT FROM streams WHERE owner_id = %s FOR UPDATE", [ada.user.id])
        deleting = asyncio.create_task(
            core.accounts.delete_own(ada.actor, password=PASSWORD)
            if own
            else core.accounts.delete(root.actor, ada.user.id)
        )
        while not deleting.done() and not waiting(db):  # noqa: ASYNC110 - the database's event
            await asyncio.sleep(0.001)
        bob = await core.accounts.create(root.actor, email=address("bob"), password=PASSWORD)
        await core.accounts.delete(root.actor, bob.id)
        assert not deleting.done()
        busy.rollback()
        await deleting
    assert (await core.accounts.page(SYSTEM)).total == 1


async def test_a_sweep_that_ends_half_way_is_continued_by_another_process(
    core: Core, db: Db, database_url: str, clock: ManualClock
) -> None:
    ada = await with_tasks(core, db, "ada", 90)
    await core.accounts.delete(SYSTEM, ada.id)
    async with aclosing(core.housekeeping.sweep()) as sweeping:
        first = await anext(sweeping)
    assert (first.removed["tasks"], rows(db)) == (20, 70)
    async with Connections(database_url) as others:
        other = bound(PostgresStore(others), clock, cheap_argon2(), terms=TERMS)
        await sweep(other)
    assert (rows(db), rows(db, "users")) == (0, 0)


async def test_one_process_sweeps_at_a_time(core: Core, db: Db) -> None:
    ada = await with_tasks(core, db, "ada", 30)
    await core.accounts.delete(SYSTEM, ada.id)
    await join(core, "bob")
    db.execute("UPDATE sessions SET expires_at = '2020-01-01'")
    db.execute("INSERT INTO rate_limits VALUES ('x', '2020-01-01')")
    db.execute(TURN)
    steps = [step async for step in core.housekeeping.sweep()]
    assert [step.kind for step in steps if step.elsewhere] == [
        *("accounts", "trash", "events", "sessions", "keys", "limits")
    ]
    assert not any(count for step in steps for count in step.removed.values())
    db.execute("SELECT pg_advisory_unlock_all()")
    await sweep(core)
    left = [rows(db, table) for table in ("tasks", "sessions", "refresh_tokens", "rate_limits")]
    assert left == [0, 0, 0, 0]


async def test_an_account_that_is_written_to_does_not_keep_the_trash_of_others(
    core: Core, db: Db
) -> None:
    """It has the oldest, and more of them than a batch, which has one because of its events."""
    ada = await with_tasks(core, db, "ada", 45, thrown=45)
    await with_tasks(core, db, "bob", 30, thrown=30)
    with psycopg.connect(db.info.dsn) as busy:
        busy.execute("SELECT FROM streams WHERE owner_id = %s FOR UPDATE", [ada.id])
        steps = [step async for step in core.housekeeping.sweep("trash")]
        assert [step.removed["trash"] for step in steps] == [*[0] * 45, *[1] * 30, 0]
        assert not any(step.elsewhere for step in steps)
    await sweep(core)
    assert rows(db, "trash") == 0


async def test_limits_that_live_cost_housekeeping_a_part_of_them_at_a_time(
    db: Db, database_url: str
) -> None:
    db.execute(
        "INSERT INTO rate_limits SELECT int4send(n), 'infinity' FROM generate_series(1, 35) n"
    )
    db.execute("UPDATE rate_limits SET forgotten_at = '2020-01-01' WHERE key = int4send(31)")
    async with Connections(database_url) as connections:
        limiter = PostgresLimiter(connections, KEY)
        found = [await limiter.forget(10) for _ in range(4)]
        assert found == [Removal(0, more=False)] * 3 + [Removal(1, more=True)]
        assert await limiter.forget(10) == Removal(0, more=False)


async def test_a_request_that_was_under_way_adds_no_task(core: Core, db: Db) -> None:
    """AZ-14: a request that has passed its authentication is refused as soon as the account is."""
    ada = await join(core, "ada")
    add_tasks(db, ada.user.id, 50)
    await core.accounts.delete(SYSTEM, ada.user.id)
    with pytest.raises(InvalidToken):
        await core.tasks.create(ada.actor, title="late")
    assert (await core.tasks.page(SYSTEM)).total == 0
    await sweep(core)
    assert rows(db) == 0


async def test_a_login_that_was_under_way_leaves_no_session(core: Core, db: Db) -> None:
    ada = await with_tasks(core, db, "ada", 30)
    with psycopg.connect(db.info.dsn) as busy:
        # As a login does: it has locked the account, and its session is not committed.
        busy.execute("SELECT FROM users FOR NO KEY UPDATE")
        deleting = asyncio.create_task(core.accounts.delete(SYSTEM, ada.id))
        await asyncio.sleep(0.02)
        busy.execute(
            "INSERT INTO sessions (id, user_id, expires_at)"
            " SELECT gen_random_uuid(), id, now() + interval '1 day' FROM users"
        )
        busy.commit()
        await deleting
    assert rows(db, "sessions") == 0
    with pytest.raises(InvalidCredentials):
        await core.sessions.log_in(email=address("ada"), password=PASSWORD)


async def test_a_server_of_the_previous_release_shows_nothing_personal(core: Core, db: Db) -> None:
    """AZ-14: no name, address, hash or role stays in the row that waits to be removed."""
    ada = await with_tasks(core, db, "ada", 30)
    await core.accounts.change(SYSTEM, ada.id, full_name="Ada Lovelace", role=Role.ADMIN)
    await core.accounts.change(SYSTEM, ada.id, time_zone="Asia/Tokyo")
    await join(core, "root", Role.ADMIN)
    await core.accounts.delete(SYSTEM, ada.id)
    row = db.execute(
        "SELECT email, email_key, hashed_password, full_name, role, is_active,"
        " time_zone FROM users WHERE id = %s",
        [ada.id],
    ).fetchone()
    hidden = f"removed-{ada.id}"
    assert row == (hidden, hidden, "!", None, "user", False, "UTC")
    # An administrator on such a server activates it; ours still know better.
    db.execute("UPDATE users SET is_active = true, role = 'admin' WHERE id = %s", [ada.id])
    assert (await core.accounts.page(SYSTEM)).total == 1
    await sweep(core)
    assert rows(db, "users") == 1
