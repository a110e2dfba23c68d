"""How a task that is written to is authorized, written and recorded."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.errors import StaleWrite
from taskcore.domain.policies import Actor, Permission, authorize
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Repositories, TaskRepository, TrashRepository
from taskcore.usecases.task_access import found

if TYPE_CHECKING:
    from taskcore.usecases.tasks import Tasks

Result = TypeVar("Result")

# After the first conflict and so many further tries, a write without an expected version locks.
_OPTIMISTIC_ATTEMPTS = 3

_EVENTS = {
    Permission.EDIT: AuditEventName.TASK_CHANGED,
    Permission.DELETE: AuditEventName.TASK_DELETED,
    Permission.RESTORE: AuditEventName.TASK_RESTORED,
    Permission.PURGE: AuditEventName.TASK_PURGED,
}


@dataclass(frozen=True, slots=True)
class TaskWrite(Generic[Result]):
    """One write to one task: read it, authorize, and write if its version is still the same.

    The version makes two statements as safe as a locked transaction, in half the round trips.
    """

    tasks: "Tasks"
    actor: Actor
    permission: Permission
    task_id: TaskId
    expected_version: int | None
    repository: Callable[[Repositories], TaskRepository | TrashRepository]
    write: Callable[[Repositories, Task], Awaitable[Result]]

    async def run(self) -> Result:
        """Without an expected version, retries on a conflict, and in the end takes the lock.

        Requests of this process that retry for one task queue up here: each would otherwise wait
        for the lock with a connection in hand, and all connections could be taken for one task.
        """
        owner_id, result = await self._written()
        self.tasks.wake(owner_id)
        return result

    async def _written(self) -> tuple[UserId, Result]:
        import asyncio  # noqa: PLC0415 - `import taskcore` would take twice as long with it

        try:
            return await self._write_optimistically()
        except StaleWrite:
            if self.expected_version is not None:
                raise
        queue = self.tasks.contended.setdefault(self.task_id, asyncio.Lock())
        async with queue:
            return await self._write_in_the_end()

    async def _write_in_the_end(self) -> tuple[UserId, Result]:
        for _ in range(_OPTIMISTIC_ATTEMPTS):
            with suppress(StaleWrite):  # another process has written
                return await self._write_optimistically()
        async with self.tasks.store.transaction(self.actor.user_id) as tx:
            repository = self.repository(tx)
            stored = await found(repository, self.actor, self.task_id)
            task = await repository.lock(stored.owner_id, self.task_id)
            authorize(self.actor, self.permission, task)
            return task.owner_id, await self._write_and_record(tx, task)

    async def _write_optimistically(self) -> tuple[UserId, Result]:
        async with self.tasks.store.autocommit(self.actor.user_id) as db:
            task = await found(self.repository(db), self.actor, self.task_id)
            authorize(self.actor, self.permission, task)
            if self.expected_version not in {None, task.version}:
                raise StaleWrite.now_at(task.version)
            if task.owner_id == self.actor.user_id:
                return task.owner_id, await self.write(db, task)
        async with self.tasks.store.transaction(self.actor.user_id) as tx:
            return task.owner_id, await self._write_and_record(tx, task)

    async def _write_and_record(self, tx: Repositories, task: Task) -> Result:
        """Writes to another user's task go into the audit log."""
        result = await self.write(tx, task)
        if result is not task and task.owner_id != self.actor.user_id:
            name, now = _EVENTS[self.permission], self.tasks.clock.now()
            event = NewAuditEvent.by(self.actor, name, now, user_id=task.owner_id, task_id=task.id)
            await tx.audit.add(event)
        return result
