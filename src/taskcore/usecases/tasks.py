"""Creating, reading, editing and deleting tasks, and the trash.

What an edit does to a task: `domain/tasks.py`; who may: `domain/policies.py`; what is not found:
`task_access.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack
from weakref import WeakValueDictionary

from taskcore.domain.bulk import Operation
from taskcore.domain.errors import (
    Forbidden,
    HistoryGone,
    Invalid,
    InvalidToken,
    NotFound,
    Problem,
    StaleWrite,
)
from taskcore.domain.events import TaskEvent
from taskcore.domain.pages import DEFAULT_LIMIT, MAX_LIMIT_OF_LABELS, check_slice
from taskcore.domain.policies import (
    Actor,
    Permission,
    authorize,
    own_id,
    visible_tasks,
)
from taskcore.domain.task_orders import TaskPosition
from taskcore.domain.task_queries import PLAIN, TaskQuery
from taskcore.domain.tasks import (
    MAX_TASKS,
    NewTaskFields,
    Task,
    TaskChanges,
    TaskId,
    check_changes,
)
from taskcore.domain.users import UserId
from taskcore.ports import (
    Clock,
    LabelCount,
    Page,
    Repositories,
    Store,
    TaskRepository,
    TrashPosition,
    TrashRepository,
)
from taskcore.usecases.bulk import BulkWrite
from taskcore.usecases.change_followers import Wake
from taskcore.usecases.rate_limits import Gate
from taskcore.usecases.task_access import found
from taskcore.usecases.task_writes import TaskWrite

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks, their trash and their past. Methods take the actor first, then the id."""

    store: Store
    gate: Gate
    clock: Clock
    wake: Wake
    at_most: int = MAX_TASKS
    """How many tasks an account may hold, those in its trash included."""
    contended: WeakValueDictionary[TaskId, "asyncio.Lock"] = field(
        default_factory=WeakValueDictionary, repr=False, compare=False
    )
    """Of the tasks to which several requests write at this moment; forgotten with the last one."""

    async def create(self, actor: Actor, **content: Unpack[NewTaskFields]) -> Task:
        """Raises Invalid."""
        new = Task.new(own_id(actor), self.clock.now(), actor.time_zone, **content)
        async with self.store.autocommit(actor.user_id) as db:
            try:
                task = await db.tasks.add(new, at_most=self.at_most, by=actor.user_id)
            except NotFound:  # the account was deleted after the actor was read
                raise InvalidToken from None
        self.wake(new.owner_id)
        return task

    async def get(self, actor: Actor, task_id: TaskId) -> Task:
        """Raises NotFound, also for a task that the actor may not see or that is in the trash."""
        async with self.store.autocommit(actor.user_id) as db:
            task = await found(db.tasks, actor, task_id)
        authorize(actor, Permission.VIEW, task)
        return task

    async def page(
        self,
        actor: Actor,
        query: TaskQuery = PLAIN,
        *,
        owner_id: UserId | None = None,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        after: TaskPosition | None = None,
    ) -> Page[Task]:
        """A page of what the query asks for. Raises Invalid, and Forbidden for another's tasks.

        To read on, pass the position of the last task as `after`: tasks added or deleted in
        between then shift nothing. With `skip` they do, and the store reads what it skips.
        """
        check_slice(skip, limit)
        scope = await self._scope(actor, owner_id, "list another's tasks")
        of = query.filter(self.clock.now(), actor.time_zone)
        if scope is None and not query.is_plain:
            detail = "name the owner of the tasks to filter, sort or search"
            raise Invalid(Problem("owner_id", detail, "owner_required"))
        of_others = scope is None or scope != actor.user_id
        async with self.store.autocommit(actor.user_id, may_lag=of_others) as db:
            return await db.tasks.page(scope, of, query.order, skip=skip, limit=limit, after=after)

    async def labels(
        self,
        actor: Actor,
        *,
        owner_id: UserId | None = None,
        limit: int = MAX_LIMIT_OF_LABELS,
        after: str | None = None,
    ) -> Page[LabelCount]:
        """The labels of one's own tasks, by name, without those in the trash.

        To read on, pass the last label's key as `after`. Raises Invalid, and Forbidden for
        another's.
        """
        check_slice(0, limit, MAX_LIMIT_OF_LABELS)
        owner = await self._own_scope(actor, owner_id, "list another's labels")
        async with self.store.autocommit(actor.user_id) as db:
            return await db.tasks.labels(owner, limit=limit, after=after)

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
        version. Changes that break a rule raise Invalid even if the version is stale.
        """

        async def save(db: Repositories, task: Task) -> Task:
            return await self._saved(db, actor, task, changes)

        write = TaskWrite(self, actor, Permission.EDIT, task_id, expected_version, _tasks, save)
        try:
            return await write.run()
        except StaleWrite:
            check_changes(changes)
            raise

    async def history(
        self,
        actor: Actor,
        task_id: TaskId,
        *,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        after: int | None = None,
    ) -> Page[TaskEvent]:
        """What happened to a task, the latest first. To read on, pass the last position as `after`.

        Also to one in the trash, so that its owner sees what happened before they restore it.
        Raises Invalid, and NotFound for a task that the actor may not see.
        """
        check_slice(skip, limit)
        try:
            task = await self.get(actor, task_id)
        except NotFound:
            task = await self.get_trashed(actor, task_id)
        async with self.store.autocommit(actor.user_id) as db:
            return await db.events.history(
                task.owner_id, task_id, skip=skip, limit=limit, after=after
            )

    async def revert(
        self,
        actor: Actor,
        task_id: TaskId,
        version: int,
        *,
        expected_version: int | None = None,
    ) -> Task:
        """Give the task the content of an earlier version, as a new version.

        Raises HistoryGone where that is not kept or there was none, and otherwise as `edit`.
        """

        async def save(db: Repositories, task: Task) -> Task:
            if not 1 <= version <= task.version:
                raise HistoryGone(f"The task has the versions 1 to {task.version}")
            content = await db.events.version(task.owner_id, task.id, version, of=task.version)
            return await self._saved(db, actor, task, content)

        return await TaskWrite(
            self, actor, Permission.EDIT, task_id, expected_version, _tasks, save
        ).run()

    async def delete(
        self, actor: Actor, task_id: TaskId, *, expected_version: int | None = None
    ) -> None:
        """Moves the task to the trash. Raises NotFound, Forbidden, and StaleWrite as `edit`."""

        async def move(db: Repositories, task: Task) -> None:
            await db.tasks.trash(task.trashed(self.clock.now()), was=task, by=actor.user_id)

        await TaskWrite(
            self, actor, Permission.DELETE, task_id, expected_version, _tasks, move
        ).run()

    async def trash(
        self,
        actor: Actor,
        *,
        owner_id: UserId | None = None,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        after: TrashPosition | None = None,
    ) -> Page[Task]:
        """The tasks in one's own trash, the one deleted last first.

        Raises Invalid, and Forbidden for another's.
        """
        check_slice(skip, limit)
        owner = await self._own_scope(actor, owner_id, "list another's trash")
        async with self.store.autocommit(actor.user_id) as db:
            return await db.trash.page(owner, skip=skip, limit=limit, after=after)

    async def get_trashed(self, actor: Actor, task_id: TaskId) -> Task:
        """Raises NotFound, also for a task that the actor may not see or that is not deleted."""
        async with self.store.autocommit(actor.user_id) as db:
            task = await found(db.trash, actor, task_id)
        authorize(actor, Permission.VIEW, task)
        return task

    async def restore(self, actor: Actor, task_id: TaskId) -> Task:
        """Takes a task out of the trash. Raises NotFound and Forbidden."""

        async def move(db: Repositories, task: Task) -> Task:
            restored = task.restored(self.clock.now())
            await db.trash.restore(restored, was=task, by=actor.user_id)
            return restored

        return await TaskWrite(self, actor, Permission.RESTORE, task_id, None, _trash, move).run()

    async def purge(self, actor: Actor, task_id: TaskId) -> None:
        """Removes a task in the trash for good. Raises NotFound and Forbidden."""

        async def remove(db: Repositories, task: Task) -> None:
            now = self.clock.now()
            await db.trash.purge(task.owner_id, task.id, at=now, by=actor.user_id)

        await TaskWrite(self, actor, Permission.PURGE, task_id, None, _trash, remove).run()

    async def bulk(self, actor: Actor, operations: Sequence[Operation]) -> list[Task | None]:
        """Apply 1 to MAX_OPERATIONS operations in order, all or none.

        Returns the task that each has left, None for a deleted one. Raises what the first one that
        is refused raises alone, and says which in `field`, or in the fields of its problems, such
        as `operations/3/task/title`. Invalid, too, if they are about tasks of several accounts.
        """
        return await BulkWrite(
            self.store, self.clock, self.wake, self.at_most, actor, operations
        ).run()

    async def _saved(
        self, db: Repositories, actor: Actor, task: Task, changes: Mapping[str, Any]
    ) -> Task:
        """The edited task, or this very one if nothing would change."""
        edited = task.edited(self.clock.now(), actor.time_zone, **changes)
        if edited is task:
            return task
        return await db.tasks.save(edited, was=task, by=actor.user_id)

    async def _scope(self, actor: Actor, owner_id: UserId | None, what: str) -> UserId | None:
        """Whose tasks to list; None for those of all."""
        try:
            return visible_tasks(actor, owner_id)
        except Forbidden:
            await self.gate.deny(actor, what)
            raise

    async def _own_scope(self, actor: Actor, owner_id: UserId | None, what: str) -> UserId:
        scope = await self._scope(actor, owner_id, what)
        return own_id(actor) if scope is None else scope


def _tasks(db: Repositories) -> TaskRepository:
    return db.tasks


def _trash(db: Repositories) -> TrashRepository:
    return db.trash
