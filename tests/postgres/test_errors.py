"""The translation of the database's errors: a table of them, and real ones from the server."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from sqlalchemy import text

from taskcore.adapters.postgres import Connections, PostgresStore, errors
from taskcore.adapters.postgres.errors import Unexplained, breaks_connection, translated
from taskcore.adapters.postgres.statements import Statement
from taskcore.adapters.postgres.store import PostgresRepositories
from taskcore.domain.emails import Email
from taskcore.domain.errors import (
    Conflict,
    EmailTaken,
    Invalid,
    NotFound,
    NotMigrated,
    StaleWrite,
    Unavailable,
)
from taskcore.domain.tasks import Task
from taskcore.domain.users import NewUser, Role, User
from taskcore.testing.contracts.stored import IDLE, NOW, add_task, add_user, open_session
from tests.conftest import emptied, until

pytestmark = pytest.mark.anyio

UNAVAILABLE_AND_CUT = (
    *("08000", "08001", "08003", "08004", "08006", "08007", "08P01"),
    *("57P01", "57P02", "57P03", "57P04", "57P05", "25006", "25P03", "25P04", "53300"),
)
UNAVAILABLE = ("40001", "40P01", "55P03", "57014", "53100", "53200")
INVALID = ("22001", "22003", "22021", "22023", "22P02", "22P05", "2201X", "23502", "23514")
CONFLICT = ("23503", "23505")
NOT_MIGRATED = ("42P01", "42703")
BUGS = ("42601", "42804", "42P18", "0A000", "25P02", "XX000")
CORRUPT = ("XX001", "XX002")


def with_state(state: str) -> psycopg.Error:
    """An error of psycopg's class for the state, or of one that psycopg does not know."""
    try:
        return psycopg.errors.lookup(state)("the values are in here")
    except KeyError:
        kind = type("Unknown", (psycopg.OperationalError,), {"sqlstate": state})
        return kind("the values are in here")  # type: ignore[no-any-return]


def test_a_lack_of_room_is_logged_but_not_for_each_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "_said_at", {})
    for state in ("53100", "53100", "53200", "40001"):
        translated(with_state(state))
    assert caplog.messages == [
        "The database has no room left; nothing was changed (SQLSTATE 53100)",
        "The database is out of memory; try again (SQLSTATE 53200)",
    ]


@pytest.mark.parametrize(
    ("states", "meaning", "cut"),
    [
        (UNAVAILABLE_AND_CUT, Unavailable, True),
        (UNAVAILABLE, Unavailable, False),
        (INVALID, Invalid, False),
        (CONFLICT, Conflict, False),
        (NOT_MIGRATED, NotMigrated, False),
        (BUGS, None, False),
        (CORRUPT, None, True),
    ],
)
def test_every_sqlstate_has_one_translation(
    states: tuple[str, ...], meaning: type[Exception] | None, *, cut: bool
) -> None:
    for state in states:
        error = with_state(state)
        assert error.sqlstate == state
        found = translated(error)
        assert type(found) is (meaning or Unexplained), state
        assert "values" not in str(found), state
        assert meaning or state in str(found), state
        assert breaks_connection(error) is cut, state


@pytest.mark.parametrize(
    ("error", "meaning", "cut"),
    [
        (psycopg.OperationalError("the connection is closed"), Unavailable, True),
        (psycopg.OperationalError("consuming input failed"), Unavailable, True),
        (psycopg.InternalError("received 2 results from command 'BEGIN'"), Unavailable, True),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), Unavailable, True),
        (PoolTimeout("couldn't get a connection"), Unavailable, True),
        (PoolClosed("the pool is closed"), Unavailable, True),
        (TooManyRequests("the pool has already 9 waiting"), Unavailable, True),
        (psycopg.DataError("text fields cannot contain NUL bytes"), Invalid, False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), Invalid, False),
        (psycopg.ProgrammingError("the query has 1 placeholder"), Unexplained, False),
        (psycopg.InterfaceError("cannot get information from results"), Unexplained, False),
        (StaleWrite(), None, False),
        (KeyError("title"), None, False),
        (RuntimeError("a bug"), None, False),
    ],
)
def test_every_other_error_has_one_translation(
    error: Exception, meaning: type[Exception] | None, *, cut: bool
) -> None:
    found = translated(error)
    assert found is error if meaning is None else type(found) is meaning
    assert breaks_connection(error) is cut


def sql(query: str) -> Statement:
    return Statement(text(query))


@pytest.fixture
async def alone(database_url: str) -> AsyncIterator[Connections]:
    """With a single connection, so that a test sees whether it stays usable."""
    emptied(database_url)
    async with Connections(database_url, size=1) as opened:
        yield opened


async def backend(connections: Connections) -> int:
    async with connections.borrow() as link:
        return link.connection.info.backend_pid


async def test_a_statement_that_takes_too_long_ends_and_its_connection_stays_usable(
    alone: Connections,
) -> None:
    before = await backend(alone)
    async with alone.borrow() as link:
        await link.run(sql("SET statement_timeout = '30ms'"))
        with pytest.raises(Unavailable):
            await link.run(sql("SELECT pg_sleep(9)"))
        assert await link.rows(sql("SELECT 1")) == [(1,)]
    assert await backend(alone) == before


