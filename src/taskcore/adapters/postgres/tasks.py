"""Tasks in PostgreSQL. A method is one round trip, often shared; a stale write takes two."""

from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.leftovers import COUNTED, REMOVED
from taskcore.adapters.postgres.schema import ALL_OWNERS, task_counts, tasks, users
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Statement,
    batch_of,
    columns_of,
    in_index_order,
    named_values,
)
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.rules import MAX_ID
from taskcore.domain.tasks import NewTask, Task, TaskChanges, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page

_COLUMNS = columns_of(tasks, Task)
_NEW = [field.name for field in fields(NewTask)]
_LOWEST: sa.ColumnElement[int] = sa.literal_column("0")  # all ids are greater
_ALL_OWNERS: sa.ColumnElement[int] = sa.literal_column(str(ALL_OWNERS))
# Run two at once, so that one that waits for a lock or fetches much does not delay all others.
_WRITES = _PAGES = 2
_UPDATED = [*TaskChanges.__annotations__, "version", "updated_at"]


def _types(*names: str) -> dict[str, TypeEngine[Any]]:
    return {name: tasks.c[name].type for name in names}


def _get() -> BatchedStatement:
    batch = batch_of(**_types("id"))
    found = batch.join(tasks, tasks.c.id == batch.c.id)
    return BatchedStatement(sa.select(batch.c.number, *_COLUMNS).select_from(found))


def _page(*, of_owner: bool) -> BatchedStatement:
    """Rows of the total and the columns of a task; one row of NULLs where the page is empty."""
    integers = dict.fromkeys(("before", "skip", "limit"), sa.BigInteger())
    batch = batch_of(**integers, **(_types("owner_id") if of_owner else {}))
    counted = task_counts.c.owner_id == _ALL_OWNERS
    key, low, below = [tasks.c.id], [_LOWEST], [batch.c.before]
    rows = sa.select(*_COLUMNS)
    if of_owner:
        counted = sa.and_(~counted, task_counts.c.owner_id == batch.c.owner_id)
        key, low, below = (
            [tasks.c.owner_id, *key],
            [batch.c.owner_id, *low],
            [batch.c.owner_id, *below],
        )
    else:
        # Not a join, which would be slow for pages behind many tasks of a removed account.
        rows = rows.where(tasks.c.owner_id.not_in(REMOVED))
    number = sa.func.sum(task_counts.c.count).cast(sa.BigInteger)
    total = (
        sa.select((number if of_owner else number - COUNTED).label("total"))
        .where(counted)
        .lateral("counted")
    )
    page = (
        in_index_order(rows, key, low=low, below=below)
        .limit(batch.c.limit)
        .offset(batch.c.skip)
        .lateral("page")
    )
    return BatchedStatement(
        sa.select(batch.c.number, total.c.total, *page.c)
        .select_from(batch.join(total, sa.true()).join(page, sa.true(), isouter=True))
        .order_by(batch.c.number, page.c.id.desc()),
        max_concurrent=_PAGES,
        limit="limit",
    )


def _add() -> BatchedStatement:
    """Inserts in the order of the requests, so that the order of the ids gives their numbers."""
    batch = batch_of(**_types(*_NEW))
    drafts = sa.select(*(batch.c[name] for name in _NEW), batch.c.created_at).order_by(
        batch.c.number
    )
    added = (
        sa.insert(tasks)
        .from_select([*_NEW, "updated_at"], drafts)
        .returning(*_COLUMNS)
        .cte("added")
    )
    numbered = sa.select(sa.func.row_number().over(order_by=added.c.id), *added.c)
    return BatchedStatement(numbered, max_concurrent=_WRITES)


def _held(*more: str, waits: bool) -> sa.CTE:
    """Locks the requested tasks that are of the requested version.

    In the order of their ids, so that statements never deadlock. Without `waits`, leaves out the
    rows that another transaction has locked.
    """
    batch = batch_of(task_id=sa.BigInteger(), previous=sa.BigInteger(), **_types(*more))
    return (
        sa.select(*batch.c)
        .select_from(batch.join(tasks, tasks.c.id == batch.c.task_id))
        .where(tasks.c.version == batch.c.previous)
        .order_by(tasks.c.id)
        .with_for_update(of=tasks, skip_locked=not waits)
        .cte("held")
    )


