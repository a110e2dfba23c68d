"""PostgresStore: transactions and single statements over the pool.

No transaction is tried again: `errors.py` says what its failure means to the caller. The requests
of a shared statement that fails are run again, each alone (`batching.py`).
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import cast

import sqlalchemy as sa

from taskcore.adapters.postgres.audit import PostgresAudit
from taskcore.adapters.postgres.autocommit import Autocommit, Shared
from taskcore.adapters.postgres.bulk import PostgresBulk
from taskcore.adapters.postgres.compatibility import check_database
from taskcore.adapters.postgres.connections import Connections, Link
from taskcore.adapters.postgres.events import PostgresEvents
from taskcore.adapters.postgres.idempotency import PostgresIdempotency
from taskcore.adapters.postgres.leftovers import PostgresLeftovers
from taskcore.adapters.postgres.replica import MayLag, Replica
from taskcore.adapters.postgres.schema import RIGHTS
from taskcore.adapters.postgres.sessions import PostgresSessions
from taskcore.adapters.postgres.statements import Statement
from taskcore.adapters.postgres.tasks import PostgresTasks
from taskcore.adapters.postgres.tracing import TracedAutocommit
from taskcore.adapters.postgres.trash import PostgresTrash
from taskcore.adapters.postgres.users import PostgresUsers
from taskcore.adapters.postgres.word_index import WordIndex
from taskcore.domain.users import UserId
from taskcore.ports import Measures, Prepare, Tracer

# What autovacuum has found, or what was counted at each write since then: after a crash of
# PostgreSQL that begins at 0. Neither waits for a lock on the tables.
_ESTIMATES = Statement(
    sa.select(
        sa.column("relname", sa.Text),
        sa.func.greatest(
            sa.column("n_live_tup"),
            sa.select(sa.cast(sa.column("reltuples"), sa.BigInteger))
            .select_from(sa.table("pg_class"))
            .where(sa.column("oid") == sa.column("relid"))
            .scalar_subquery(),
        ),
    )
    .select_from(sa.table("pg_stat_user_tables"))
    .where(
        sa.column("relname", sa.Text).in_([sa.literal_column(f"'{name}'") for name in RIGHTS]),
        sa.func.pg_table_is_visible(sa.column("relid")),
    )
)
_NOW = Statement(sa.select(sa.func.clock_timestamp()))


class PostgresRepositories:
    """Made when they are used: a request uses one or two. To make all took 3 % of a get's CPU."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def users(self) -> PostgresUsers:
        return PostgresUsers(self._link)

    @property
    def tasks(self) -> PostgresTasks:
        return PostgresTasks(self._link)

    @property
    def trash(self) -> PostgresTrash:
        return PostgresTrash(self._link)

    @property
    def sessions(self) -> PostgresSessions:
        return PostgresSessions(self._link)

    @property
    def audit(self) -> PostgresAudit:
        return PostgresAudit(self._link)

    @property
    def events(self) -> PostgresEvents:
        return PostgresEvents(self._link)

    @property
    def idempotency(self) -> PostgresIdempotency:
        return PostgresIdempotency(self._link)

    @property
    def leftovers(self) -> PostgresLeftovers:
        return PostgresLeftovers(self._link)

    @property
    def bulk(self) -> PostgresBulk:
        return PostgresBulk(self._link)


class PostgresStore:
    """BEGIN and COMMIT cost a round trip each, so single statements use `autocommit`."""

    def __init__(
        self,
        connections: Connections,
        copy: Connections | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """`copy`: a replica, asked for what may be some seconds old."""
        self._connections = connections
        self._copy = Shared(copy) if copy else None
        self._replica = Replica(connections, copy) if copy else None
        self._link = Autocommit if tracer is None else partial(TracedAutocommit, tracer)
        self._shared = Shared(connections)
        self.word_index = WordIndex(connections)
        self._autocommit = nullcontext(PostgresRepositories(self._link(self._shared, None)))

    @asynccontextmanager
    async def transaction(
        self, by: UserId | None = None, prepare: Prepare | None = None
    ) -> AsyncIterator[PostgresRepositories]:
        turn = nullcontext() if by is None else self._shared.transactions.turn(by)
        async with turn:
            if prepare is not None:  # without a connection, of which others have need meanwhile
                await prepare()
            async with self._connections.borrow() as link, link.transaction():
                yield PostgresRepositories(link)

    def autocommit(
        self, by: UserId | None = None, *, may_lag: bool = False
    ) -> AbstractAsyncContextManager[PostgresRepositories]:
        if may_lag and self._copy and self._replica:
            database, copy = self._link(self._shared, by), self._link(self._copy, by)
            return nullcontext(PostgresRepositories(MayLag(self._replica, copy, database)))
        if by is None:
            return self._autocommit
        return nullcontext(PostgresRepositories(self._link(self._shared, by)))

    async def compact(self) -> int:
        return await self.word_index.compact()

    async def now(self) -> datetime:
        """By the database server's clock."""
        async with self._connections.borrow() as link:
            ((now,),) = await link.rows(_NOW)
        return cast(datetime, now)

    def measures(self) -> Measures:
        sizes = enumerate(self._shared.batches)
        batches = {f"batch_requests:{size}": count for size, count in sizes if count}
        return {**self._connections.measures(), **batches}

    async def estimates(self) -> Measures:
        async with self._connections.borrow() as link:
            return {f"rows:{table}": rows for table, rows in await link.rows(_ESTIMATES)}

    async def check(self) -> None:
        async with self._connections.borrow() as link:
            await check_database(link, has_sessions=self._connections.has_sessions)
