"""A pool of connections that answers in time, whatever the database does."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool

from taskcore.adapters.postgres.errors import Unexplained, breaks_connection, translated
from taskcore.adapters.postgres.gathered import Gathering, Row, Rows, Values
from taskcore.adapters.postgres.statements import Gathered, Statement
from taskcore.domain.errors import Misconfigured, Unavailable
from taskcore.domain.rules import MAX_ID

# All in seconds. The server's own timeouts leave the connection usable, so they come first; the
# deadline is for a server that does not even time out: frozen, or behind a cut cable.
WAIT = 1.0
STATEMENT_TIMEOUT = 2.0
LOCK_TIMEOUT = 1.0
DEADLINE = 3.0
CONNECT_TIMEOUT = 2  # libpq rounds 1 up to 2
RECONNECT = 1.0
SIZE = 10
_BEYOND_INT8 = MAX_ID + 1

_SERVER_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "statement_timeout": int(STATEMENT_TIMEOUT * 1000),
        "lock_timeout": int(LOCK_TIMEOUT * 1000),
        "idle_in_transaction_session_timeout": 5000,
        "timezone": "UTC",
    }.items()
)


def conninfo(url: str) -> str:
    """A URL or conninfo with our timeouts; what it says itself wins. Raises Misconfigured."""
    ours: dict[str, Any] = {
        "application_name": "taskcore",
        "connect_timeout": str(CONNECT_TIMEOUT),
        "keepalives_idle": "2",
        "keepalives_interval": "1",
        "keepalives_count": "3",
        "tcp_user_timeout": "3000",
        # After a failover the old primary may still take connections, but no writes.
        "target_session_attrs": "read-write",
        "options": _SERVER_OPTIONS,
    }
    try:
        return make_conninfo(**ours | conninfo_to_dict(url))
    except psycopg.ProgrammingError:  # its text holds the URL, and that the password
        raise Misconfigured(["DATABASE_URL cannot be read as a PostgreSQL URL"]) from None


class _Int8Dumper(Int8BinaryDumper):
    """A number that int8 cannot hold goes as its lowest one, which no id is: nothing is found."""

    def dump(self, obj: int) -> Buffer | None:
        return super().dump(obj if -_BEYOND_INT8 <= obj < _BEYOND_INT8 else -_BEYOND_INT8)


class Link(Protocol):
    """Runs statements, one round trip each."""

    async def rows(self, statement: Statement, **values: object) -> Rows: ...

    async def row(self, statement: Statement, **values: object) -> Row | None: ...

    async def run(self, statement: Statement, **values: object) -> int:
        """How many rows it changed."""
        ...

    async def answer(self, statement: Gathered, **values: object) -> Rows:
        """The rows that answer this one question; in front of each is a number, of no meaning."""
        ...

    async def answer_alone(self, statement: Gathered, **values: object) -> Rows:
        """The same, for a question that takes its time."""
        ...


class Borrowed(Link):
    """One connection, for as long as it is borrowed."""

    __slots__ = ("connection",)

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection

    async def rows(self, statement: Statement, **values: object) -> Rows:
        cursor = await self._execute(statement, statement.arguments(values))
        return await cursor.fetchall()

    async def row(self, statement: Statement, **values: object) -> Row | None:
        cursor = await self._execute(statement, statement.arguments(values))
        return await cursor.fetchone()

    async def run(self, statement: Statement, **values: object) -> int:
        return (await self._execute(statement, statement.arguments(values))).rowcount

    async def answer(self, statement: Gathered, **values: object) -> Rows:
        (rows,) = await self.answers(statement, [values])
        return rows

    answer_alone = answer

    async def answers(self, statement: Gathered, questions: Sequence[Values]) -> list[Rows]:
        """The rows that answer each."""
        cursor = await self._execute(statement, statement.together(questions))
        return statement.apart(await cursor.fetchall(), len(questions))

    async def _execute(self, statement: Statement, arguments: list[Any]) -> AsyncRawCursor[Any]:
        cursor = AsyncRawCursor(self.connection)
        try:
            return await cursor.execute(statement.sql, arguments, binary=True)
        except Exception as error:  # noqa: BLE001 - raised again, as what it means
            # Here, not only where the connection is given back: a use case may have an answer.
            meaning, cause = await _meaning(self.connection, error)
            raise meaning from cause


class Connections:
    """psycopg's pool, with what it lacks: it fails fast, and notices dead connections at no cost.

    While the database is known to be away, one request at a time waits to see whether it is
    back; the others are refused at once instead of queueing for a second each. (The pool's own
    `max_waiting` would do that too, but counts those who gave up and so never recovers.)
    """

    def __init__(self, url: str, *, size: int = SIZE, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._away = False
        self._probing = False
        self._pool = AsyncConnectionPool(
            conninfo(url),
            kwargs={"autocommit": True, "context": _adapters()},
            min_size=1,
            max_size=size,
            timeout=WAIT,
            reconnect_timeout=RECONNECT,
            open=False,
        )

    async def __aenter__(self) -> Self:
        # Not waited for: a server that starts before its database serves as soon as that is there.
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close(timeout=1)

    @property
    def is_away(self) -> bool:
        """Whether the last that was heard of it is that it did not answer."""
        return self._away

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Borrowed]:
        """Raises Unavailable, and every driver's error as the core's."""
        if self._away and self._probing:
            raise Unavailable("The database does not answer; try again")
        probe = self._away
        self._probing |= probe
        try:
            connection = await self._connected()
            # Cutting the socket makes whatever waits on it fail at once. Cancelling would not:
            # psycopg first asks the frozen server for 10 s to cancel the query.
            watchdog = asyncio.get_running_loop().call_later(self._deadline, self._cut, connection)
            try:
                yield Borrowed(connection)
            # Of BEGIN or COMMIT, or one that has its meaning already.
            except Exception as error:  # noqa: BLE001 - raised again, as what it means
                meaning, cause = await _meaning(connection, error)
                raise meaning from cause
            finally:
                # It has answered, whatever it said. Having got a connection proves nothing: a
                # server that is frozen has given it before.
                self._away &= connection.closed
                watchdog.cancel()
                await self._pool.putconn(connection)
        finally:
            self._probing &= not probe

    async def _connected(self) -> AsyncConnection[Any]:
        try:
            return await self._live()
        except Exception as error:
            self._away = True
            raise translated(error) from error

    def _cut(self, connection: AsyncConnection[Any]) -> None:
        self._away = True
        if not connection.closed:
            with socket.socket(fileno=os.dup(connection.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)

    async def _live(self) -> AsyncConnection[Any]:
        while True:
            connection = await self._pool.getconn()
            if not _hung_up(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)


class Autocommit(Link):
    """Whichever connection is free, for each statement anew."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._gatherings: dict[Gathered, Gathering] = {}

    async def rows(self, statement: Statement, **values: object) -> Rows:
        async with self._connections.borrow() as link:
            return await link.rows(statement, **values)

    async def row(self, statement: Statement, **values: object) -> Row | None:
        async with self._connections.borrow() as link:
            return await link.row(statement, **values)

    async def run(self, statement: Statement, **values: object) -> int:
        async with self._connections.borrow() as link:
            return await link.run(statement, **values)

    async def answer(self, statement: Gathered, **values: object) -> Rows:
        if self._connections.is_away:
            # One tries whether it is back. Those who ask at the same moment shall be refused with
            # the others, and not wait together with that one.
            return await self.answer_alone(statement, **values)
        gathering = self._gatherings.get(statement)
        if gathering is None:
            gathering = self._gatherings[statement] = Gathering(statement, self._answers)
        return await gathering.answer(values)

    async def answer_alone(self, statement: Gathered, **values: object) -> Rows:
        async with self._connections.borrow() as link:
            return await link.answer(statement, **values)

    async def _answers(self, statement: Gathered, questions: Sequence[Values]) -> list[Rows]:
        async with self._connections.borrow() as link:
            return await link.answers(statement, questions)


async def _meaning(
    connection: AsyncConnection[Any], error: Exception
) -> tuple[Exception, BaseException | None]:
    """What the error is to the core, and its cause; a connection of no more use is closed."""
    if breaks_connection(error):
        await connection.close()
    meaning = translated(error)
    if meaning is error:
        return error, error.__cause__
    # Tracebacks show causes, and those the values of the statement.
    return meaning, None if isinstance(meaning, Unexplained) else error


def _hung_up(connection: AsyncConnection[Any]) -> bool:
    """Whether an idle connection has something to read: then it is the server's farewell.

    A look at the socket, without a round trip.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # psycopg picks the smallest type that holds a number, which would prepare each statement anew
    # for small, middling and large ones.
    adapters.register_dumper(int, _Int8Dumper)
    adapters.register_dumper(list, ListBinaryDumper)  # whose items are dumped so too
    return adapters
