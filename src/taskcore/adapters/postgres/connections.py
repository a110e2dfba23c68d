"""A pool of connections with bounded waiting times, and the ways to run statements on it."""

import asyncio
import math
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol, Self

from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolTimeout

from taskcore.adapters.postgres.conninfo import conninfo, patience, with_options
from taskcore.adapters.postgres.errors import (
    NO_ANSWER,
    Unexplained,
    breaks_connection,
    translated,
)
from taskcore.adapters.postgres.fair_share import FairShare
from taskcore.adapters.postgres.pool import WAIT, Pool
from taskcore.adapters.postgres.presence import Presence
from taskcore.adapters.postgres.session_settings import DEADLINE, UNHURRIED
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Compilation,
    Row,
    Rows,
    Statement,
    compiled,
)
from taskcore.domain.errors import Overloaded, Unavailable
from taskcore.lanes import MAX_WAITING, Lane
from taskcore.ports import BUDGET, HomeLoop, Measures

SIZE = 10  # as DATABASE_POOL_SIZE in `taskcore.settings`, which the servers pass


class Link(Protocol):
    """What repositories run statements on, one round trip each."""

    async def rows(self, statement: Statement, **values: object) -> Rows: ...

    async def row(self, statement: Statement, **values: object) -> Row | None: ...

    async def run(self, statement: Statement, **values: object) -> int:
        """The number of rows it changed."""

    async def batched(self, statement: BatchedStatement, **values: object) -> Rows:
        """Like `rows`, sharing a statement with concurrent requests. Skip the first column."""

    async def in_turn(
        self,
        statement: Statement | Compilation,
        otherwise: Statement | None = None,
        **values: object,
    ) -> Rows:
        """Like `rows`, for a statement that may be slow: users take turns. Raises Overloaded.

        A compilation is a part of the turn: those of one user delay no other's.
        Outside of a transaction, `otherwise` is run instead if the statement takes too long.
        """

    def turn_for(self, text: str) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        """For a block that finds the words of a text and writes them. Raises Overloaded.

        If that takes long, users take turns, except in a transaction, which has its turn.
        """
        return nullcontext()


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
        statement: Statement | Compilation,
        otherwise: Statement | None = None,  # noqa: ARG002 - an error aborts the transaction
        **values: object,
    ) -> Rows:
        # The connection is borrowed already.
        return await self.rows(await compiled(statement), **values)

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
    """A pool that also fails fast, and detects dead connections without a round trip.

    While the database is known to be away, one request at a time probes it, until it answers a
    statement; the others fail at once instead of queueing for a second each. A pool whose
    connections are all in use is no sign of that: it is overload, which ends by itself.

    Clients take turns: a connection that becomes free goes to the client that has waited for one
    the longest, however many requests the others have.
    """

    link: Callable[[AsyncConnection[Any], Presence], BorrowedConnection] = BorrowedConnection

    def __init__(
        self, url: str, *, size: int = SIZE, deadline: float = DEADLINE, pooler: bool = False
    ) -> None:
        """`pooler`: the URL leads to one that lends a connection for a transaction.

        Then no setting, no prepared statement and no lock lasts longer than that.
        """
        self.has_sessions = not pooler
        self.deadline = deadline
        self.presence = Presence()
        self._home = HomeLoop()
        self.lane = Lane(width=size, of_one=size, wait=WAIT, max_waiting_of_one=MAX_WAITING)
        self._lent_at = -math.inf
        self._lent = 0
        self._refused = 0
        self._pool = Pool(conninfo(url, pooler=pooler), size=size, prepares=not pooler)
        self._share = FairShare(self._pool.inner, self.borrow)
        self._patience = patience(url)
        self._unhurried = None if pooler else with_options(url, UNHURRIED)

    async def __aenter__(self) -> Self:
        self._home.check()
        await self._pool.open()
        if self.has_sessions:  # else the pooler shares them out
            self._share.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._share.end()
        await self._pool.close()

    async def ready(self) -> None:
        """Wait for the first connection: some seconds where the first host of several hangs."""
        await self._pool.ready(self._patience + WAIT)

    def check_loop(self) -> None:
        """Raises RuntimeError in another event loop than that of `__aenter__`."""
        self._home.check()

    @property
    def is_away(self) -> bool:
        """Whether the latest attempt to reach the database failed."""
        return self.presence.is_away

    def measures(self) -> Measures:
        return {
            "pool_connections:in use": self._lent,
            "pool_connections:idle": self._pool.idle,
            "pool_waiting": self.lane.waiting + self._pool.waiting,
            "pool_refused": self.lane.refused + self._refused,
            "pool_away": self.is_away,
        }

    def borrow(self) -> "Loan":
        """Lend a connection for a block."""
        return Loan(self)

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

    async def take(self, patience: float) -> AsyncConnection[Any]:
        """A connection for `give_back`. Raises Unavailable, within `patience` in seconds."""
        began = asyncio.get_running_loop().time()
        try:
            connection = await self._pool.take(patience)
        except PoolTimeout as error:
            # The second condition is for the moment between the return of a connection and its
            # next use: it is not lent then, but it was to others during this wait.
            if self._lent or self._lent_at >= began:
                self._refused += 1
                raise Overloaded from error
            # No request holds a connection, and yet none could be opened.
            self.presence.is_away |= patience >= WAIT
            raise translated(error) from error
        except Exception as error:
            self.presence.is_away = True
            raise translated(error) from error
        self._lent += 1
        self._lent_at = asyncio.get_running_loop().time()
        return connection

    async def give_back(self, connection: AsyncConnection[Any]) -> None:
        self._lent -= 1
        await self._pool.give_back(connection)


