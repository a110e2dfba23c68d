"""A pool of connections with bounded waiting times, and the ways to run statements on it."""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, Self

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from taskcore.adapters.postgres.arrays import ArrayDumper, int8
from taskcore.adapters.postgres.batching import MAX_REQUESTS, RETRIED_AT_ONCE, Batcher
from taskcore.adapters.postgres.conninfo import conninfo, patience, with_options
from taskcore.adapters.postgres.errors import (
    NO_ANSWER,
    Unexplained,
    breaks_connection,
    took_too_long,
    translated,
)
from taskcore.adapters.postgres.lanes import PERIOD, Lane, Lanes
from taskcore.adapters.postgres.presence import Presence, has_input
from taskcore.adapters.postgres.statements import BatchedStatement, Row, Rows, Statement, Values
from taskcore.domain.errors import Overloaded, Unavailable
from taskcore.ports import BUDGET, HomeLoop, Measures

# In seconds.
WAIT = 1.0
DEADLINE = 3.0
RECONNECT = 1.0
SIZE = 10
PREPARE_AFTER = 5  # executions
# Transactions of many calls that run at a time; the other connections are for the rest.
LONG_TRANSACTIONS = 4

# For work that holds up no request. The server ends it when this process is gone.
_UNHURRIED = (
    "-c statement_timeout=1h -c lock_timeout=0 -c client_connection_check_interval=1s"
    " -c max_parallel_maintenance_workers=0"
)


class _Int8Dumper(Int8BinaryDumper):
    def dump(self, obj: int) -> Buffer | None:
        return super().dump(int8(obj))


class Link(Protocol):
    """What repositories run statements on, one round trip each."""

    async def rows(self, statement: Statement, **values: object) -> Rows: ...

    async def row(self, statement: Statement, **values: object) -> Row | None: ...

    async def run(self, statement: Statement, **values: object) -> int:
        """The number of rows it changed."""

    async def batched(self, statement: BatchedStatement, **values: object) -> Rows:
        """Like `rows`, sharing a statement with concurrent requests. Skip the first column."""

    async def in_turn(
        self, statement: Statement, otherwise: Statement | None = None, **values: object
    ) -> Rows:
        """Like `rows`, for a statement that may be slow: users take turns. Raises Overloaded.

        Outside of a transaction, `otherwise` is run instead if the statement takes too long.
        """


class BorrowedConnection(Link):
    """One connection of the pool, for one transaction or a few statements."""

    __slots__ = ("_answers", "_in_transaction", "_presence", "connection", "has_written")

    def __init__(self, connection: AsyncConnection[Any], presence: Presence) -> None:
        self.connection = connection
        self._presence = presence
        self._answers = presence.answers  # when this connection last sent something
        self._in_transaction = False
        self.has_written = False

    @property
    def is_unanswered(self) -> bool:
        return self._presence.is_silent(self.connection, since=self._answers)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self.connection.transaction():
            self._presence.answered()
            self._in_transaction = True
            yield
            self._answers = self._presence.answers
            status = self.connection.info.transaction_status
            if status is TransactionStatus.INERROR:  # COMMIT would silently roll back
                raise RuntimeError("the transaction goes on after an error that has aborted it")
            if self.connection.closed:  # psycopg would silently not commit
                raise Unavailable(NO_ANSWER)

    async def rows(self, statement: Statement, **values: object) -> Rows:
        cursor = await self.execute(statement, statement.arguments(values))
        return await cursor.fetchall()

    batched = rows  # a batch of one

    async def in_turn(
        self,
        statement: Statement,
        otherwise: Statement | None = None,  # noqa: ARG002 - an error aborts the transaction
        **values: object,
    ) -> Rows:
        return await self.rows(statement, **values)  # the connection is borrowed already

    async def row(self, statement: Statement, **values: object) -> Row | None:
        cursor = await self.execute(statement, statement.arguments(values))
        return await cursor.fetchone()

    async def run(self, statement: Statement, **values: object) -> int:
        return (await self.execute(statement, statement.arguments(values))).rowcount

    async def execute(self, statement: Statement, arguments: list[Any]) -> AsyncRawCursor[Any]:
        cursor = AsyncRawCursor(self.connection)
        self.has_written |= statement.writes
        self._answers = self._presence.answers
        try:
            await cursor.execute(statement.sql, arguments, binary=True)
        except Exception as error:  # noqa: BLE001 - raised again, as the core's
            # Translate here, not only in `borrow`: a use case may handle the error in its block.
            # A server undoes a transaction whose connection is lost before COMMIT.
            in_doubt = statement.writes and not self._in_transaction
            meaning, cause = await _meaning(self.connection, error, in_doubt=in_doubt)
            if getattr(error, "sqlstate", None) and not self.connection.closed:
                self._presence.answered()
            raise meaning from cause
        self._presence.answered()
        return cursor


