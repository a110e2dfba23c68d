"""Idempotency keys of several processes, and what they may take of the pool."""

import asyncio
import pkgutil
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib import import_module

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from taskcore.adapters import postgres
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.autocommit import LONG_TRANSACTIONS
from taskcore.adapters.postgres.connections import SIZE, BorrowedConnection
from taskcore.adapters.postgres.errors import translated
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.errors import KeyInProgress, OutcomeUnknown, Unavailable
from taskcore.testing.contracts.idempotency import ENOUGH, a_claim, answer_to, kept
from taskcore.testing.contracts.stored import add_user
from tests.conftest import until
from tests.postgres.test_errors import UNAVAILABLE, UNAVAILABLE_AND_CUT, with_state

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(connections: Connections) -> PostgresStore:
    return PostgresStore(connections)


@pytest.fixture
async def elsewhere(database_url: str) -> AsyncIterator[PostgresStore]:
    """That of another process, which waits for a lock for a short time only."""
    url = make_conninfo(database_url, options="-c lock_timeout=100")
    async with Connections(url) as connections:
        yield PostgresStore(connections)


async def test_the_same_request_of_another_process_waits_for_the_answer(
    store: PostgresStore, elsewhere: PostgresStore
) -> None:
    ada = await add_user(store)
    async with store.transaction(ada.id) as tx:
        assert await tx.idempotency.claim(a_claim(ada)) is None
        for request in (b"r", b"s"):
            with pytest.raises(KeyInProgress):
                await answer_to(elsewhere, a_claim(ada, request=request))
        assert await answer_to(elsewhere, a_claim(ada, key=b"l")) is None
        waiting = asyncio.create_task(answer_to(elsewhere, a_claim(ada)))
        await asyncio.sleep(0.01)
        await tx.idempotency.keep(a_claim(ada), b"done", at_most=ENOUGH)
    assert await waiting == b"done"


async def test_a_repeated_answer_is_written_so_that_its_commit_waits_for_a_replica(
    store: PostgresStore, connections: Connections
) -> None:
    """Else it might be given before the work is on the replica, and be lost with this server."""
    ada = await add_user(store)
    await kept(store, a_claim(ada), b"done")
    async with store.transaction(ada.id) as tx:
        assert await tx.idempotency.claim(a_claim(ada)) == b"done"
        link = tx.idempotency._link
        assert (await link.row(Statement(text("SELECT pg_current_xact_id_if_assigned()")))) != (
            None,
        )
    assert not connections.is_away


async def test_keys_leave_connections_for_everything_else(store: PostgresStore) -> None:
    """However many requests have a key, of one user or of many."""
    users = [await add_user(store, f"user{number}") for number in range(SIZE)]
    begun: list[int] = []
    go_on = asyncio.Event()

    async def hold(number: int) -> None:
        async with store.transaction(users[number].id):
            begun.append(number)
            await go_on.wait()

    async with asyncio.TaskGroup() as requests:
        for number in [0] * 2 * SIZE + list(range(1, SIZE)):
            requests.create_task(hold(number))
        await until(lambda: len(begun) >= LONG_TRANSACTIONS)
        assert sorted(begun) == [*range(LONG_TRANSACTIONS)]  # as connections were opened
        async with store.autocommit() as db:
            assert (await db.users.get(users[0].id)) == users[0]
        go_on.set()
    assert sorted(begun) == [0] * 2 * SIZE + list(range(1, SIZE))


def test_a_statement_knows_whether_it_changes_anything() -> None:
    """All but those of the rate limits, of which no client looks for what has become."""
    changes = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b")
    seen = {True: 0, False: 0}
    for module in pkgutil.iter_modules(postgres.__path__, f"{postgres.__name__}."):
        for statement in vars(import_module(module.name)).values():
            if isinstance(statement, Statement) and not module.name.endswith("limits"):
                assert statement.writes is bool(changes.search(repr(statement))), statement
                seen[statement.writes] += 1
    assert min(seen.values()) > 10


def test_a_lost_answer_to_a_change_means_that_its_outcome_is_unknown() -> None:
    not_begun = {"25006", "53300", "57P03"}
    for state in UNAVAILABLE_AND_CUT:
        kind = Unavailable if state in not_begun else OutcomeUnknown
        assert type(translated(with_state(state), in_doubt=True)) is kind, state
    for state in UNAVAILABLE:  # the server says that it has undone the change
        assert type(translated(with_state(state), in_doubt=True)) is Unavailable, state
    lost = psycopg.OperationalError("the connection is lost")
    assert type(translated(lost, in_doubt=True)) is OutcomeUnknown
    assert type(translated(lost)) is Unavailable


async def test_a_transaction_whose_connection_was_lost_does_not_end_well(
    store: PostgresStore,
) -> None:
    """Even where the loss was caught in the block, in which psycopg would say nothing."""
    ada = await add_user(store)
    async with AsyncExitStack() as stack:
        stack.enter_context(pytest.raises(Unavailable))
        tx = await stack.enter_async_context(store.transaction())
        assert await tx.idempotency.claim(a_claim(ada)) is None
        link = tx.idempotency._link
        assert isinstance(link, BorrowedConnection)
        await link.connection.close()
    assert await answer_to(store, a_claim(ada, request=b"s")) is None