class Loan:
    """A block with a connection. Takes its time from the budget of the request, and ends with that.

    Raises Unavailable, and translates the driver's errors to the core's. A class, because a block
    of `asynccontextmanager` takes longer to enter and leave.
    """

    __slots__ = ("_began", "_budget", "_connections", "_link", "_probe", "_watchdog")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __aenter__(self) -> BorrowedConnection:
        connections = self._connections
        connections.check_loop()
        self._budget, presence = BUDGET.get(), connections.presence
        if self._budget.left <= 0 or presence.probe:
            raise Unavailable(NO_ANSWER)
        self._probe = presence.probe = object() if presence.is_away else None
        try:
            await connections.lane.begin(self._budget.client)
        except BaseException:
            self._end_probe()
            raise
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        try:
            connection = await connections.take(min(WAIT, self._budget.left))
        except BaseException:
            self._end()
            raise
        # At the deadline, shut down the socket: the statement then fails at once. If its task
        # were cancelled, psycopg would first try to cancel the query, for 10 s.
        late = loop.time() + connections.deadline
        until = min(late, self._began + self._budget.left)
        self._link = connections.link(connection, presence)
        self._watchdog = loop.call_at(until, self._shut_down, until == late)
        return self._link

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        link = self._link
        try:
            # An error of BEGIN or COMMIT; those of statements are translated already.
            if isinstance(error, Exception):
                meaning, cause = await _meaning(link.connection, error, in_doubt=link.has_written)
                if meaning is not error:
                    raise meaning from cause
        finally:
            self._watchdog.cancel()
            try:
                await self._connections.give_back(link.connection)
            finally:
                self._end()

    def _end(self) -> None:
        self._connections.lane.end(self._budget.client)
        self._budget.left -= asyncio.get_running_loop().time() - self._began
        self._end_probe()

    def _end_probe(self) -> None:
        presence = self._connections.presence
        if presence.probe is self._probe:
            presence.probe = None

    def _shut_down(self, is_late: bool) -> None:  # noqa: FBT001
        # If the statement is not late, only the budget of the request has run out, which says
        # nothing about the database.
        self._connections.presence.is_away |= is_late and self._link.is_unanswered
        connection = self._link.connection
        if not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)


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
