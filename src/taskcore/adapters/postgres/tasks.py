"""Tasks in PostgreSQL. A method is one round trip, often shared; a stale write takes two.

The first task of an account takes four.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.schema import streams, task_ids, task_words, tasks, trash, users
from taskcore.adapters.postgres.statements import BatchedStatement, Statement, batch_of
from taskcore.adapters.postgres.streams import counted, heads
from taskcore.adapters.postgres.task_lists import labels_page, tasks_page
from taskcore.adapters.postgres.task_rows import (
    WRITTEN,
    argument_values,
    arrived,
    columns_of_tasks,
    task_of,
    travelling,
    values_of,
    vector,
    words_vector,
)
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.queries import EVERYTHING, Sort, TaskFilter, TaskPosition
from taskcore.domain.tasks import NewTask, Task, TaskId, limit_reached
from taskcore.domain.users import UserId
from taskcore.ports import LabelCount, Page

# One at a time: of two for the same account, only one could lock its row, and the requests of the
# other would be sent again. Larger batches make up for it. A statement waits for no account.
_WRITES = 1


def get(table: sa.Table, *more: str) -> BatchedStatement:
    batch = batch_of(owner_id=sa.BigInteger(), task_id=sa.BigInteger())
    found = batch.join(
        table, sa.and_(table.c.owner_id == batch.c.owner_id, table.c.id == batch.c.task_id)
    )
    return BatchedStatement(
        sa.select(
            batch.c.number, *columns_of_tasks(table), *(table.c[name] for name in more)
        ).select_from(found)
    )


def owner_of(table: sa.Table) -> Statement:
    living = sa.and_(streams.c.owner_id == table.c.owner_id, ~streams.c.removed)
    return Statement(
        sa.select(table.c.owner_id)
        .join(streams, living)
        .where(table.c.id == sa.bindparam("task_id", type_=sa.BigInteger()))
    )


def _add(*, waits: bool) -> BatchedStatement:
    """Ids in the order of the requests; NULL for one beyond its account's limit."""
    new = [name for name in WRITTEN if name not in {"edition", "updated_at"}]
    batch = batch_of(
        owner_id=sa.BigInteger(),
        at_most=sa.BigInteger(),
        created_at=sa.DateTime(timezone=True),
        words=sa.Text(),
        **travelling(*new),
    )
    head = heads(sa.select(batch.c.owner_id), waits=waits)
    place = sa.func.row_number().over(partition_by=batch.c.owner_id, order_by=batch.c.number)
    requests = (
        sa.select(*batch.c, (head.c.live + head.c.trashed + place).label("place"))
        .select_from(batch.join(head, head.c.owner_id == batch.c.owner_id))
        .cte("requests")
    )
    fitting = (
        sa.select(*requests.c)
        .where(requests.c.place <= requests.c.at_most)
        .order_by(requests.c.number)
        .subquery("fitting")
    )
    drafts = sa.select(task_ids.next_value().label("id"), *fitting.c).cte("drafts")
    content = [*arrived(drafts, *new), drafts.c.created_at, drafts.c.created_at]
    added = (
        sa.insert(tasks)
        .from_select(
            ["id", "owner_id", *new, "created_at", "updated_at"],
            sa.select(drafts.c.id, drafts.c.owner_id, *content).order_by(drafts.c.number),
        )
        .returning(tasks.c.owner_id)
        .cte("added")
    )
    found = sa.insert(task_words).from_select(
        ["owner_id", "task_id", "words"],
        sa.select(drafts.c.owner_id, drafts.c.id, vector(drafts.c.words)),
    )
    return BatchedStatement(
        sa.select(requests.c.number, drafts.c.id)
        .select_from(requests.join(drafts, drafts.c.number == requests.c.number, isouter=True))
        .add_cte(found.cte("searched"), *counted(added, live=1)),
        max_concurrent=_WRITES,
    )


def held(table: sa.Table, *more: str, waits: bool, words: bool = False) -> sa.CTE:
    """Locks the requested tasks that are of the requested version, and before them the accounts."""
    batch = batch_of(
        owner_id=sa.BigInteger(),
        task_id=sa.BigInteger(),
        previous=sa.BigInteger(),
        **travelling(*more),
        **({"words": sa.Text()} if words else {}),
    )
    head = heads(sa.select(batch.c.owner_id), waits=waits)
    same = sa.and_(
        table.c.owner_id == batch.c.owner_id,
        table.c.id == batch.c.task_id,
        table.c.edition == batch.c.previous,
    )
    return (
        sa.select(*batch.c)
        .select_from(batch.join(head, head.c.owner_id == batch.c.owner_id).join(table, same))
        .order_by(table.c.id)
        .with_for_update(of=table)
        .cte("held")
    )


def _save(*, waits: bool, words: bool) -> BatchedStatement:
    """With the words, if the title or the description has changed."""
    rows = held(tasks, *WRITTEN, waits=waits, words=words)
    saved = (
        sa.update(tasks)
        .where(
            tasks.c.owner_id == rows.c.owner_id,
            tasks.c.id == rows.c.task_id,
            tasks.c.edition == rows.c.previous,
        )
        .values(dict(zip(WRITTEN, arrived(rows, *WRITTEN), strict=True)))
        .returning(rows.c.number)
    )
    if not words:
        return BatchedStatement(saved, max_concurrent=_WRITES)
    done = saved.returning(rows.c.owner_id, rows.c.task_id, rows.c.words).cte("saved")
    searched = (
        sa.update(task_words)
        .where(task_words.c.owner_id == done.c.owner_id, task_words.c.task_id == done.c.task_id)
        .values(words=vector(done.c.words))
    )
    return BatchedStatement(
        sa.select(done.c.number).add_cte(searched.cte("searched")), max_concurrent=_WRITES
    )


