"""Adapters that do the real thing, and let a test see or step in between."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from taskcore.domain.errors import Unavailable
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import (
    AuditRepository,
    Page,
    PasswordHasher,
    Repositories,
    SessionRepository,
    Store,
    TaskRepository,
    UserRepository,
)

Step = Callable[[], Awaitable[Any]]


async def nothing() -> None:
    """Step in without doing anything."""


@dataclass
class WatchedHasher:
    """Counts, notes the longest password, and lets a test step in while it is at work."""

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
    inner: TaskRepository
    before_writing: Step

    async def get(self, task_id: TaskId) -> Task:
        return await self.inner.get(task_id)

    async def lock(self, task_id: TaskId) -> Task:
        return await self.inner.lock(task_id)

    async def page(
        self, *, owner_id: UserId | None, skip: int, limit: int, before: TaskId | None = None
    ) -> Page[Task]:
        return await self.inner.page(owner_id=owner_id, skip=skip, limit=limit, before=before)

    async def add(self, task: NewTask) -> Task:
        await self.before_writing()
        return await self.inner.add(task)

    async def save(self, task: Task) -> Task:
        await self.before_writing()
        return await self.inner.save(task)

    async def remove(self, task: Task) -> None:
        await self.before_writing()
        await self.inner.remove(task)


@dataclass
class InterruptedRepositories:
    users: UserRepository
    tasks: TaskRepository
    sessions: SessionRepository
    audit: AuditRepository


@dataclass
class InterruptedStore:
    """Lets somebody else come first whenever a task is about to be written."""

    inner: Store
    before_writing: Step

    def transaction(self) -> AbstractAsyncContextManager[Repositories]:
        return self.inner.transaction()

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Repositories]:
        async with self.inner.autocommit() as db:
            tasks = InterruptedTasks(db.tasks, self.before_writing)
            yield InterruptedRepositories(db.users, tasks, db.sessions, db.audit)

    async def check(self) -> None:
        await self.inner.check()
