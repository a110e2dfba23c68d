"""The store in memory: every repository, and transactions over them.

A transaction works on a copy of the tables, which is a snapshot because rows are frozen.
Transactions run one at a time, for all users together.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from taskcore.adapters.memory.audit import MemoryAudit
from taskcore.adapters.memory.bulk import MemoryBulk
from taskcore.adapters.memory.events import MemoryEvents
from taskcore.adapters.memory.idempotency import MemoryIdempotency
from taskcore.adapters.memory.leftovers import MemoryLeftovers
from taskcore.adapters.memory.sessions import MemorySessions
from taskcore.adapters.memory.tables import Access, Tables
from taskcore.adapters.memory.tasks import MemoryTasks
from taskcore.adapters.memory.trash import MemoryTrash
from taskcore.adapters.memory.users import MemoryUsers
from taskcore.domain.users import UserId
from taskcore.ports import HomeLoop, Prepare


class MemoryRepositories:
    def __init__(self, access: Access) -> None:
        self.users = MemoryUsers(access)
        self.tasks = MemoryTasks(access)
        self.trash = MemoryTrash(access)
        self.sessions = MemorySessions(access)
        self.audit = MemoryAudit(access)
        self.events = MemoryEvents(access)
        self.idempotency = MemoryIdempotency(access)
        self.leftovers = MemoryLeftovers(access)
        self.bulk = MemoryBulk(access)


class MemoryStore:
    def __init__(self) -> None:
        self._tables = Tables()
        self._lock = asyncio.Lock()
        self._home = HomeLoop()

    @asynccontextmanager
    async def transaction(
        self,
        by: UserId | None = None,  # noqa: ARG002 - transactions run one at a time, for all users
        prepare: Prepare | None = None,
    ) -> AsyncIterator[MemoryRepositories]:
        self._enter()
        if prepare is not None:
            await prepare()
        async with self._lock:
            tables = self._tables.copy()
            yield MemoryRepositories(lambda: nullcontext(tables))
            self._tables = tables

    @asynccontextmanager
    async def autocommit(
        self,
        by: UserId | None = None,  # noqa: ARG002 - no statement is slow, so users need not take turns
        *,
        may_lag: bool = False,  # noqa: ARG002 - there is no replica
    ) -> AsyncIterator[MemoryRepositories]:
        @asynccontextmanager
        async def access() -> AsyncIterator[Tables]:
            self._enter()
            async with self._lock:
                yield self._tables

        yield MemoryRepositories(access)

    def _enter(self) -> None:
        """Raises RuntimeError in a second event loop, unless the first one is closed.

        Then the store belongs to the second.
        """
        if self._home.is_over():
            self._lock, self._home = asyncio.Lock(), HomeLoop()
        self._home.check()

    async def check(self) -> None:
        """Memory is always available."""

    async def compact(self) -> int:
        """Memory keeps nothing that was removed."""
        return 0