def _trash(*, waits: bool) -> BatchedStatement:
    batch_more = ("edition", "updated_at")
    rows = held(tasks, *batch_more, waits=waits)
    gone = (
        sa.delete(tasks)
        .where(
            tasks.c.owner_id == rows.c.owner_id,
            tasks.c.id == rows.c.task_id,
            tasks.c.edition == rows.c.previous,
        )
        .returning(
            rows.c.number,
            rows.c.edition.label("new_edition"),
            rows.c.updated_at.label("deleted_at"),
            *(tasks.c[name] for name in _STORED),
        )
        .cte("gone")
    )
    content = [*_MOVED, "edition", "updated_at", "deleted_at"]
    kept = sa.insert(trash).from_select(
        content,
        sa.select(
            *(gone.c[name] for name in _MOVED),
            gone.c.new_edition,
            gone.c.deleted_at,
            gone.c.deleted_at,
        ),
    )
    unsearched = sa.delete(task_words).where(
        task_words.c.owner_id == gone.c.owner_id, task_words.c.task_id == gone.c.id
    )
    return BatchedStatement(
        sa.select(gone.c.number).add_cte(
            kept.cte("kept"), unsearched.cte("unsearched"), *counted(gone, live=-1, trashed=1)
        ),
        max_concurrent=_WRITES,
    )


_STORED = [column.name for column in tasks.c]
_MOVED = [name for name in _STORED if name not in {"edition", "updated_at"}]
MOVED = _MOVED

_GET = get(tasks)
_OWNER_OF = owner_of(tasks)
# If SKIP LOCKED returns no row, retry in a separate batch that waits, so that a locked account
# delays no other request.
_ADD, _ADD_WAITING = _add(waits=False), _add(waits=True)
_SAVE, _SAVE_WAITING = _save(waits=False, words=False), _save(waits=True, words=False)
_SAVE_WORDS, _SAVE_WORDS_WAITING = _save(waits=False, words=True), _save(waits=True, words=True)
_TRASH, _TRASH_WAITING = _trash(waits=False), _trash(waits=True)
# Before an account's first task. Locked, so that an account is not removed meanwhile.
_OPEN = Statement(
    postgresql.insert(streams)
    .from_select(
        ["owner_id"],
        sa.select(users.c.id)
        .where(
            users.c.id == sa.bindparam("owner_id", type_=sa.BigInteger()),
            users.c.removed_at.is_(None),
        )
        .with_for_update(read=True),
    )
    .on_conflict_do_nothing()
    .returning(streams.c.owner_id)
)
_LOCK = Statement(
    sa.select(streams.c.owner_id)
    .where(streams.c.owner_id == sa.bindparam("owner_id"), ~streams.c.removed)
    .with_for_update(key_share=True)
)


@dataclass(slots=True)
class TasksOfTable:
    """Finding a task: what the tasks and the trash have in common."""

    _link: Link
    _get: ClassVar[BatchedStatement]
    _owner_of: ClassVar[Statement]

    async def owner_of(self, task_id: TaskId) -> UserId:
        if row := await self._link.row(self._owner_of, task_id=task_id):
            return UserId(row[0])
        raise NotFound

    async def get(self, owner_id: UserId, task_id: TaskId) -> Task:
        for row in await self._link.batched(self._get, owner_id=owner_id, task_id=task_id):
            return task_of(row[1:])
        raise NotFound

    async def lock(self, owner_id: UserId, task_id: TaskId) -> Task:
        """Two round trips."""
        if await self._link.row(_LOCK, owner_id=owner_id) is None:
            raise NotFound
        return await self.get(owner_id, task_id)


@dataclass(slots=True)
class PostgresTasks(TasksOfTable):
    _get = _GET
    _owner_of = _OWNER_OF

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
        return await tasks_page(self._link, owner_id, of, sort, skip=skip, limit=limit, after=after)

    async def labels(
        self, owner_id: UserId, *, limit: int, after: str | None = None
    ) -> Page[LabelCount]:
        return await labels_page(self._link, owner_id, limit=limit, after=after)

    async def add(self, task: NewTask, *, at_most: int) -> Task:
        values: dict[str, Any] = values_of(task) | {
            "owner_id": task.owner_id,
            "at_most": at_most,
            "created_at": task.created_at,
            "words": words_vector(task),
        }
        added = await self._link.batched(_ADD, **values) or await self._link.batched(
            _ADD_WAITING, **values
        )
        if not added:
            await self._link.rows(_OPEN, owner_id=task.owner_id)
            added = await self._link.batched(_ADD_WAITING, **values)
        for _, task_id in added:
            if task_id is None:
                raise limit_reached(at_most)
            return task.stored_as(TaskId(task_id))
        raise NotFound

    async def save(self, task: Task, *, was: Task) -> Task:
        values: dict[str, Any] = dict(argument_values(task, was))
        first, then = _SAVE, _SAVE_WAITING
        if (task.title, task.description) != (was.title, was.description):
            first, then = _SAVE_WORDS, _SAVE_WORDS_WAITING
            values["words"] = words_vector(task)
        if await self._link.batched(first, **values) or await self._link.batched(then, **values):
            return task
        raise StaleWrite

    async def trash(self, task: Task, *, was: Task) -> None:
        values = {
            "owner_id": was.owner_id,
            "task_id": was.id,
            "previous": was.version,
            "edition": task.version,
            "updated_at": task.updated_at,
        }
        if not (
            await self._link.batched(_TRASH, **values)
            or await self._link.batched(_TRASH_WAITING, **values)
        ):
            raise StaleWrite
