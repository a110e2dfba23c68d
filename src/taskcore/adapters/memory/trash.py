"""The trash in memory."""

from dataclasses import dataclass, replace
from datetime import datetime

from taskcore.adapters.memory.tables import Access, Tables, existing, page_of
from taskcore.adapters.memory.tasks import move, owned, require_version
from taskcore.domain.events import TaskEventType
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page, Removal, TrashPosition


@dataclass(slots=True)
class MemoryTrash:
    _access: Access

    async def owner_of(self, task_id: TaskId) -> UserId:
        async with self._access() as tables:
            return existing(tables.trash.get(task_id)).owner_id

    async def get(self, owner_id: UserId, task_id: TaskId) -> Task:
        async with self._access() as tables:
            return owned(tables.trash, owner_id, task_id)

    lock = get  # one transaction runs at a time

    async def page(
        self, owner_id: UserId, *, skip: int, limit: int, after: TrashPosition | None = None
    ) -> Page[Task]:
        async with self._access() as tables:
            tasks = [task for task in tables.trash.values() if task.owner_id == owner_id]
        page = page_of(tasks, TrashPosition.of, skip=skip, limit=limit, after=after)
        return replace(page, total=len(tasks))

    async def restore(self, task: Task, *, was: Task, by: UserId | None = None) -> None:
        async with self._access() as tables:
            require_version(tables.trash, was)
            move(tables.trash, tables.tasks, task)
            tables.log(TaskEventType.RESTORED, task, by=by)

    async def purge(
        self, owner_id: UserId, task_id: TaskId, *, at: datetime, by: UserId | None = None
    ) -> None:
        async with self._access() as tables:
            _purge(tables, owned(tables.trash, owner_id, task_id), at, by)

    async def purge_old(
        self, before: datetime, limit: int, *, at: datetime, after: TrashPosition | None = None
    ) -> Removal:
        async with self._access() as tables:
            places = map(TrashPosition.of, tables.trash.values())
            old = sorted(
                place
                for place in places
                if place.deleted_at < before and (after is None or place > after)
            )[:limit]
            for place in old:
                _purge(tables, tables.trash[place.task_id], at, None)
            return Removal(len(old), more=len(old) == limit, place=max(old, default=None))


def _purge(tables: Tables, task: Task, at: datetime, by: UserId | None) -> None:
    del tables.trash[task.id]
    tables.events = {
        place: event
        for place, event in tables.events.items()
        if (place[0], event.task_id) != (task.owner_id, task.id)
    }
    purged = replace(task, version=task.version + 1, updated_at=at)
    tables.log(TaskEventType.PURGED, purged, by=by)
