"""A copy of the database that follows it, for reads that may be some seconds old."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from taskcore.adapters.postgres.autocommit import Autocommit
from taskcore.adapters.postgres.connections import Connections, Link
from taskcore.adapters.postgres.conninfo import of_replica
from taskcore.adapters.postgres.server_connections import MOST
from taskcore.adapters.postgres.session_settings import REPLICA_DEADLINE
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Compilation,
    Row,
    Rows,
    Statement,
)
from taskcore.domain.errors import Overloaded, Unavailable

OLDEST = 3.0  # seconds; a copy that is further behind is not asked
EVERY = 1.0  # seconds between two looks at how far behind it is
AWAY = 10.0  # the same, while it does not answer
_SAMPLES = 8

Answer = TypeVar("Answer")
# What tells one database from all others, and a copy has in common with it.
_IDENTITY = """
(SELECT system_identifier FROM pg_control_system()) AS cluster,
(SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database
"""
_WRITTEN = Statement(sa.text(f"SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint, {_IDENTITY}"))
# None on a server that takes writes: it is no copy, or was one.
_REPLAYED = Statement(
    sa.text(
        "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END,"
        f" {_IDENTITY}"
    )
)
# Any role sees whether there is a process that receives the log.
_STANDING = Statement(
    sa.text(
        "SELECT pg_is_wal_replay_paused(), EXISTS (SELECT FROM pg_stat_wal_receiver),"
        " extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8"
    )
)
_MOST = Statement(sa.text(MOST))
_POLL = 0.1  # seconds


class Replica:
    """Whether the copy is there, and has what the database had OLDEST seconds ago.

    Looks at most once in EVERY seconds, when there is something to read: two round trips. The age
    of the copy is that of the latest position of the log which it is known to have replayed.
    """

    def __init__(self, database: Connections, copy: Connections) -> None:
        self._database, self._copy = database, copy
        self._written: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._fresh_at = self._look_at = 0.0

    async def is_fresh(self) -> bool:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._look_at:
            self._look_at = now + EVERY  # the others do not wait for this look
            try:
                await self._look(now)
            except Unavailable:
                self._look_at, self._fresh_at = loop.time() + AWAY, 0.0
        return bool(self._fresh_at) and loop.time() - self._fresh_at <= OLDEST

    def is_away(self) -> None:
        """A read has failed: ask no more before the next look."""
        self._fresh_at = 0.0

    async def _look(self, now: float) -> None:
        async with self._database.borrow() as link:
            ((written, *ours),) = await link.rows(_WRITTEN)
        self._written.append((now, written))
        async with self._copy.borrow() as link:
            ((replayed, *theirs),) = await link.rows(_REPLAYED)
        if theirs != ours:  # a mistaken URL: positions of another log mean nothing here
            return
        while self._written and replayed is not None and self._written[0][1] <= replayed:
            self._fresh_at, _ = self._written.popleft()


class MayLag(Link):
    """Reads from the copy, and from the database where the copy is away or too old.

    What the copy refuses because too many ask is refused: the database should not get it as well.
    """

    __slots__ = ("_copy", "_database", "_replica")

    def __init__(self, replica: Replica, copy: Autocommit, database: Autocommit) -> None:
        self._replica, self._copy, self._database = replica, copy, database

    async def rows(self, statement: Statement, **values: object) -> Rows:
        return await self._asked(lambda link: link.rows(statement, **values))

    async def row(self, statement: Statement, **values: object) -> Row | None:
        return await self._asked(lambda link: link.row(statement, **values))

    async def run(self, statement: Statement, **values: object) -> int:
        return await self._database.run(statement, **values)

    async def batched(self, statement: BatchedStatement, **values: object) -> Rows:
        return await self._asked(lambda link: link.batched(statement, **values))

    async def in_turn(
        self,
        statement: Statement | Compilation,
        otherwise: Statement | None = None,
        **values: object,
    ) -> Rows:
        return await self._asked(lambda link: link.in_turn(statement, otherwise, **values))

    async def _asked(self, ask: Callable[[Link], Awaitable[Answer]]) -> Answer:
        if await self._replica.is_fresh():
            try:
                return await ask(self._copy)
            except Overloaded:
                raise
            except Unavailable:
                self._replica.is_away()
        return await ask(self._database)


def replica_connections(url: str, *, size: int, pooler: bool) -> Connections:
    """Raises Misconfigured."""
    return Connections(of_replica(url), size=size, deadline=REPLICA_DEADLINE, pooler=pooler)


@dataclass(frozen=True, slots=True)
class Following:
    """How a copy follows its database, for `taskcli doctor`."""

    is_ours: bool
    """Whether it is a copy of this database, and not of another."""
    takes_writes: bool
    connections: int
    """How many our role can have at most on its server, beside those of other roles now."""
    machines: int
    """How many have connections there as our role."""
    behind: int
    """Bytes of log that it has not replayed OLDEST seconds after they were written."""
    is_paused: bool = False
    receives: bool = True
    """Whether it is connected to the database, from which the log comes."""
    replayed_ago: float | None = None
    """Seconds since the commit of the last transaction that it knows."""


async def following(database: Connections, copy: Connections) -> Following:
    """Waits for OLDEST seconds at most, until the copy has what was written at the first look.

    A copy that keeps up has the schema of the database, too. Raises Unavailable.
    """
    async with database.borrow() as link:
        ((written, *ours),) = await link.rows(_WRITTEN)
    async with copy.borrow() as link:
        ((most, machines),) = await link.rows(_MOST)
    loop = asyncio.get_running_loop()
    until = loop.time() + OLDEST
    while True:
        async with copy.borrow() as link:
            ((replayed, *theirs),) = await link.rows(_REPLAYED)
            if replayed is None or theirs != ours:
                return Following(theirs == ours, replayed is None, most, machines, behind=0)
            if replayed >= written or loop.time() >= until:
                (standing,) = await link.rows(_STANDING)
                behind = max(0, written - replayed)
                return Following(True, False, most, machines, behind, *standing)
        await asyncio.sleep(_POLL)
