"""Creating, reading, editing and deleting tasks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, Unpack

from taskcore.domain.audit import EventName, NewEvent
from taskcore.domain.errors import Forbidden, InvalidToken, NotFound, StaleWrite
from taskcore.domain.policies import Actor, Permission, authorize, own_id, visible_tasks
from taskcore.domain.rules import MAX_LIMIT, check_slice
from taskcore.domain.tasks import NewTaskFields, Task, TaskChanges, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Clock, Page, Repositories, Store, TaskRepository
from taskcore.usecases.gate import Gate

Result = TypeVar("Result")

# After so many conflicts in a row, a write without an expected version takes the lock.
_OPTIMISTIC_ATTEMPTS = 3
_EVENTS = {Permission.EDIT: EventName.TASK_CHANGED, Permission.DELETE: EventName.TASK_DELETED}


@dataclass(frozen=True, slots=True)
class Tasks:
    store: Store
    gate: Gate
    clock: Clock

    async def create(self, actor: Actor, **content: Unpack[NewTaskFields]) -> Task:
        """Raises Invalid."""
        new = Task.new(own_id(actor), self.clock.now(), **content)
        async with self.store.autocommit() as db:
            try:
                return await db.tasks.add(new)
            except NotFound:  # the account was deleted after the actor was read
                raise InvalidToken from None

    async def get(self, actor: Actor, task_id: TaskId) -> Task:
        """Raises NotFound, also for a task that the actor may not see."""
        async with self.store.autocommit() as db:
            task = await db.tasks.get(task_id, living=actor.user_id)
        authorize(actor, Permission.VIEW, task)
        return task

    async def page(
        self,
        actor: Actor,
        *,
        owner_id: UserId | None = None,
        skip: int = 0,
        limit: int = MAX_LIMIT,
        before: TaskId | None = None,
    ) -> Page[Task]:
        """Newest first. Raises Invalid, and Forbidden for another owner's tasks.

        To read on, pass the last task's id as `before`: tasks added or deleted in between then
        shift nothing. With `skip` they do, and the store reads what it skips.
        """
        check_slice(skip, limit)
        try:
            scope = visible_tasks(actor, owner_id)
        except Forbidden:
            await self.gate.deny(actor, "list another's tasks")
            raise
        async with self.store.autocommit(actor.user_id) as db:
            return await db.tasks.page(
                owner_id=scope, skip=skip, limit=limit, before=before, living=actor.user_id
            )

    async def edit(
        self,
        actor: Actor,
        task_id: TaskId,
        *,
        expected_version: int | None = None,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        """Fields that `changes` leaves out stay as they are.

        Raises NotFound, Forbidden, Invalid, and StaleWrite when the task is not of the expected
        version.
        """

        async def save(tasks: TaskRepository, task: Task) -> Task:
            edited = task.edited(self.clock.now(), **changes)
            return task if edited is task else await tasks.save(edited)

        return await _TaskWrite(
            self.store, self.clock, actor, Permission.EDIT, task_id, expected_version, save
        ).run()

    async def delete(
        self, actor: Actor, task_id: TaskId, *, expected_version: int | None = None
    ) -> None:
        """Raises NotFound, Forbidden, and StaleWrite as `edit` does."""

        async def remove(tasks: TaskRepository, task: Task) -> None:
            await tasks.remove(task)

        await _TaskWrite(
            self.store, self.clock, actor, Permission.DELETE, task_id, expected_version, remove
        ).run()


@dataclass(frozen=True, slots=True)
class _TaskWrite(Generic[Result]):
    """One write to one task: read it, authorize, and write if its version is still the same.

    The version makes two statements as safe as a locked transaction, in half the round trips.
    """

    store: Store
    clock: Clock
    actor: Actor
    permission: Permission
    task_id: TaskId
    expected_version: int | None
    write: Callable[[TaskRepository, Task], Awaitable[Result]]

    async def run(self) -> Result:
        """Without an expected version, retries on a conflict, and in the end takes the lock."""
        for _ in range(_OPTIMISTIC_ATTEMPTS):
            try:
                return await self._write_optimistically()
            except StaleWrite:
                if self.expected_version is not None:
                    raise
        async with self.store.transaction() as tx:
            task = await tx.tasks.lock(self.task_id)
            authorize(self.actor, self.permission, task)
            return await self._write_and_record(tx, task)

    async def _write_optimistically(self) -> Result:
        async with self.store.autocommit() as db:
            task = await db.tasks.get(self.task_id, living=self.actor.user_id)
            authorize(self.actor, self.permission, task)
            if self.expected_version not in {None, task.version}:
                raise StaleWrite
            if task.owner_id == self.actor.user_id:
                return await self.write(db.tasks, task)
        async with self.store.transaction() as tx:
            return await self._write_and_record(tx, task)

    async def _write_and_record(self, tx: Repositories, task: Task) -> Result:
        """Writes to another user's task go into the audit log."""
        result = await self.write(tx.tasks, task)
        if result is not task and task.owner_id != self.actor.user_id:
            name, now = _EVENTS[self.permission], self.clock.now()
            event = NewEvent.by(self.actor, name, now, user_id=task.owner_id, task_id=task.id)
            await tx.audit.add(event)
        return result
