"""psycopg's pool, and beside it the connection that was used last."""

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from taskcore.adapters.postgres.arrays import ArrayDumper, int8
from taskcore.adapters.postgres.presence import has_input

WAIT = 1.0  # seconds
RECONNECT = 1.0  # seconds
PREPARE_AFTER = 5  # executions
# Seconds after which a connection goes through the pool, which replaces it after an hour.
AT_HAND = 60.0


class _Int8Dumper(Int8BinaryDumper):
    def dump(self, obj: int) -> Any:  # noqa: ANN401 - psycopg's Buffer
        return super().dump(int8(obj))


class Pool:
    """A returned connection stays at hand for the next request, unless requests wait for the pool.

    One after the other is then served without the pool's locks: a tenth of what a statement costs.
    """

    def __init__(self, conninfo: str, *, size: int, prepares: bool) -> None:
        self._pool = AsyncConnectionPool(
            conninfo,
            kwargs={
                "autocommit": True,
                "context": _adapters(),
                "prepare_threshold": PREPARE_AFTER if prepares else None,
            },
            min_size=1,
            max_size=size,
            timeout=WAIT,
            reconnect_timeout=RECONNECT,
            open=False,
        )
        self._at_hand: AsyncConnection[Any] | None = None
        self._until = 0.0  # by the clock of the event loop; then the next one goes to the pool
        self._waiting = 0

    async def open(self) -> None:
        """Does not wait for a connection: this process may start before its database."""
        await self._pool.open()

    async def close(self) -> None:
        if self._at_hand is not None:
            await self._pool.putconn(self._at_hand)
        await self._pool.close(timeout=1)

    async def ready(self, patience: float) -> None:
        """Wait for the first connection."""
        with suppress(PoolTimeout):
            await self._pool.wait(patience)

    async def take(self, patience: float) -> AsyncConnection[Any]:
        """A connection for `give_back`. Discards those that the server has closed meanwhile.

        Raises PoolTimeout after `patience` in seconds.
        """
        # A server that sends to an idle connection closes it: an EOF or a farewell message.
        while has_input(connection := await self._next(patience)):
            await connection.close()
            await self._pool.putconn(connection)
        return connection

    async def _next(self, patience: float) -> AsyncConnection[Any]:
        connection, self._at_hand = self._at_hand, None
        if connection is not None:
            return connection
        self._waiting += 1
        try:
            return await self._pool.getconn(patience)
        except PoolTimeout:
            self._forget_those_who_left()
            raise
        finally:
            self._waiting -= 1

    def _forget_those_who_left(self) -> None:
        """Psycopg keeps each wait that has ended until a connection comes: hours, in an outage."""
        waiting = self._pool._waiting  # noqa: SLF001 - there is no other way
        for each in [each for each in waiting if each.error]:
            waiting.remove(each)

    async def give_back(self, connection: AsyncConnection[Any]) -> None:
        """Keep it at hand or return it to the pool, which replaces one that is broken."""
        now = asyncio.get_running_loop().time()
        if (
            self._at_hand is None
            and not self._waiting
            and now < self._until
            and connection.info.transaction_status is TransactionStatus.IDLE
        ):
            self._at_hand = connection
            return
        if now >= self._until:
            self._until = now + AT_HAND
        await self._pool.putconn(connection)

    @property
    def inner(self) -> AsyncConnectionPool[AsyncConnection[Any]]:
        """Psycopg's own, for what changes its size."""
        return self._pool

    @property
    def idle(self) -> int:
        return self._pool.get_stats()["pool_available"] + (self._at_hand is not None)

    @property
    def waiting(self) -> int:
        """How many requests wait for a connection."""
        return self._pool.get_stats()["requests_waiting"]


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    # One type for all numbers. psycopg's own choice, the smallest that fits, would prepare each
    # statement several times.
    adapters.register_dumper(int, _Int8Dumper)
    adapters.register_dumper(list, ArrayDumper)
    return adapters
