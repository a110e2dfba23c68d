"""Real adapters, wrapped so that a test can count calls and run code in between."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from taskcore.domain.errors import Unavailable
from taskcore.domain.users import UserId
from taskcore.ports import (
    PasswordHasher,
    Prepare,
    Repositories,
    Store,
    TaskRepository,
    TrashRepository,
)

Step = Callable[[], Awaitable[Any]]


async def nothing() -> None:
    """Do nothing."""


@dataclass
class WatchedHasher:
    """Counts calls, notes the longest password, and runs a test's code while it hashes."""

    inner: PasswordHasher
    verified: list[str | None] = field(default_factory=list)
    hashed: int = 0
    longest: int = 0
    while_verifying: Step = nothing
    while_hashing: Step = nothing
    full: bool = False

    async def hash(self, password: str) -> str:
        if self.full:
            raise Unavailable
        self.hashed += 1
        self.longest = max(self.longest, len(password))
        await self.while_hashing()
        return await self.inner.hash(password)

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        self.verified.append(password_hash)
        self.longest = max(self.longest, len(password))
        await self.while_verifying()
        return await self.inner.verify(password, password_hash, as_typed=as_typed)

    def needs_rehash(self, password_hash: str) -> bool:
        return self.inner.needs_rehash(password_hash)


@dataclass
class InterruptedTasks:
    inner: TaskRepository | TrashRepository
    before_writing: Step

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name in {"get", "lock", "page", "owner_of", "labels"}:
            return method

        async def write(*args: Any, **kwargs: Any) -> Any:
            await self.before_writing()
            return await method(*args, **kwargs)

        return write


@dataclass
class InterruptedRepositories:
    inner: Repositories
    tasks: InterruptedTasks
    trash: InterruptedTasks

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class InterruptedStore:
    """Runs `before_writing` whenever a task is about to be written, as a concurrent client."""

    inner: Store
    before_writing: Step

    def transaction(
        self, by: UserId | None = None, prepare: Prepare | None = None
    ) -> AbstractAsyncContextManager[Repositories]:
        return self.inner.transaction(by, prepare)

    @asynccontextmanager
    async def autocommit(
        self, by: UserId | None = None, *, may_lag: bool = False
    ) -> AsyncIterator[Repositories]:
        async with self.inner.autocommit(by, may_lag=may_lag) as db:
            tasks = InterruptedTasks(db.tasks, self.before_writing)
            trash = InterruptedTasks(db.trash, self.before_writing)
            yield cast("Repositories", InterruptedRepositories(db, tasks, trash))

    async def check(self) -> None:
        await self.inner.check()

    async def compact(self) -> int:
        return await self.inner.compact()
