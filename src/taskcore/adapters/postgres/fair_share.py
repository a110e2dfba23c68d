"""How many of the database's connections this process takes, so that others get some."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from taskcore.adapters.postgres.server_connections import ROOM
from taskcore.adapters.postgres.statements import Rows, Statement
from taskcore.domain.errors import Unavailable

EVERY = 2.0  # seconds
SPARE = 2  # connections that others find free at any time
_WAIT = 1.0  # seconds


class _Link(Protocol):
    async def rows(self, statement: Statement, /) -> Rows: ...


class FairShare:
    """Gives connections back while the database has none to spare, and takes them when it has.

    It gives back a quarter at a time, and takes one at a time: processes that do so reach equal
    shares without knowing of each other. Otherwise the first busy processes would keep all
    connections, and the others would answer 503 for as long as these are busy. The last connection
    is kept.

    Costs one statement every EVERY seconds, while the process has more than one connection.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        borrow: Callable[[], AbstractAsyncContextManager[_Link]],
    ) -> None:
        self._pool, self._borrow = pool, borrow
        self._most = pool.max_size
        # Closed, and not returned: the pool counts them, and so opens none in their place.
        self._given_back: list[AsyncConnection[Any]] = []
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._keeping = asyncio.create_task(self._keep())

    def end(self) -> None:
        if self._keeping:
            self._keeping.cancel()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            with suppress(Unavailable, PoolTimeout):
                await self._adapt()

    async def _adapt(self) -> None:
        pool = self._pool
        counted = pool.get_stats()["pool_size"]
        held = counted - len(self._given_back)
        if held <= 1 and pool.max_size == self._most and not self._given_back:
            return
        async with self._borrow() as link:
            ((room,),) = await link.rows(ROOM)
        if room < SPARE and held > 1:
            await pool.resize(pool.min_size, counted)
            for _ in range(max(1, held // 4)):
                connection = await pool.getconn(_WAIT)
                await connection.close()
                self._given_back.append(connection)
        elif room <= SPARE:
            return
        elif self._given_back:
            await pool.putconn(self._given_back.pop())  # the pool opens another in its place
        elif pool.max_size < self._most:
            await pool.resize(pool.min_size, pool.max_size + 1)
