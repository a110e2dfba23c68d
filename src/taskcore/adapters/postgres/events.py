"""The log of tasks in PostgreSQL. A method is one round trip, except where noted.

What an event says, and how long it is kept: `domain/events.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

import sqlalchemy as sa

from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.event_removals import ERASE, REMOVE_OLD, SHORTEN
from taskcore.adapters.postgres.event_rows import (
    COLUMNS,
    behind,
    event_of,
    parsed,
    size_of,
)
from taskcore.adapters.postgres.removals import fewer_if_slow, removed
from taskcore.adapters.postgres.schema import epochs, events, streams, tasks
from taskcore.adapters.postgres.statements import Statement, in_index_order
from taskcore.adapters.postgres.task_rows import columns_of_tasks, task_of, texts_at
from taskcore.domain.errors import CursorExpired, HistoryGone
from taskcore.domain.events import (
    MAX_CHANGES_BYTES,
    TaskEvent,
    Value,
    fitting,
    text_length,
    text_size,
)
from taskcore.domain.ids import MAX_ID
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import ChangedTask, ChangesPage, LogPosition, Page, Removal

_BIG = sa.BigInteger()
_BIGS = sa.ARRAY(_BIG)
_ZERO: sa.ColumnElement[int] = sa.literal_column("0")
_OWNER, _TASK = sa.bindparam("owner_id", type_=_BIG), sa.bindparam("task_id", type_=_BIG)
_LIMIT = sa.bindparam("limit", type_=_BIG)
_BOUND: sa.ColumnElement[int] = sa.literal_column(str(MAX_CHANGES_BYTES))
# So many events are read at a time. Longer pages take turns with those of others.
_PART = 100
_BYTES_OF_CHARACTER = 4  # at most, in UTF-8
_TASK_BEGINS = 5  # the column of a row of changes

_STREAM = (
    sa.select(epochs.c.epoch, streams.c.head, streams.c.floor)
    .select_from(epochs)
    .join(streams, sa.and_(streams.c.owner_id == _OWNER, ~streams.c.removed), isouter=True)
)
_END = Statement(_STREAM)
_ENDS = Statement(
    sa.select(streams.c.owner_id, streams.c.head).where(
        streams.c.owner_id == sa.any_(sa.bindparam("owner_ids", type_=sa.ARRAY(_BIG)))
    )
)


def _changes() -> Statement:
    """A row of the stream, with the events that were read, and a row for each of their tasks.

    A task that is in the trash or purged has no row. Events and tasks are put together in
    `PostgresEvents.changes`: for PostgreSQL to join and sort them costs a quarter more.
    """
    read = behind(_OWNER, sa.bindparam("after", type_=_BIG)).limit(_LIMIT).cte("read")
    in_order = [
        sa.func.array(sa.select(each).order_by(read.c.position).scalar_subquery(), type_=_BIGS)
        for each in (read.c.position, read.c.object_id)
    ]
    ids = sa.func.array(sa.select(read.c.object_id).scalar_subquery(), type_=_BIGS)
    stream = _STREAM.add_columns(*in_order)
    now = sa.select(*(sa.null() for _ in stream.selected_columns), *columns_of_tasks(tasks)).where(
        tasks.c.owner_id == _OWNER, tasks.c.id == sa.any_(ids)
    )
    nothing = (sa.cast(sa.null(), each.type).label(each.key) for each in columns_of_tasks(tasks))
    return Statement(
        sa.union_all(stream.add_columns(*nothing), now),
        hold_more=texts_at(_TASK_BEGINS),
    )


def _history(*, counted: bool) -> Statement:
    """Rows of the total, how many events a page without a bound has, and COLUMNS.

    One row, with NULLs from the second column on, where the page is empty.
    """
    of_task = sa.and_(events.c.owner_id == _OWNER, events.c.object_id == _TASK)
    # Without the owner in the order, of which the primary key has a part: PostgreSQL would read all
    # events of the account by it, and sort them.
    page = (
        in_index_order(
            sa.select(*(events.c[name] for name in COLUMNS)).where(events.c.owner_id == _OWNER),
            [events.c.object_id, events.c.position],
            low=[_TASK, _ZERO],
            below=[_TASK, sa.bindparam("before", type_=_BIG)],
        )
        .limit(_LIMIT)
        .offset(sa.bindparam("skip", type_=_BIG))
        .subquery("page")
    )
    size = size_of(page.c.changes)
    before = sa.func.sum(size).over(order_by=page.c.position.desc()) - size
    sized = sa.select(
        sa.func.count().over().label("found"), *page.c, before.label("before")
    ).subquery("sized")
    told = (
        sa.select(*(each for each in sized.c if each is not sized.c.before))
        .where(sized.c.before < _BOUND)
        .subquery("told")
    )
    number = sa.select(
        sa.select(sa.func.count()).select_from(events).where(of_task).scalar_subquery()
        if counted
        else sa.cast(sa.null(), _BIG)
    ).subquery("number")
    return Statement(
        sa.select(*number.c, *told.c)
        .select_from(number.join(told, sa.true(), isouter=True))
        .order_by(told.c.position.desc())
    )


def _version() -> Statement:
    """A row for each field changed behind a version, and its first change; and one without a field.

    The number of a row: how many events have changed the field; without one, how many there are.
    """
    since, upto = sa.bindparam("version", type_=_BIG), sa.bindparam("of", type_=_BIG)
    # As many as there should be, the newest first: older ones are read only if some are gone.
    newest = (
        in_index_order(
            sa.select(events.c.position, events.c.version, events.c.changes).where(
                events.c.owner_id == _OWNER, events.c.version <= upto
            ),
            [events.c.object_id, events.c.position],
            low=[_TASK, _ZERO],
            below=[_TASK, sa.literal_column(str(MAX_ID))],
        )
        .limit(upto - since)
        .subquery("newest")
    )
    later = sa.select(*newest.c).where(newest.c.version > since).subquery("later")
    # Without their values, which would be sorted with them: thousands of long texts.
    names = sa.func.jsonb_object_keys(later.c.changes).table_valued("key").render_derived("names")
    field = sa.union_all(
        sa.select(sa.cast(names.c.key, sa.Text).label("key")),
        sa.select(sa.cast(sa.null(), sa.Text)),
    ).lateral("field")
    position, number = sa.func.min(later.c.position), sa.func.count()
    firsts = (
        sa.select(field.c.key, position.label("position"), number.label("number"))
        .select_from(later.join(field, sa.true()))
        .group_by(field.c.key)
        .subquery("firsts")
    )
    value = (
        sa.select(events.c.changes.op("->")(firsts.c.key))
        .where(events.c.owner_id == _OWNER, events.c.position == firsts.c.position)
        .scalar_subquery()
    )
    return Statement(sa.select(firsts.c.number, firsts.c.key, value))


_CHANGES = _changes()
_HISTORY, _HISTORY_COUNTED = _history(counted=False), _history(counted=True)
_VERSION = _version()


def _reach_bound(tasks: Collection[Task]) -> bool:
    if _BYTES_OF_CHARACTER * text_length(tasks) < MAX_CHANGES_BYTES:  # as nearly always
        return False
    return sum(map(text_size, tasks)) >= MAX_CHANGES_BYTES


@dataclass(slots=True)
class PostgresEvents:
    _link: Link

    async def end(self, owner_id: UserId) -> LogPosition:
        ((epoch, head, _),) = await self._link.rows(_END, owner_id=owner_id)
        return LogPosition(epoch, head or 0)

    async def ends(self, owner_ids: Sequence[UserId]) -> Mapping[UserId, int]:
        rows = await self._link.rows(_ENDS, owner_ids=list(owner_ids))
        return {UserId(owner_id): head for owner_id, head in rows}

    async def changes(self, owner_id: UserId, *, after: LogPosition, limit: int) -> ChangesPage:
        """One round trip for each _PART of the limit, until the page is long enough."""
        ask = self._link.rows if limit <= _PART else self._link.in_turn
        last: dict[TaskId, int] = {}  # the position of the last change of each
        now: dict[TaskId, Task] = {}
        epoch, position = after
        while True:
            count = min(limit, _PART)
            rows = await ask(_CHANGES, owner_id=owner_id, after=position, limit=count)
            (stream,) = [row for row in rows if row[0] is not None]
            epoch, head, floor, positions, ids = stream[:_TASK_BEGINS]
            if epoch != after.epoch or not (floor or 0) <= position <= (head or 0):
                raise CursorExpired
            last.update(zip(ids, positions, strict=True))
            for task_id in ids:  # it may have been removed since the part before was read
                now.pop(task_id, None)
            found = (row[_TASK_BEGINS:] for row in rows if row is not stream)
            now.update((task.id, task) for task in map(task_of, found))
            limit -= count
            if not limit or len(positions) < count or _reach_bound(now.values()):
                break
            position = positions[-1]
        items: Sequence[ChangedTask] = [
            ChangedTask(LogPosition(epoch, position), task_id, now.get(task_id))
            for task_id, position in sorted(last.items(), key=itemgetter(1))
        ]
        if _reach_bound(now.values()):
            items = fitting(items, lambda each: text_size(each.task))
        end = items[-1].place if items else after
        return ChangesPage(items, end, has_more=end.position < (head or 0))

    async def history(
        self, owner_id: UserId, task_id: TaskId, *, skip: int, limit: int, after: int | None = None
    ) -> Page[TaskEvent]:
        rows = await self._link.in_turn(
            _HISTORY_COUNTED if after is None else _HISTORY,
            _HISTORY,
            owner_id=owner_id,
            task_id=task_id,
            before=MAX_ID if after is None else after,
            skip=skip,
            limit=limit + 1,  # one more, to see whether this is the last page
        )
        total, found = rows[0][:2]
        items = [event_of(row[2:]) for row in rows[:limit] if found]
        return Page(items, total, has_more=(found or 0) > len(items))

    async def version(
        self, owner_id: UserId, task_id: TaskId, version: int, *, of: int
    ) -> Mapping[str, Value]:
        rows = await self._link.in_turn(
            _VERSION, owner_id=owner_id, task_id=task_id, version=version, of=of
        )
        if sum(number for number, key, _ in rows if key is None) != of - version:
            raise HistoryGone
        return {key: parsed(key, value[0]) for _, key, value in rows if key is not None}

    async def remove_old(self, before: datetime, limit: int) -> Removal:
        """Two round trips; three where no account has old events."""
        (turn, erased, cleared), _ = await fewer_if_slow(self._link, ERASE, limit)
        if not turn or erased or cleared:
            return Removal(erased + cleared, more=True)
        old = await removed(self._link, REMOVE_OLD, limit, before=before)
        if not old.count:
            old = await removed(self._link, SHORTEN, limit, before=before)
        # Of another fifty accounts there may be more.
        return Removal(old.count, more=old.more or old.count > 0)
