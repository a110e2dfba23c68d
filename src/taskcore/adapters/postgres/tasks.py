"""Tasks in PostgreSQL. Every method is one statement, hence one round trip."""

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, select, update

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import tasks
from taskcore.adapters.postgres.statements import Statement, page_of
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page

# In the order of Task's fields: a row is a Task's arguments.
_COLUMNS = (
    tasks.c.id,
    tasks.c.title,
    tasks.c.description,
    tasks.c.owner_id,
    tasks.c.version,
    tasks.c.created_at,
    tasks.c.updated_at,
)
_OWNED = tasks.c.owner_id == bindparam("owner_id")

_GET = Statement(select(*_COLUMNS).where(tasks.c.id == bindparam("id")))
_PAGE_OF_OWNER = Statement(page_of(select(*_COLUMNS).where(_OWNED), tasks.c.id))
_PAGE_OF_ALL = Statement(page_of(select(*_COLUMNS), tasks.c.id))
_ADD = Statement(
    insert(tasks)
    .values(
        title=bindparam("title"),
        description=bindparam("description"),
        owner_id=bindparam("owner_id"),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
    )
    .returning(*_COLUMNS)
)
_SAVE = Statement(
    update(tasks)
    .where(tasks.c.id == bindparam("task_id"), tasks.c.version == bindparam("previous"))
    .values(
        title=bindparam("title"),
        description=bindparam("description"),
        version=bindparam("version"),
        updated_at=bindparam("updated_at"),
    )
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
        row = await self._link.row(
            _ADD,
            title=task.title,
            description=task.description,
            owner_id=task.owner_id,
            now=task.created_at,
        )
        return Task(*row)  # type: ignore[misc]  # RETURNING of one INSERT is one row

    async def save(self, task: Task) -> Task:
        row = await self._link.row(
            _SAVE,
            task_id=task.id,
            previous=task.version - 1,
            title=task.title,
            description=task.description,
            version=task.version,
            updated_at=task.updated_at,
        )
        if row is None:
            raise StaleWrite
        return Task(*row)

    async def remove(self, task: Task) -> None:
        if not await self._link.run(_REMOVE, id=task.id, version=task.version):
            raise StaleWrite
