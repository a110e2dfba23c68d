"""Bulks of operations in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from taskcore.adapters.memory.tables import Access, Tables
from taskcore.adapters.memory.tasks import require_version
from taskcore.domain.bulk import Held, Work
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId


@dataclass(slots=True)
class MemoryBulk:
    _access: Access

    async def owners_of(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, UserId]:
        async with self._access() as tables:
            return {task.id: task.owner_id for task in _stored(tables) if task.id in task_ids}

    async def hold(self, owner_id: UserId, task_ids: Sequence[TaskId]) -> Held | None:
        async with self._access() as tables:
            if owner_id not in tables.users:
                return None
            tasks = [task for task in _stored(tables) if task.owner_id == owner_id]
        return Held({task.id: task for task in tasks if task.id in task_ids}, len(tasks))

    async def write(self, work: Work, *, by: UserId | None = None) -> Sequence[TaskId]:
        ids: list[TaskId] = []
        async with self._access() as tables:
            for was, _ in work.changed:
                here = tables.tasks if was.deleted_at is None else tables.trash
                require_version(here, replace(was, owner_id=work.owner_id))
            for step in work.steps:
                task = step.task
                if isinstance(task, NewTask):
                    task = task.stored_as(TaskId(next(tables.ids.tasks)))
                    ids.append(task.id)
                here, there = tables.tasks, tables.trash
                if task.deleted_at is not None:
                    here, there = there, here
                here[task.id] = task
                there.pop(task.id, None)
                tables.log(step.type, task, by=by, changes=step.changes)
        return ids


def _stored(tables: Tables) -> list[Task]:
    return [*tables.tasks.values(), *tables.trash.values()]
