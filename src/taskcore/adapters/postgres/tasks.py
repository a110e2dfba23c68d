"""Tasks in PostgreSQL. Every method is one statement, hence one round trip or a part of one."""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.types import TypeEngine

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import EVERYBODY, task_counts, tasks
from taskcore.adapters.postgres.statements import (
    Gathered,
    Statement,
    asked,
    columns_of,
    named_values,
)
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.rules import MAX_ID
from taskcore.domain.tasks import NewTask, Task, TaskChanges, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page

_COLUMNS = columns_of(tasks, Task)
_DRAFTED = [field.name for field in fields(NewTask)]
_EVERYBODY: ColumnElement[int] = literal_column(str(EVERYBODY))
# One that waits for somebody's lock, or gets much, must not keep all others waiting.
_WRITES = _PAGES = 2
_CHANGING = [*TaskChanges.__annotations__, "version", "updated_at"]


def _kinds(*names: str) -> dict[str, TypeEngine[Any]]:
    return {name: tasks.c[name].type for name in names}


def _get() -> Gathered:
    this = asked(**_kinds("id"))
    found = this.join(tasks, tasks.c.id == this.c.id)
    return Gathered(select(this.c.number, *_COLUMNS).select_from(found))


def _page(*, of_owner: bool) -> Gathered:
    """Rows of the total and the columns of a task; one row of NULLs where the page is empty."""
    kinds = dict.fromkeys(("upto", "skip", "limit"), BigInteger())
    this = asked(**kinds, **(_kinds("owner_id") if of_owner else {}))
    counted = task_counts.c.owner_id == _EVERYBODY
    filters: list[ColumnElement[bool]] = []
    if of_owner:
        counted = and_(~counted, task_counts.c.owner_id == this.c.owner_id)
        filters = [tasks.c.owner_id == this.c.owner_id]
    total = (
        select(func.sum(task_counts.c.count).cast(BigInteger).label("total"))
        .where(counted)
        .lateral("counted")
    )
    page = (
        select(*_COLUMNS)
        .where(tasks.c.id <= this.c.upto, *filters)
        .order_by(tasks.c.id.desc())
        .limit(this.c.limit)
        .offset(this.c.skip)
        .lateral("page")
    )
    return Gathered(
        select(this.c.number, total.c.total, *page.c)
        .select_from(this.join(total, true()).join(page, true(), isouter=True))
        .order_by(this.c.number, page.c.id.desc()),
        at_once=_PAGES,
        limit="limit",
    )


def _add() -> Gathered:
    """Ids are given in the order of the questions, so the rows are numbered by them."""
    this = asked(**_kinds(*_DRAFTED))
    drafts = select(*(this.c[name] for name in _DRAFTED), this.c.created_at).order_by(this.c.number)
    added = (
        insert(tasks)
        .from_select([*_DRAFTED, "updated_at"], drafts)
        .returning(*_COLUMNS)
        .cte("added")
    )
    numbered = select(func.row_number().over(order_by=added.c.id), *added.c)
    return Gathered(numbered, at_once=_WRITES)


def _held(*more: str, waits: bool) -> CTE:
    """Those of the tasks asked for that are of the version asked for, locked.

    In the order of their ids, so that two statements never wait for each other. One that does not
    wait leaves out what somebody else has locked.
    """
    this = asked(task_id=BigInteger(), previous=BigInteger(), **_kinds(*more))
    return (
        select(*this.c)
        .select_from(this.join(tasks, tasks.c.id == this.c.task_id))
        .where(tasks.c.version == this.c.previous)
        .order_by(tasks.c.id)
        .with_for_update(of=tasks, skip_locked=not waits)
        .cte("held")
    )


def _save(*, waits: bool) -> Gathered:
    held = _held(*_CHANGING, waits=waits)
    return Gathered(
        update(tasks)
        .where(tasks.c.id == held.c.task_id, tasks.c.version == held.c.previous)
        .values({name: held.c[name] for name in _CHANGING})
        .returning(held.c.number, *_COLUMNS),
        at_once=_WRITES,
    )


def _remove(*, waits: bool) -> Gathered:
    held = _held(waits=waits)
    return Gathered(
        delete(tasks)
        .where(tasks.c.id == held.c.task_id, tasks.c.version == held.c.previous)
        .returning(held.c.number),
        at_once=_WRITES,
    )


_GET = _get()
_LOCK = Statement(
    select(*_COLUMNS).where(tasks.c.id == bindparam("id")).with_for_update(key_share=True)
)
_PAGE_OF_OWNER, _PAGE_OF_ALL = _page(of_owner=True), _page(of_owner=False)
_ADD = _add()
# Whoever finds no such task asks again, together with those alike: it may be locked for a long
# time, and nobody else shall wait for that.
_SAVE, _SAVE_WAITING = _save(waits=False), _save(waits=True)
_REMOVE, _REMOVE_WAITING = _remove(waits=False), _remove(waits=True)
# Whoever skips far reads what they leave out: nobody else shall wait for them.
_FAR = 1000


@dataclass(slots=True)
class PostgresTasks:
    _link: Link

    async def get(self, task_id: TaskId) -> Task:
        for row in await self._link.answer(_GET, id=task_id):
            return Task(*row[1:])
        raise NotFound

    async def lock(self, task_id: TaskId) -> Task:
        if row := await self._link.row(_LOCK, id=task_id):
            return Task(*row)
        raise NotFound

    async def page(
        self, *, owner_id: UserId | None, skip: int, limit: int, before: TaskId | None = None
    ) -> Page[Task]:
        rows = await (self._link.answer if skip <= _FAR else self._link.answer_alone)(
            _PAGE_OF_ALL if owner_id is None else _PAGE_OF_OWNER,
            owner_id=owner_id,
            upto=MAX_ID if before is None else min(before - 1, MAX_ID),
            skip=skip,
            limit=limit + 1,  # one more, to see whether there is more
        )
        items = [Task(*row[2:]) for row in rows[:limit] if row[2] is not None]
        return Page(items, rows[0][1] or 0, has_more=len(rows) > limit)

    async def add(self, task: NewTask) -> Task:
        (row,) = await self._link.answer(_ADD, **named_values(_DRAFTED, task))
        return Task(*row[1:])

    async def save(self, task: Task) -> Task:
        values = named_values(_CHANGING, task) | {"task_id": task.id, "previous": task.version - 1}
        saved = await self._link.answer(_SAVE, **values)
        for row in saved or await self._link.answer(_SAVE_WAITING, **values):
            return Task(*row[1:])
        raise StaleWrite

    async def remove(self, task: Task) -> None:
        values = {"task_id": task.id, "previous": task.version}
        if not (
            await self._link.answer(_REMOVE, **values)
            or await self._link.answer(_REMOVE_WAITING, **values)
        ):
            raise StaleWrite
