"""Keeping tasks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, Unpack

from taskcore.domain.audit import EventName, NewEvent
from taskcore.domain.errors import Forbidden, InvalidToken, NotFound, StaleWrite
from taskcore.domain.policies import Actor, Permission, authorize, own_id, visible_tasks
from taskcore.domain.rules import check_slice
from taskcore.domain.tasks import Task, TaskChanges, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Clock, Page, Repositories, Store
from taskcore.ports import Tasks as TaskRepository
from taskcore.usecases.gate import Gate

Result = TypeVar("Result")

# An edit that names no version is repeated when another one came between its read and its write.
# So many in a row means that the task is being fought over: then it takes its turn at a lock.
_ATTEMPTS = 3
_ON_RECORD = {
    Permission.EDIT: EventName.TASK_CHANGED,
    Permission.DELETE: EventName.TASK_DELETED,
}


@dataclass(frozen=True, slots=True)
class Tasks:
    store: Store
    gate: Gate
    clock: Clock

    async def create(self, actor: Actor, *, title: str, description: str = "") -> Task:
        """Raises Invalid."""
        draft = Task.new(own_id(actor), self.clock.now(), title=title, description=description)
        async with self.store.autocommit() as db:
            try:
                return await db.tasks.add(draft)
            except NotFound:  # the account went away after the actor was read
                raise InvalidToken from None

    async def get(self, actor: Actor, task_id: TaskId) -> Task:
        """Raises NotFound, also for a task that the actor may not see."""
        async with self.store.autocommit() as db:
            task = await db.tasks.get(task_id)
        authorize(actor, Permission.VIEW, task)
        return task

    async def page(
        self,
        actor: Actor,
        *,
        owner_id: UserId | None = None,
        skip: int = 0,
        limit: int = 100,
        before: TaskId | None = None,
    ) -> Page[Task]:
        """Newest first. Raises Invalid, and Forbidden for another owner's tasks.

        To read on, name the last task that you have seen as `before`: what was made or deleted
        meanwhile shifts nothing. `skip` does shift, and reads what it leaves out.
        """
        check_slice(skip, limit)
        try:
            scope = visible_tasks(actor, owner_id)
        except Forbidden:
            await self.gate.deny(actor, "list another's tasks")
            raise
        async with self.store.autocommit() as db:
            return await db.tasks.page(owner_id=scope, skip=skip, limit=limit, before=before)

    async def edit(
        self,
        actor: Actor,
        task_id: TaskId,
        *,
        expected_version: int | None = None,
        **changes: Unpack[TaskChanges],
    ) -> Task:
        """What `changes` does not name stays as it is.

        Raises NotFound, Forbidden, Invalid, and StaleWrite when the task is not of the expected
        version.
        """

        async def save(tasks: TaskRepository, task: Task) -> Task:
            edited = task.edited(self.clock.now(), **changes)
            return task if edited is task else await tasks.save(edited)

        return await self._on_current(actor, Permission.EDIT, task_id, expected_version, save)

    async def delete(
        self, actor: Actor, task_id: TaskId, *, expected_version: int | None = None
    ) -> None:
        """Raises NotFound, Forbidden, and StaleWrite as `edit` does."""

        async def remove(tasks: TaskRepository, task: Task) -> None:
            await tasks.remove(task)

        await self._on_current(actor, Permission.DELETE, task_id, expected_version, remove)

    async def _on_current(
        self,
        actor: Actor,
        permission: Permission,
        task_id: TaskId,
        expected_version: int | None,
        write: Callable[[TaskRepository, Task], Awaitable[Result]],
    ) -> Result:
        """Read, decide, then write only if what was read still stands.

        The version makes two statements as safe as a locked transaction, in half the round trips.
        """
        for _ in range(_ATTEMPTS):
            try:
                return await self._attempt(actor, permission, task_id, expected_version, write)
            except StaleWrite:
                if expected_version is not None:
                    raise
        async with self.store.transaction() as tx:
            task = await tx.tasks.lock(task_id)
            authorize(actor, permission, task)
            return await self._written(tx, actor, permission, task, write)

    async def _attempt(
        self,
        actor: Actor,
        permission: Permission,
        task_id: TaskId,
        expected_version: int | None,
        write: Callable[[TaskRepository, Task], Awaitable[Result]],
    ) -> Result:
        async with self.store.autocommit() as db:
            task = await db.tasks.get(task_id)
            authorize(actor, permission, task)
            if expected_version not in {None, task.version}:
                raise StaleWrite
            if task.owner_id == actor.user_id:
                return await write(db.tasks, task)
        async with self.store.transaction() as tx:
            return await self._written(tx, actor, permission, task, write)

    async def _written(
        self,
        tx: Repositories,
        actor: Actor,
        permission: Permission,
        task: Task,
        write: Callable[[TaskRepository, Task], Awaitable[Result]],
    ) -> Result:
        """What is done to others is put on record."""
        result = await write(tx.tasks, task)
        if result is not task and task.owner_id != actor.user_id:
            name, owner = _ON_RECORD[permission], task.owner_id
            now = self.clock.now()
            await tx.audit.add(NewEvent.by(actor, name, now, user_id=owner, task_id=task.id))
        return result