class Connections:
    """psycopg's pool that also fails fast, and detects dead connections without a round trip.

    While the database is known to be away, one request at a time probes it, until it answers a
    statement; the others fail at once instead of queueing for a second each. A pool whose
    connections are all in use is no sign of that: it is overload, which ends by itself. (The
    pool's own `max_waiting` would do that too, except that it counts cancelled waiters and so never
    recovers.)
    """

    def __init__(
        self, url: str, *, size: int = SIZE, deadline: float = DEADLINE, pooler: bool = False
    ) -> None:
        """`pooler`: the URL leads to one that lends a connection for a transaction.

        Then no setting, no prepared statement and no lock lasts longer than that.
        """
        self.has_sessions = not pooler
        self._deadline = deadline
        self._home = HomeLoop()
        self._presence = Presence()
        self._lent_at = -math.inf
        self._lent = 0
        self._refused = 0
        self._pool = AsyncConnectionPool(
            conninfo(url, pooler=pooler),
            kwargs={
                "autocommit": True,
                "context": _adapters(),
                "prepare_threshold": None if pooler else PREPARE_AFTER,
            },
            min_size=1,
            max_size=size,
            timeout=WAIT,
            reconnect_timeout=RECONNECT,
            open=False,
        )
        self._patience = patience(url)
        self._unhurried = None if pooler else with_options(url, _UNHURRIED)

    async def __aenter__(self) -> Self:
        self._home.check()
        # Without waiting for a connection: this process may start before its database.
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close(timeout=1)

    async def ready(self) -> None:
        """Wait for the first connection: some seconds where the first host of several hangs."""
        with suppress(PoolTimeout):
            await self._pool.wait(self._patience + WAIT)

    def check_loop(self) -> None:
        """Raises RuntimeError in another event loop than that of `__aenter__`."""
        self._home.check()

    @property
    def is_away(self) -> bool:
        """Whether the latest attempt to reach the database failed."""
        return self._presence.is_away

    def measures(self) -> Measures:
        pool = self._pool.get_stats()
        return {
            "pool_connections:in use": self._lent,
            "pool_connections:idle": pool["pool_available"],
            "pool_waiting": pool["requests_waiting"],
            "pool_refused": self._refused,
            "pool_away": self.is_away,
        }

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[BorrowedConnection]:
        """Raises Unavailable, and translates the driver's errors to the core's.

        Takes its time from the budget of the request, and ends with that.
        """
        self.check_loop()
        budget, presence = BUDGET.get(), self._presence
        if budget.left <= 0 or presence.probe:
            raise Unavailable(NO_ANSWER)
        probe = presence.probe = object() if presence.is_away else None
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            connection = await self._take(began, min(WAIT, budget.left))
            self._lent += 1
            self._lent_at = loop.time()
            # At the deadline, shut down the socket: the statement then fails at once. If its task
            # were cancelled, psycopg would first try to cancel the query, for 10 s.
            late = self._lent_at + self._deadline
            until = min(late, began + budget.left)
            link = BorrowedConnection(connection, presence)
            watchdog = loop.call_at(until, self._shut_down, link, until == late)
            try:
                yield link
            # An error of BEGIN or COMMIT; those of statements are translated already.
            except Exception as error:  # noqa: BLE001 - raised again, as the core's
                meaning, cause = await _meaning(connection, error, in_doubt=link.has_written)
                raise meaning from cause
            finally:
                watchdog.cancel()
                self._lent -= 1
                await self._pool.putconn(connection)
        finally:
            if presence.probe is probe:
                presence.probe = None
            budget.left -= loop.time() - began

    @asynccontextmanager
    async def unhurried(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection beside the pool, for statements that may take long. Raises as `borrow`.

        Not through a pooler: that has no place for them.
        """
        if self._unhurried is None:
            raise Unavailable("This needs a connection without a pooler")
        try:
            async with await AsyncConnection.connect(
                self._unhurried, autocommit=True
            ) as connection:
                yield connection
        except Exception as error:
            if (meaning := translated(error)) is error:
                raise
            raise meaning from error

    async def _take(self, began: float, patience: float) -> AsyncConnection[Any]:
        """A connection of the pool. Discards those that the server has closed meanwhile."""
        try:
            # A server that sends to an idle connection closes it: an EOF or a farewell message.
            while has_input(connection := await self._pool.getconn(patience)):
                await connection.close()
                await self._pool.putconn(connection)
        except PoolTimeout as error:
            # The second condition is for the moment between the return of a connection and its
            # next use: it is not lent then, but it was to others during this wait.
            if self._lent or self._lent_at >= began:
                self._refused += 1
                raise Overloaded from error
            # No request holds a connection, and yet none could be opened.
            self._presence.is_away |= patience >= WAIT
            raise translated(error) from error
        except Exception as error:
            self._presence.is_away = True
            raise translated(error) from error
        return connection

    def _shut_down(self, link: BorrowedConnection, is_late: bool) -> None:  # noqa: FBT001
        # If it is not late, the request was, and no answer need be overdue.
        self._presence.is_away |= is_late and link.is_unanswered
        connection = link.connection
        if not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)


class Shared:
    """What the links of one store share: connections, batches, and the lanes of slow work."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.lanes = Lanes()
        self.transactions = Lane(width=LONG_TRANSACTIONS, period=PERIOD)
        self.batchers: dict[BatchedStatement, Batcher] = {}
        self.batches = [0] * (MAX_REQUESTS + 1)  # how many were sent, by their size
        self.retries = asyncio.Semaphore(RETRIED_AT_ONCE)


class Autocommit(Link):
    """Runs each statement on any free connection, as a transaction of its own.

    A statement that may be slow waits for a turn of `user`.
    """

    __slots__ = ("_connections", "_shared", "_user")

    def __init__(self, shared: Shared, user: Hashable) -> None:
        self._shared, self._connections, self._user = shared, shared.connections, user

    async def rows(self, statement: Statement, **values: object) -> Rows:
        async with self._connections.borrow() as link:
            return await link.rows(statement, **values)

    async def row(self, statement: Statement, **values: object) -> Row | None:
        async with self._connections.borrow() as link:
            return await link.row(statement, **values)

    async def run(self, statement: Statement, **values: object) -> int:
        async with self._connections.borrow() as link:
            return await link.run(statement, **values)

    async def batched(self, statement: BatchedStatement, **values: object) -> Rows:
        if self._connections.is_away:
            # Unbatched: one request probes the database and the others fail at once. In a batch,
            # they would all wait for the probe.
            return await self.rows(statement, **values)
        self._connections.check_loop()  # before the request waits in the queue
        batchers = self._shared.batchers
        batcher = batchers.get(statement)
        if batcher is None:
            batcher = Batcher(statement, self._run_batch, self._shared.retries)
            batchers[statement] = batcher
        return await batcher.submit(values, self._user)

    async def in_turn(
        self, statement: Statement, otherwise: Statement | None = None, **values: object
    ) -> Rows:
        async with self._shared.lanes.turn(self._user):
            try:
                return await self.rows(statement, **values)
            except Unavailable as error:
                if otherwise in {None, statement} or not took_too_long(error):
                    raise
                return await self.rows(otherwise, **values)

    async def _run_batch(
        self, statement: BatchedStatement, requests: Sequence[Values]
    ) -> Sequence[Rows]:
        self._shared.batches[len(requests)] += 1
        async with self._connections.borrow() as link:
            cursor = await link.execute(statement, statement.arrays(requests))
            return statement.split(await cursor.fetchall(), len(requests))


async def _meaning(
    connection: AsyncConnection[Any], error: Exception, *, in_doubt: bool
) -> tuple[Exception, BaseException | None]:
    """The core's error and the cause to show. Closes a connection that must not be used again."""
    if breaks_connection(error):
        await connection.close()
    meaning = translated(error, in_doubt=in_doubt)
    if meaning is error:
        return error, error.__cause__
    # Tracebacks show the cause. Hide it for a bug: its message may hold values of the statement.
    return meaning, None if isinstance(meaning, Unexplained) else error


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # One type for all numbers. psycopg's own choice, the smallest that fits, would prepare each
    # statement several times.
    adapters.register_dumper(int, _Int8Dumper)
    adapters.register_dumper(list, ArrayDumper)
    return adapters