def _save(*, waits: bool) -> BatchedStatement:
    held = _held(*_UPDATED, waits=waits)
    return BatchedStatement(
        sa.update(tasks)
        .where(tasks.c.id == held.c.task_id, tasks.c.version == held.c.previous)
        .values({name: held.c[name] for name in _UPDATED})
        .returning(held.c.number, *_COLUMNS),
        max_concurrent=_WRITES,
    )


def _remove(*, waits: bool) -> BatchedStatement:
    held = _held(waits=waits)
    return BatchedStatement(
        sa.delete(tasks)
        .where(tasks.c.id == held.c.task_id, tasks.c.version == held.c.previous)
        .returning(held.c.number),
        max_concurrent=_WRITES,
    )


_GET = _get()
_LOCK = Statement(
    sa.select(*_COLUMNS)
    .where(tasks.c.id == sa.bindparam("id"), tasks.c.owner_id.not_in(REMOVED))
    .with_for_update(key_share=True)
)
_EXISTS = Statement(
    sa.select(users.c.id).where(users.c.id == sa.bindparam("id"), users.c.removed_at.is_(None))
)
_PAGE_OF_OWNER, _PAGE_OF_ALL = _page(of_owner=True), _page(of_owner=False)
_ADD = _add()
# If SKIP LOCKED returns no row, retry in a separate batch that waits, so that a locked row delays
# no other request.
_SAVE, _SAVE_WAITING = _save(waits=False), _save(waits=True)
_REMOVE, _REMOVE_WAITING = _remove(waits=False), _remove(waits=True)
# PostgreSQL reads the rows that a page skips: from here on, each runs alone, and users take turns.
_FAR = 1000


@dataclass(slots=True)
class PostgresTasks:
    _link: Link

    async def get(self, task_id: TaskId, *, living: UserId | None = None) -> Task:
        """Two round trips for another's task."""
        for row in await self._link.batched(_GET, id=task_id):
            task = Task(*row[1:])
            if task.owner_id == living or await self._link.row(_EXISTS, id=task.owner_id):
                return task
        raise NotFound

    async def lock(self, task_id: TaskId) -> Task:
        if row := await self._link.row(_LOCK, id=task_id):
            return Task(*row)
        raise NotFound

    async def page(
        self,
        *,
        owner_id: UserId | None,
        skip: int,
        limit: int,
        before: TaskId | None = None,
        living: UserId | None = None,
    ) -> Page[Task]:
        """Two round trips for another's tasks."""
        if owner_id not in {None, living} and not await self._link.row(_EXISTS, id=owner_id):
            return Page([], 0)
        rows = await (self._link.batched if skip <= _FAR else self._link.in_turn)(
            _PAGE_OF_ALL if owner_id is None else _PAGE_OF_OWNER,
            owner_id=owner_id,
            before=MAX_ID if before is None else min(before, MAX_ID),
            skip=skip,
            limit=limit + 1,  # one more, to see whether this is the last page
        )
        items = [Task(*row[2:]) for row in rows[:limit] if row[2] is not None]
        return Page(items, rows[0][1] or 0, has_more=len(rows) > limit)

    async def add(self, task: NewTask) -> Task:
        (row,) = await self._link.batched(_ADD, **named_values(_NEW, task))
        return Task(*row[1:])

    async def save(self, task: Task) -> Task:
        values = named_values(_UPDATED, task) | {"task_id": task.id, "previous": task.version - 1}
        saved = await self._link.batched(_SAVE, **values)
        for row in saved or await self._link.batched(_SAVE_WAITING, **values):
            return Task(*row[1:])
        raise StaleWrite

    async def remove(self, task: Task) -> None:
        values = {"task_id": task.id, "previous": task.version}
        if not (
            await self._link.batched(_REMOVE, **values)
            or await self._link.batched(_REMOVE_WAITING, **values)
        ):
            raise StaleWrite
