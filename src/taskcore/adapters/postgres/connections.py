"""A pool of connections that answers in time, whatever the database does."""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool

from taskcore.adapters.postgres.errors import Unexplained, breaks_connection, translated
from taskcore.adapters.postgres.statements import Statement
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


class Link:
    """One borrowed connection: runs statements, one round trip each."""

    __slots__ = ("connection",)

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection

    async def rows(self, statement: Statement, **values: object) -> list[tuple[Any, ...]]:
        cursor = await self._execute(statement, values)
        return await cursor.fetchall()

    async def row(self, statement: Statement, **values: object) -> tuple[Any, ...] | None:
        cursor = await self._execute(statement, values)
        return await cursor.fetchone()

    async def run(self, statement: Statement, **values: object) -> int:
        """How many rows it changed."""
        return (await self._execute(statement, values)).rowcount

    async def _execute(
        self, statement: Statement, values: dict[str, object]
    ) -> AsyncRawCursor[Any]:
        cursor = AsyncRawCursor(self.connection)
        try:
            return await cursor.execute(statement.sql, statement.arguments(values), binary=True)
        except Exception as error:  # noqa: BLE001 - raised again, as what it means
            # Here, not only where the connection is given back: a use case may have an answer.
            meaning, cause = await _meaning(self.connection, error)
            raise meaning from cause


class Connections:
    """psycopg's pool, with what it lacks: it fails fast, and notices dead connections for nothing.

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

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Link]:
        """Raises Unavailable, and every driver's error as the core's."""
        connection = await self._get()
        # Cutting the socket makes whatever waits on it fail at once. Cancelling would not: psycopg
        # first asks the frozen server for 10 s to cancel the query.
        watchdog = asyncio.get_running_loop().call_later(self._deadline, _cut, connection)
        try:
            yield Link(connection)
        # Of BEGIN or COMMIT, or one that has its meaning already.
        except Exception as error:  # noqa: BLE001 - raised again, as what it means
            meaning, cause = await _meaning(connection, error)
            raise meaning from cause
        finally:
            watchdog.cancel()
            await self._pool.putconn(connection)

    async def _get(self) -> AsyncConnection[Any]:
        probe = self._away
        if probe and self._probing:
            raise Unavailable("The database does not answer; try again")
        self._probing |= probe
        try:
            connection = await self._live()
        except Exception as error:
            self._away = True
            raise translated(error) from error
        finally:
            self._probing &= not probe
        self._away = False
        return connection

    async def _live(self) -> AsyncConnection[Any]:
        while True:
            connection = await self._pool.getconn()
            if not _hung_up(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)


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


def _cut(connection: AsyncConnection[Any]) -> None:
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # psycopg picks the smallest type that holds a number, which would prepare each statement anew
    # for small, middling and large ones.
    adapters.register_dumper(int, _Int8Dumper)
    return adapters
