"""Tasks in PostgreSQL.

A method is one round trip, often shared with other requests. A write takes two if it is stale, or
if another transaction has locked the account; the first task of an account takes four.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from taskcore.adapters.postgres.account_rows import counted, heads, numbered
from taskcore.adapters.postgres.account_tables import users
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.event_rows import LOGGED, Logged, logged
from taskcore.adapters.postgres.schema import streams, task_ids, task_words, tasks, trash
from taskcore.adapters.postgres.statements import BatchedStatement, Statement, Values, batch_of
from taskcore.adapters.postgres.task_lists import labels_page, tasks_page
from taskcore.adapters.postgres.task_rows import (
    WRITTEN,
    arrived,
    columns_of_tasks,
    task_of,
    travelling,
    values_of,
    vector,
    words_vector,
    write_values,
)
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.events import TaskEventType, changes_of, changes_text, content_of
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import EVERYTHING, TaskFilter
from taskcore.domain.tasks import NewTask, Task, TaskId, limit_reached
from taskcore.domain.users import UserId
from taskcore.ports import READ_AHEAD, LabelCount, Page

# Batches at a time. Of two that write for the same account, only one could lock its row, and the
# requests of the other would be sent again. The batches are larger instead.
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
    """Returns the new ids, in the order of the requests; NULL for a task beyond `at_most`."""
    new = [name for name in WRITTEN if name not in {"edition", "updated_at"}]
    batch = batch_of(
        owner_id=sa.BigInteger(),
        at_most=sa.BigInteger(),
        created_at=sa.DateTime(timezone=True),
        words=sa.Text(),
        **LOGGED,
        **travelling(*new),
    )
    head = heads(sa.select(batch.c.owner_id), waits=waits)
    requests = numbered(batch, head, head.c.head, (head.c.live + head.c.in_trash).label("held"))
    place = requests.c.held + requests.c.position - requests.c.head
    fitting = (
        sa.select(*requests.c)
        .where(place <= requests.c.at_most)
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
        .cte("added")
    )
    found = sa.insert(task_words).from_select(
        ["owner_id", "task_id", "words"],
        sa.select(drafts.c.owner_id, drafts.c.id, vector(drafts.c.words)),
    )
    log = logged(drafts, TaskEventType.CREATED, _of_new(drafts), drafts.c.changes)
    return BatchedStatement(
        sa.select(requests.c.number, drafts.c.id)
        .select_from(requests.join(drafts, drafts.c.number == requests.c.number, isouter=True))
        .add_cte(added, found.cte("searched"), *counted(log, live=1)),
        max_concurrent=_WRITES,
        words="words",
        waits=waits,
    )


def _of_new(drafts: sa.CTE) -> Logged:
    first: sa.ColumnElement[int] = sa.literal_column("1")
    return Logged(drafts.c.owner_id, drafts.c.id, first, drafts.c.created_at)


def writes(*more: str, waits: bool, **travels: TypeEngine[Any]) -> sa.CTE:
    """Locks the accounts; returns the requested writes, with the positions of their events.

    Unless it `waits`, it leaves out accounts that another transaction has locked.
    """
    batch = batch_of(
        owner_id=sa.BigInteger(),
        task_id=sa.BigInteger(),
        previous=sa.BigInteger(),
        actor_id=sa.BigInteger(),
        **travelling(*more),
        **travels,
    )
    return numbered(batch, heads(sa.select(batch.c.owner_id), waits=waits))


def unchanged(table: sa.Table, rows: sa.CTE) -> sa.ColumnElement[bool]:
    """Whether this is the task to write to, in the version that the client has seen."""
    return sa.and_(
        table.c.owner_id == rows.c.owner_id,
        table.c.id == rows.c.task_id,
        table.c.edition == rows.c.previous,
    )


def _save(*, waits: bool, words: bool) -> BatchedStatement:
    """With `words` also replaces what search finds: the title or the description has changed."""
    travels = ["changes", "words"] if words else ["changes"]
    rows = writes(*WRITTEN, waits=waits, **dict.fromkeys(travels, sa.Text()))
    saved = (
        sa.update(tasks)
        .where(unchanged(tasks, rows))
        .values(dict(zip(WRITTEN, arrived(rows, *WRITTEN), strict=True)))
        .returning(*rows.c)
        .cte("saved")
    )
    of = Logged(saved.c.owner_id, saved.c.task_id, saved.c.edition, saved.c.updated_at)
    log = logged(saved, TaskEventType.UPDATED, of, saved.c.changes)
    parts = [*counted(log)]
    if words:
        searched = (
            sa.update(task_words)
            .where(
                task_words.c.owner_id == saved.c.owner_id, task_words.c.task_id == saved.c.task_id
            )
            .values(words=vector(saved.c.words))
        )
        parts.append(searched.cte("searched"))
    return BatchedStatement(
        sa.select(saved.c.number).add_cte(*parts),
        max_concurrent=_WRITES,
        words="words" if words else None,
        waits=waits,
    )


def moved(table: sa.Table, rows: sa.CTE) -> sa.CTE:
    """Deletes the tasks of these requests. Returns their rows, with the requests' new version.

    `number`, `position` and `actor_id` are those of the request.
    """
    now = {"edition": rows.c.edition, "updated_at": rows.c.updated_at}
    columns = [now.get(name, table.c[name]).label(name) for name in STORED]
    more = [column for column in rows.c if column.name not in {*STORED, "task_id"}]
    return sa.delete(table).where(unchanged(table, rows)).returning(*columns, *more).cte("gone")


def of_moved(gone: sa.CTE) -> Logged:
    return Logged(gone.c.owner_id, gone.c.id, gone.c.edition, gone.c.updated_at)


def _trash(*, waits: bool) -> BatchedStatement:
    gone = moved(tasks, writes("edition", "updated_at", waits=waits))
    kept = sa.insert(trash).from_select(
        [*STORED, "deleted_at"],
        sa.select(*(gone.c[name] for name in STORED), gone.c.updated_at),
    )
    unsearched = sa.delete(task_words).where(
        task_words.c.owner_id == gone.c.owner_id, task_words.c.task_id == gone.c.id
    )
    log = logged(gone, TaskEventType.TRASHED, of_moved(gone))
    return BatchedStatement(
        sa.select(gone.c.number).add_cte(
            kept.cte("kept"), unsearched.cte("unsearched"), *counted(log, live=-1, in_trash=1)
        ),
        max_concurrent=_WRITES,
        waits=waits,
    )


STORED = [column.name for column in tasks.c]

_GET = get(tasks)
_OWNER_OF = owner_of(tasks)
# If SKIP LOCKED returns no row, retry in a separate batch that waits, so that a locked account
# delays no other request.
_ADD, _ADD_WAITING = _add(waits=False), _add(waits=True)
_SAVE, _SAVE_WAITING = _save(waits=False, words=False), _save(waits=True, words=False)
_SAVE_WORDS, _SAVE_WORDS_WAITING = _save(waits=False, words=True), _save(waits=True, words=True)
_TRASH, _TRASH_WAITING = _trash(waits=False), _trash(waits=True)
# Adds the row that an account needs before its first task. Locks the user, so that the account is
# not removed meanwhile.
OPEN = Statement(
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
        return await self._read(owner_id, task_id)

    async def _read(self, owner_id: UserId, task_id: TaskId) -> Task:
        for row in await self._link.batched(self._get, owner_id=owner_id, task_id=task_id):
            return task_of(row[1:])
        raise NotFound

    async def lock(self, owner_id: UserId, task_id: TaskId) -> Task:
        """Two round trips."""
        if await self._link.row(_LOCK, owner_id=owner_id) is None:
            raise NotFound
        return await self._read(owner_id, task_id)


@dataclass(slots=True)
class PostgresTasks(TasksOfTable):
    _get = _GET
    _owner_of = _OWNER_OF

    async def get(self, owner_id: UserId, task_id: TaskId) -> Task:
        ahead = READ_AHEAD.get()
        known = ahead.take(owner_id, task_id) if ahead else None
        return known or await self._read(owner_id, task_id)

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

    async def add(self, task: NewTask, *, at_most: int, by: UserId | None = None) -> Task:
        async with self._link.turn_for(task.description):
            return await self._add(task, at_most, by)

    async def _add(self, task: NewTask, at_most: int, by: UserId | None) -> Task:
        values: dict[str, Any] = values_of(task) | {
            "owner_id": task.owner_id,
            "actor_id": by,
            "changes": changes_text(content_of(task)),
            "at_most": at_most,
            "created_at": task.created_at,
            "words": words_vector(task),
        }
        added = await self._link.batched(_ADD, **values) or await self._link.batched(
            _ADD_WAITING, **values
        )
        if not added:
            await self._link.rows(OPEN, owner_id=task.owner_id)
            added = await self._link.batched(_ADD_WAITING, **values)
        for _, task_id in added:
            if task_id is None:
                raise limit_reached(at_most)
            return task.stored_as(TaskId(task_id))
        raise NotFound

    async def save(self, task: Task, *, was: Task, by: UserId | None = None) -> Task:
        values: dict[str, Any] = values_of(task) | write_values(task, was, by)
        values["changes"] = changes_text(changes_of(task, was))
        if (task.title, task.description) == (was.title, was.description):
            is_saved = await self._saved(_SAVE, _SAVE_WAITING, values)
        else:
            async with self._link.turn_for(task.description):
                values["words"] = words_vector(task)
                is_saved = await self._saved(_SAVE_WORDS, _SAVE_WORDS_WAITING, values)
        if not is_saved:
            raise StaleWrite
        return task

    async def _saved(self, first: BatchedStatement, then: BatchedStatement, values: Values) -> bool:
        return bool(
            await self._link.batched(first, **values) or await self._link.batched(then, **values)
        )

    async def trash(self, task: Task, *, was: Task, by: UserId | None = None) -> None:
        values = write_values(task, was, by)
        if not (
            await self._link.batched(_TRASH, **values)
            or await self._link.batched(_TRASH_WAITING, **values)
        ):
            raise StaleWrite
