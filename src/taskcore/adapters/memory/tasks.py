"""Tasks in memory."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from taskcore.adapters.memory.tables import Access, existing
from taskcore.domain.errors import StaleWrite
from taskcore.domain.events import TaskEventType, changes_of, content_of
from taskcore.domain.labels import label_key
from taskcore.domain.task_orders import Sort, TaskPosition, position
from taskcore.domain.task_queries import EVERYTHING, MAX_RANKED, TaskFilter
from taskcore.domain.tasks import NewTask, Task, TaskId, limit_reached
from taskcore.domain.users import UserId
from taskcore.ports import LabelCount, Page


@dataclass(slots=True)
class MemoryTasks:
    _access: Access

    async def owner_of(self, task_id: TaskId) -> UserId:
        async with self._access() as tables:
            return existing(tables.tasks.get(task_id)).owner_id

    async def get(self, owner_id: UserId, task_id: TaskId) -> Task:
        async with self._access() as tables:
            return owned(tables.tasks, owner_id, task_id)

    lock = get  # one transaction runs at a time

    async def page(
        self,
        owner_id: UserId | None,
        of: TaskFilter = EVERYTHING,
        sort: Sort = Sort.NEWEST,
        *,
        skip: int,
        limit: int,
        after: TaskPosition | None = None,
    ) -> Page[Task]:
        async with self._access() as tables:
            tasks = [task for task in tables.tasks.values() if owner_id in {None, task.owner_id}]
        matching = [task for task in tasks if of.matches(task)]
        total: int | None = len(matching)
        if of.search and len(matching) > MAX_RANKED:
            total = None
        if of != EVERYTHING and after is not None:
            total = None
        edge = _least_ranked(matching) if sort is Sort.RELEVANCE else 0
        places = sorted(
            ((_placed(position(task, sort, of.search), edge), task) for task in matching),
            key=lambda place: place[0],
            reverse=sort.descends,
        )
        if after is not None:
            after = _placed(after, edge)
            places = [
                (place, task)
                for place, task in places
                if (place < after if sort.descends else place > after)
            ]
        items = [task for _, task in places[skip : skip + limit]]
        return Page(items, total, has_more=skip + limit < len(places))

    async def labels(
        self, owner_id: UserId, *, limit: int, after: str | None = None
    ) -> Page[LabelCount]:
        names: dict[str, list[str]] = defaultdict(list)
        async with self._access() as tables:
            for task in tables.tasks.values():
                if task.owner_id == owner_id:
                    for name in task.labels:
                        names[label_key(name)].append(name)
        counts = [
            LabelCount(min(names[key]), len(names[key]), key)
            for key in sorted(names)
            if after is None or key > after
        ]
        return Page(counts[:limit], None, has_more=len(counts) > limit)

    async def add(self, task: NewTask, *, at_most: int, by: UserId | None = None) -> Task:
        async with self._access() as tables:
            existing(tables.users.get(task.owner_id))
            held = [*tables.tasks.values(), *tables.trash.values()]
            if sum(each.owner_id == task.owner_id for each in held) >= at_most:
                raise limit_reached(at_most)
            added = task.stored_as(TaskId(next(tables.ids.tasks)))
            tables.tasks[added.id] = added
            tables.log(TaskEventType.CREATED, added, by=by, changes=content_of(task))
            return added

    async def save(self, task: Task, *, was: Task, by: UserId | None = None) -> Task:
        async with self._access() as tables:
            require_version(tables.tasks, was)
            tables.tasks[task.id] = task
            tables.log(TaskEventType.UPDATED, task, by=by, changes=changes_of(task, was))
            return task

    async def trash(self, task: Task, *, was: Task, by: UserId | None = None) -> None:
        async with self._access() as tables:
            require_version(tables.tasks, was)
            move(tables.tasks, tables.trash, task)
            tables.log(TaskEventType.TRASHED, task, by=by)


def _least_ranked(matching: Sequence[Task]) -> int:
    """The least id that is ranked by relevance; 0 if all are."""
    if len(matching) <= MAX_RANKED:
        return 0
    return sorted(task.id for task in matching)[-MAX_RANKED]


def _placed(at: TaskPosition, edge: int) -> TaskPosition:
    """Matches with ids below `edge` are behind all that are ranked."""
    return TaskPosition(-1, at.task_id) if at.task_id < edge else at


def owned(of: dict[TaskId, Task], owner_id: UserId, task_id: TaskId) -> Task:
    """Raises NotFound."""
    task = of.get(task_id)
    return existing(task if task and task.owner_id == owner_id else None)


def require_version(of: dict[TaskId, Task], was: Task) -> None:
    stored = of.get(was.id)
    if stored is None or (stored.version, stored.owner_id) != (was.version, was.owner_id):
        raise StaleWrite


def move(here: dict[TaskId, Task], there: dict[TaskId, Task], task: Task) -> None:
    del here[task.id]
    there[task.id] = task
