"""The trash in PostgreSQL. A method is one round trip, except where noted.

How long a task stays there: `domain/trash.py`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from taskcore.adapters.postgres.account_rows import counted, heads, numbered
from taskcore.adapters.postgres.event_rows import Logged, erasure, logged
from taskcore.adapters.postgres.removals import TURN, fewer_if_slow
from taskcore.adapters.postgres.schema import streams, task_words, tasks, trash
from taskcore.adapters.postgres.statements import (
    BatchedStatement,
    Statement,
    batch_of,
    in_index_order,
)
from taskcore.adapters.postgres.task_rows import (
    columns_of_tasks,
    task_of,
    vector,
    words_vector,
    write_values,
)
from taskcore.adapters.postgres.tasks import (
    STORED,
    TasksOfTable,
    get,
    moved,
    of_moved,
    owner_of,
    writes,
)
from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.events import TaskEventType
from taskcore.domain.ids import MAX_ID
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Page, Removal, TrashPosition

_BEFORE_ALL = TrashPosition(datetime.min.replace(tzinfo=UTC), TaskId(0))
_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_BEYOND_ALL = TrashPosition(datetime.max, TaskId(MAX_ID))  # noqa: DTZ901 - compared in UTC


def _page() -> Statement:
    """Each row has the total and one task. An empty page is one row, whose task is NULL."""
    owner_id = sa.bindparam("owner_id", type_=sa.BigInteger())
    before = sa.bindparam("deleted_before", type_=sa.DateTime(timezone=True))
    lowest = sa.cast(sa.literal_column("'-infinity'"), sa.DateTime(timezone=True))
    page = (
        in_index_order(
            sa.select(*columns_of_tasks(trash), trash.c.deleted_at),
            [trash.c.owner_id, trash.c.deleted_at, trash.c.id],
            low=[streams.c.owner_id, lowest, sa.literal_column("0")],
            below=[streams.c.owner_id, before, sa.bindparam("id_before", type_=sa.BigInteger())],
        )
        .limit(sa.bindparam("limit", type_=sa.BigInteger()))
        .offset(sa.bindparam("skip", type_=sa.BigInteger()))
        .lateral("page")
    )
    return Statement(
        sa.select(streams.c.in_trash, *page.c)
        .select_from(streams.join(page, sa.true(), isouter=True))
        .where(streams.c.owner_id == owner_id, ~streams.c.removed)
        .order_by(page.c.deleted_at.desc(), page.c.id.desc())
    )


def _restore(*, waits: bool) -> BatchedStatement:
    taken = moved(trash, writes("edition", "updated_at", waits=waits, words=sa.Text()))
    restored = sa.insert(tasks).from_select(STORED, sa.select(*(taken.c[name] for name in STORED)))
    searched = sa.insert(task_words).from_select(
        ["owner_id", "task_id", "words"],
        sa.select(taken.c.owner_id, taken.c.id, vector(taken.c.words)),
    )
    log = logged(taken, TaskEventType.RESTORED, of_moved(taken))
    return BatchedStatement(
        sa.select(taken.c.number).add_cte(
            restored.cte("restored"), searched.cte("searched"), *counted(log, live=1, in_trash=-1)
        ),
        words="words",
        waits=waits,
    )


def _purge(found: sa.CTE, head: sa.CTE) -> tuple[sa.CTE, tuple[sa.CTE, ...]]:
    """Deletes the tasks in `found`, which has a row for each: its id, who purges it, and when.

    Also deletes up to ERASED_AT_ONCE of the oldest events of each, because events hold what the
    tasks held. Returns the deleted tasks (`number` is their id, by which `numbered` orders their
    events), and the other parts of the statement.
    """
    # An array, because PostgreSQL would plan a join as if it deleted a tenth of the table.
    ids = sa.func.array(sa.select(found.c.id).scalar_subquery())
    gone = (
        sa.delete(trash)
        .where(trash.c.id == sa.any_(ids))
        .returning(
            trash.c.owner_id, trash.c.id.label("number"), (trash.c.edition + _ONE).label("version")
        )
        .cte("gone")
    )
    by = (
        sa.select(*gone.c, found.c.actor_id, found.c.at)
        .join(found, found.c.id == gone.c.number)
        .subquery("by")
    )
    purged = numbered(by, head)
    erased, has_more = erasure(purged, purged.c.number)
    of = Logged(purged.c.owner_id, purged.c.number, purged.c.version, purged.c.at)
    log = logged(purged, TaskEventType.PURGED, of, unerased=has_more)
    return gone, (erased, *counted(log, in_trash=-1, erased=erased))


def _purge_one(*, waits: bool) -> BatchedStatement:
    """Of several requests for one task the first succeeds."""
    batch = batch_of(
        owner_id=sa.BigInteger(),
        task_id=sa.BigInteger(),
        actor_id=sa.BigInteger(),
        at=sa.DateTime(timezone=True),
    )
    head = heads(sa.select(batch.c.owner_id), waits=waits)
    same = sa.and_(trash.c.owner_id == batch.c.owner_id, trash.c.id == batch.c.task_id)
    found = (
        sa.select(batch.c.number, batch.c.actor_id, batch.c.at, trash.c.owner_id, trash.c.id)
        .select_from(batch.join(head, head.c.owner_id == batch.c.owner_id).join(trash, same))
        .ext(distinct_on(trash.c.id))
        .order_by(trash.c.id, batch.c.number)
        .cte("found")
    )
    gone, parts = _purge(found, head)
    return BatchedStatement(
        sa.select(found.c.number).join(gone, gone.c.number == found.c.id).add_cte(*parts),
        waits=waits,
    )


def _purge_old() -> Statement:
    """Returns one row of what was purged.

    Whether it was this transaction's turn, how many tasks it has purged, how many it has looked
    at, and the position of the last of these (NULLs if it found none).
    """
    turn = TURN.cte("turn")  # a CTE, so that the lock function runs only once
    mine = sa.select(*turn.c).scalar_subquery()
    moment = sa.DateTime(timezone=True)
    position = (trash.c.deleted_at, trash.c.id)
    after = (
        sa.bindparam("deleted_after", type_=moment),
        sa.bindparam("id_after", type_=sa.BigInteger()),
    )
    old = (
        sa.select(trash.c.owner_id, *position)
        .where(
            mine,
            trash.c.deleted_at < sa.bindparam("before", type_=moment),
            sa.tuple_(*position) > sa.tuple_(*after),
        )
        .order_by(*position)
        .limit(sa.bindparam("limit", type_=sa.BigInteger()))
        .cte("old")
    )
    last = (
        sa.select(sa.func.count().over().label("found"), old.c.deleted_at, old.c.id)
        .order_by(old.c.deleted_at.desc(), old.c.id.desc())
        .limit(sa.literal_column("1"))
        .subquery("last")
    )
    owners = sa.func.array(sa.select(old.c.owner_id).scalar_subquery())
    head = heads(sa.select(sa.func.unnest(owners)), waits=False)
    found = (
        sa.select(
            old.c.owner_id,
            old.c.id,
            sa.cast(sa.null(), sa.BigInteger).label("actor_id"),  # the system
            sa.bindparam("at", type_=moment).label("at"),
        )
        .join(head, head.c.owner_id == old.c.owner_id)
        .cte("found")
    )
    gone, parts = _purge(found, head)
    number = sa.select(sa.func.count()).select_from(gone).scalar_subquery()
    turn_and_count = (
        sa.select(mine.label("mine"), number.label("count")).add_cte(*parts).subquery("removed")
    )
    return Statement(
        sa.select(*turn_and_count.c, *last.c).select_from(
            turn_and_count.join(last, sa.true(), isouter=True)
        )
    )


_GET = get(trash, "deleted_at")
_OWNER_OF = owner_of(trash)
_PAGE = _page()
_RESTORE, _RESTORE_WAITING = _restore(waits=False), _restore(waits=True)
_PURGE, _PURGE_WAITING = _purge_one(waits=False), _purge_one(waits=True)
_PURGE_OLD = _purge_old()


@dataclass(slots=True)
class PostgresTrash(TasksOfTable):
    _get = _GET
    _owner_of = _OWNER_OF

    async def page(
        self, owner_id: UserId, *, skip: int, limit: int, after: TrashPosition | None = None
    ) -> Page[Task]:
        before = after or _BEYOND_ALL
        rows = await self._link.in_turn(
            _PAGE,
            owner_id=owner_id,
            deleted_before=before.deleted_at,
            id_before=min(before.task_id, MAX_ID),
            skip=skip,
            limit=limit + 1,  # one more, to see whether this is the last page
        )
        items = [task_of(row[1:]) for row in rows[:limit] if row[1] is not None]
        return Page(items, rows[0][0] if rows else 0, has_more=len(rows) > limit)

    async def restore(self, task: Task, *, was: Task, by: UserId | None = None) -> None:
        values = write_values(task, was, by)
        async with self._link.turn_for(task.description):
            values["words"] = words_vector(task)
            if not (
                await self._link.batched(_RESTORE, **values)
                or await self._link.batched(_RESTORE_WAITING, **values)
            ):
                raise StaleWrite

    async def purge(
        self, owner_id: UserId, task_id: TaskId, *, at: datetime, by: UserId | None = None
    ) -> None:
        values = {"owner_id": owner_id, "task_id": task_id, "at": at, "actor_id": by}
        if not (
            await self._link.batched(_PURGE, **values)
            or await self._link.batched(_PURGE_WAITING, **values)
        ):
            raise NotFound

    async def purge_old(
        self, before: datetime, limit: int, *, at: datetime, after: TrashPosition | None = None
    ) -> Removal:
        begin = after or _BEFORE_ALL
        (turn, count, found, *last), tried = await fewer_if_slow(
            self._link,
            _PURGE_OLD,
            limit,
            before=before,
            at=at,
            deleted_after=begin.deleted_at,
            id_after=begin.task_id,
        )
        place = TrashPosition(*last) if found else None
        return Removal(count, more=not turn or found == tried, place=place, tried=tried)
