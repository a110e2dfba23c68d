"""Tasks in PostgreSQL. Every method is one statement, hence one round trip."""

from dataclasses import dataclass, fields

from sqlalchemy import bindparam, delete, insert, select, update

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import tasks
from taskcore.adapters.postgres.statements import Statement, columns_of, named_values, page_of
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.tasks import NewTask, Task, TaskChanges, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page

_COLUMNS = columns_of(tasks, Task)
_DRAFTED = [field.name for field in fields(NewTask)]
_CHANGING = [*TaskChanges.__annotations__, "version", "updated_at"]
_OWNED = tasks.c.owner_id == bindparam("owner_id")

_GET = Statement(select(*_COLUMNS).where(tasks.c.id == bindparam("id")))
_PAGE_OF_OWNER = Statement(page_of(select(*_COLUMNS).where(_OWNED), tasks.c.id))
_PAGE_OF_ALL = Statement(page_of(select(*_COLUMNS), tasks.c.id))
_ADD = Statement(
    insert(tasks)
    .values({name: bindparam(name) for name in _DRAFTED} | {"updated_at": bindparam("created_at")})
    .returning(*_COLUMNS)
)
_SAVE = Statement(
    update(tasks)
    .where(tasks.c.id == bindparam("task_id"), tasks.c.version == bindparam("previous"))
    .values({name: bindparam(name) for name in _CHANGING})
    .returning(*_COLUMNS)
)
_REMOVE = Statement(
    delete(tasks).where(tasks.c.id == bindparam("id"), tasks.c.version == bindparam("version"))
)


@dataclass(slots=True)
class PostgresTasks:
    _link: Link

    async def get(self, task_id: TaskId) -> Task:
        row = await self._link.row(_GET, id=task_id)
        if row is None:
            raise NotFound
        return Task(*row)

    async def page(self, *, owner_id: UserId | None, skip: int, limit: int) -> Page[Task]:
        if owner_id is None:
            rows = await self._link.rows(_PAGE_OF_ALL, skip=skip, limit=limit)
        else:
            rows = await self._link.rows(_PAGE_OF_OWNER, owner_id=owner_id, skip=skip, limit=limit)
        return Page([Task(*row[1:]) for row in rows if row[1] is not None], rows[0][0])

    async def add(self, task: NewTask) -> Task:
        row = await self._link.row(_ADD, **named_values(_DRAFTED, task))
        return Task(*row)  # type: ignore[misc]  # RETURNING of one INSERT is one row

    async def save(self, task: Task) -> Task:
        row = await self._link.row(
            _SAVE,
            task_id=task.id,
            previous=task.version - 1,
            **named_values(_CHANGING, task),
        )
        if row is None:
            raise StaleWrite
        return Task(*row)

    async def remove(self, task: Task) -> None:
        if not await self._link.run(_REMOVE, id=task.id, version=task.version):
            raise StaleWrite
