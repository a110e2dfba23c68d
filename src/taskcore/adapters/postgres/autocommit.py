"""Statements on any free connection, each a transaction of its own; many share one."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TypeVar
from weakref import WeakValueDictionary

from taskcore.adapters.postgres.batching import HEAVY, MAX_REQUESTS, RETRIED_AT_ONCE, Batcher
from taskcore.adapters.postgres.connections import Connections, Link
from taskcore.adapters.postgres.errors import took_too_long
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Compilation,
    Row,
    Rows,
    Statement,
    Values,
    compiled,
)
from taskcore.domain.errors import Unavailable
from taskcore.lanes import PERIOD, WIDTH, Lane, Remembered

Key = TypeVar("Key", bound=Hashable)
Kind = TypeVar("Kind", bound=Statement)

# Transactions of many calls that run at a time; the other connections are for the rest.
LONG_TRANSACTIONS = 4
# Heavy writes that run at a time, and statements that wait for the row of an account. With the
# turns that heavy users have of the others (lanes.py), these take half of ten connections.
HEAVY_WRITES, WAITING = 1, 2
# Characters of a text that nearly always has as many words as make its write HEAVY.
LONG_TEXT = 1500
# Bytes of texts in the rows of a request. A user with more shares no batches for a while.
MUCH = 98_304


class Shared:
    """What the links of one store share: connections, batches, and the lanes of slow work."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.slow = Lane(width=WIDTH, period=PERIOD)
        self.heavy_writes = Lane(width=HEAVY_WRITES, period=PERIOD)
        self.long_texts = Lane(width=HEAVY_WRITES, period=PERIOD)  # held during a heavy write too
        self.waiting = Lane(width=WAITING, period=PERIOD)
        self.transactions = Lane(width=LONG_TRANSACTIONS, period=PERIOD)
        self.read_much = Remembered()  # users
        self.batchers: dict[BatchedStatement, Batcher] = {}
        # While they run. Those of one user, whose account may be locked for long, delay no other's.
        self.waiting_batchers = WeakValueDictionary[tuple[BatchedStatement, Hashable], Batcher]()
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
        return await self._in_turn_after_much(statement, values, self._rows)

    async def _rows(self, statement: Statement, values: Values) -> Rows:
        async with self._connections.borrow() as link:
            return await link.rows(statement, **values)

    async def row(self, statement: Statement, **values: object) -> Row | None:
        async with self._connections.borrow() as link:
            return await link.row(statement, **values)

    async def run(self, statement: Statement, **values: object) -> int:
        async with self._connections.borrow() as link:
            return await link.run(statement, **values)

    def turn_for(self, text: str) -> AbstractAsyncContextManager[None]:
        return self._shared.long_texts.turn(self._user) if len(text) > LONG_TEXT else nullcontext()

    async def batched(self, statement: BatchedStatement, **values: object) -> Rows:
        if self._connections.is_away:
            # Unbatched: one request probes the database and the others fail at once. In a batch,
            # they would all wait for the probe.
            return await self.rows(statement, **values)
        self._connections.check_loop()  # before the request waits in the queue
        if statement.weight(values) > HEAVY and not statement.waits:
            async with self._shared.heavy_writes.turn(self._user):
                return await self._rows(statement, values)
        return await self._in_turn_after_much(statement, values, self._submit)

    async def _submit(self, statement: BatchedStatement, values: Values) -> Rows:
        if statement.waits:
            return await self._batcher(
                self._shared.waiting_batchers, (statement, self._user), statement
            ).submit(values)
        return await self._batcher(self._shared.batchers, statement, statement).submit(
            values, self._user
        )

    def _batcher(
        self, batchers: MutableMapping[Key, Batcher], key: Key, statement: BatchedStatement
    ) -> Batcher:
        batcher = batchers.get(key)
        if batcher is None:
            batcher = batchers[key] = Batcher(statement, self._run_batch, self._shared.retries)
        return batcher

    async def _in_turn_after_much(
        self, statement: Kind, values: Values, run: Callable[[Kind, Values], Awaitable[Rows]]
    ) -> Rows:
        """Users who have read many or long texts take turns: to decode them holds up all others."""
        if statement.hold_more is None:
            return await run(statement, values)
        read_much = self._shared.read_much
        if self._user in read_much:
            rows = await self.in_turn(statement, None, **values)
        else:
            rows = await run(statement, values)
        if statement.hold_more(rows, MUCH):
            read_much.add(self._user)
        return rows

    async def in_turn(
        self,
        statement: Statement | Compilation,
        otherwise: Statement | None = None,
        **values: object,
    ) -> Rows:
        async with self._shared.slow.turn(self._user):
            statement = await compiled(statement)
            try:
                return await self._rows(statement, values)
            except Unavailable as error:
                if otherwise in {None, statement} or not took_too_long(error):
                    raise
                return await self._rows(otherwise, values)

    async def _run_batch(
        self, statement: BatchedStatement, requests: Sequence[Values]
    ) -> Sequence[Rows]:
        self._shared.batches[len(requests)] += 1
        turn = self._shared.waiting.turn(self._user) if statement.waits else nullcontext()
        async with turn, self._connections.borrow() as link:
            cursor = await link.execute(statement, statement.arrays(requests))
            return statement.split(await cursor.fetchall(), len(requests))