async def test_the_wait_for_a_lock_has_a_timeout(connections: Connections) -> None:
    store = PostgresStore(connections)
    ada = await add_user(store)
    async with store.transaction() as tx:
        await tx.users.lock(ada.id)
        async with connections.borrow() as link:
            await link.run(sql("SET lock_timeout = '30ms'"))
            with pytest.raises(Unavailable):
                await PostgresRepositories(link).users.remove(ada.id)
            await link.run(sql("RESET lock_timeout"))


async def test_a_session_opens_even_if_the_old_ones_are_locked(
    connections: Connections,
) -> None:
    store = PostgresStore(connections)
    ada = await add_user(store)
    async with store.autocommit() as db:
        expired = await open_session(db, ada)
    async with connections.borrow() as other, other.connection.transaction():
        await other.rows(sql("SELECT FROM sessions FOR UPDATE"))
        async with connections.borrow() as link:
            await link.run(sql("SET lock_timeout = '30ms'"))
            token = await open_session(PostgresRepositories(link), ada, NOW + IDLE)
            await link.run(sql("RESET lock_timeout"))
    async with store.autocommit() as db:
        for each in (expired, token):
            assert await db.sessions.find_by_token(each.digest) is not None


async def test_of_two_transactions_in_a_deadlock_one_is_refused(database_url: str) -> None:
    emptied(database_url)
    # Only a superuser may set deadlock_timeout.
    url = make_conninfo(database_url, user="postgres", options="-c deadlock_timeout=20ms")
    async with Connections(url) as connections:
        store = PostgresStore(connections)
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        barrier = asyncio.Barrier(2)

        async def lock_both(first: User, second: User) -> None:
            async with store.transaction() as tx:
                await tx.users.lock(first.id)
                await barrier.wait()
                await tx.users.lock(second.id)

        results = await asyncio.gather(
            lock_both(ada, bob), lock_both(bob, ada), return_exceptions=True
        )
    assert sum(isinstance(result, Unavailable) for result in results) == 1
    assert results.count(None) == 1


async def test_the_database_refuses_values_that_the_domain_would_refuse(
    alone: Connections,
) -> None:
    store = PostgresStore(alone)
    ada = await add_user(store)
    before = await backend(alone)
    task = Task.new(ada.id, NOW, title="x")
    async with store.autocommit() as db:
        for title in ("", "x" * 256, "\x00", "a\x00b", "\ud800"):
            with pytest.raises(Invalid) as refusal:
                await db.tasks.add(replace(task, title=title), at_most=9)
            assert title in {"", "\x00"} or title not in str(refusal.value)
        with pytest.raises(Invalid):
            await db.tasks.add(replace(task, description="x" * 5001), at_most=9)
        good = NewUser(Email("a@b.org", "a@b.org"), None, Role.USER, NOW)
        for user, password_hash in (
            (replace(good, full_name="x" * 256), "h"),
            (replace(good, time_zone="x" * 65), "h"),
            (replace(good, email=Email("x" * 255, "a@b.org")), "h"),
            (replace(good, email=Email("a@b.org", "x" * 255)), "h"),
            (replace(good, role="root"), "h"),  # type: ignore[arg-type]
            (good, "x" * 256),
            (good, ""),
        ):
            with pytest.raises(Invalid):
                await db.users.add(user, password_hash)
        assert (await db.users.page(skip=0, limit=1)).total == 1
        assert (await db.tasks.page(None, skip=0, limit=1)).total == 0
    assert await backend(alone) == before


async def test_a_number_that_int8_cannot_hold_is_refused(connections: Connections) -> None:
    async with connections.borrow() as link:
        with pytest.raises(Invalid):
            await link.rows(sql("SELECT 9223372036854775807 + 1"))


async def test_a_taken_or_missing_key_has_an_error_of_its_own(connections: Connections) -> None:
    store = PostgresStore(connections)
    ada = await add_user(store)
    with pytest.raises(EmailTaken):
        await add_user(store)
    async with store.autocommit() as db:
        await db.users.remove(ada.id)
    with pytest.raises(NotFound):
        await add_task(store, ada)


async def test_a_connection_to_a_read_only_server_is_dropped(alone: Connections) -> None:
    before = await backend(alone)
    async with alone.borrow() as link:
        await link.run(sql("SET default_transaction_read_only = on"))
        with pytest.raises(Unavailable):
            await link.run(sql("DELETE FROM tasks"))
        assert link.connection.closed
    assert await backend(alone) != before
    async with alone.borrow() as link:
        await link.run(sql("DELETE FROM tasks"))


async def test_a_backend_that_is_terminated_during_a_statement_is_unavailable(
    alone: Connections, database_url: str
) -> None:
    async def sleep() -> None:
        async with alone.borrow() as link:
            await link.run(sql("SELECT pg_sleep(9) /* in the middle */"))

    sleeping = asyncio.create_task(sleep())
    with psycopg.connect(database_url, autocommit=True) as admin:
        await until(
            lambda: admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()"
            ).fetchall()
        )
    with pytest.raises(Unavailable):
        await sleeping
    assert await backend(alone)


async def test_a_bug_is_shown_by_its_kind_alone(alone: Connections) -> None:
    before, secret = await backend(alone), uuid4().hex
    async with alone.borrow() as link:
        with pytest.raises(Unexplained) as bug:
            await link.run(sql(f"SELEC '{secret}'"))
    shown = "".join(traceback.format_exception(bug.value))
    assert shown.endswith("Unexplained: SyntaxError, SQLSTATE 42601\n")
    assert secret not in shown
    assert await backend(alone) == before
