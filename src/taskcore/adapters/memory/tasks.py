"""Tasks in memory."""

from dataclasses import dataclass, replace
from operator import attrgetter

from taskcore.adapters.memory.tables import Access, Tables, existing, page_of
from taskcore.domain.errors import StaleWrite
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page


@dataclass(slots=True)
class MemoryTasks:
    _access: Access

    async def get(self, task_id: TaskId, *, living: UserId | None = None) -> Task:  # noqa: ARG002
        async with self._access() as tables:
            return existing(tables.tasks.get(task_id))

    lock = get  # one transaction runs at a time

    async def page(
        self,
        *,
        owner_id: UserId | None,
        skip: int,
        limit: int,
        before: TaskId | None = None,
        living: UserId | None = None,  # noqa: ARG002
    ) -> Page[Task]:
        async with self._access() as tables:
            owned = [task for task in tables.tasks.values() if owner_id in {None, task.owner_id}]
        page = page_of(owned, attrgetter("id"), skip=skip, limit=limit, before=before)
        return replace(page, total=len(owned))

    async def add(self, task: NewTask) -> Task:
        async with self._access() as tables:
            existing(tables.users.get(task.owner_id))
            added = task.stored_as(TaskId(next(tables.ids.tasks)))
            tables.tasks[added.id] = added
            return added

    async def save(self, task: Task) -> Task:
        async with self._access() as tables:
            _require_version(tables, task.id, task.version - 1)
            tables.tasks[task.id] = task
            return task

    async def remove(self, task: Task) -> None:
        async with self._access() as tables:
            _require_version(tables, task.id, task.version)
            del tables.tasks[task.id]


def _require_version(tables: Tables, task_id: TaskId, version: int) -> None:
    stored = tables.tasks.get(task_id)
    if stored is None or stored.version != version:
        raise StaleWrite
