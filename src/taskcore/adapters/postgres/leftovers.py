"""What housekeeping counts and removes in PostgreSQL.

A method is one round trip, except where noted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.account_tables import idempotency_keys, sessions, users
from taskcore.adapters.postgres.connections import Link
from taskcore.adapters.postgres.event_rows import ROW, deleted
from taskcore.adapters.postgres.removals import TURN, fewer_if_slow
from taskcore.adapters.postgres.schema import events, streams, task_words, tasks, trash
from taskcore.adapters.postgres.statements import Statement, in_index_order
from taskcore.domain.ids import MAX_ID
from taskcore.ports import Batch, Leftovers
from taskcore.ports.leftovers import COUNTED

REMOVED = sa.select(users.c.id).where(users.c.removed_at.is_not(None))
_COUNTS = (
    sa.select(sa.func.count()).select_from(REMOVED.subquery()).scalar_subquery(),
    sa.select(
        sa.func.coalesce(sa.func.sum(streams.c.live + streams.c.in_trash), sa.literal_column("0"))
    )
    .where(streams.c.removed)
    .scalar_subquery(),
)
_COUNT = Statement(sa.select(*_COUNTS))


def _counted(table: sa.FromClause, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    one: sa.ColumnElement[int] = sa.literal_column("1")
    most: sa.ColumnElement[int] = sa.literal_column(str(COUNTED))
    found = sa.select(one).select_from(table).where(*where).limit(most)
    return sa.select(sa.func.count()).select_from(found.subquery()).scalar_subquery()


def _before(name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=events.c.at.type)


_REMOVABLE = Statement(
    sa.select(
        _counted(trash, trash.c.deleted_at < _before("trash")),
        _counted(events, events.c.at < _before("events")),
        _counted(sessions, sessions.c.expires_at <= _before("now")),
        _counted(idempotency_keys, idempotency_keys.c.at < _before("keys")),
    ).add_columns(_COUNTS[0], _COUNTS[1])
)


def _remove() -> Statement:
    """Returns a row: accounts and tasks removed, the account, its newest task, events removed."""
    account = REMOVED.where(TURN.scalar_subquery()).order_by(users.c.id).limit(1).cte("account")
    owner_id = sa.select(account.c.id).scalar_subquery()
    # Begin at the batch before this one, not below: a scan that meets its removed rows marks them
    # in the index. Otherwise the removal of the account would have to visit all of them once more.
    upto = sa.case(
        (owner_id == sa.bindparam("owner_id", type_=sa.BigInteger), sa.bindparam("upto")),
        else_=sa.literal_column(str(MAX_ID)),
    )
    found = _newest(owner_id, upto).cte("found")
    some = sa.exists(sa.select(found.c.id))
    # A batch has tasks or, when there are none left, tasks in the trash.
    thrown = _thrown(owner_id).where(~some).cte("thrown")
    gone = _deleted(tasks, tasks.c.id, owner_id, found).cte("gone")
    emptied = _deleted(trash, trash.c.id, owner_id, thrown).cte("emptied")
    unsearched = _deleted(task_words, task_words.c.task_id, owner_id, found).cte("unsearched")
    # Last its events. A writer finds the row of the account removed, so no event can follow.
    no_task = ~sa.or_(some, sa.exists(sa.select(thrown.c.id)))
    log = _events(owner_id).where(no_task).cte("log")
    unlogged = deleted(sa.select(log.c.row), "unlogged")
    nothing = sa.and_(no_task, ~sa.exists(sa.select(log.c.row)))
    ended = (
        sa.delete(users).where(users.c.id == owner_id, nothing).returning(users.c.id).cte("ended")
    )

    def count(*of: sa.CTE) -> sa.ColumnElement[int]:
        numbers = [sa.select(sa.func.count()).select_from(each).scalar_subquery() for each in of]
        return sum(numbers[1:], start=numbers[0])

    left = (
        sa.update(streams)
        .where(streams.c.owner_id == owner_id)
        .values(
            live=streams.c.live - sa.cast(count(gone), sa.Integer),
            in_trash=streams.c.in_trash - sa.cast(count(emptied), sa.Integer),
        )
        .where(~nothing)
        .cte("left")
    )
    newest = sa.select(sa.func.max(found.c.id)).scalar_subquery()
    return Statement(
        sa.select(count(ended), count(gone, emptied), owner_id, newest, count(log)).add_cte(
            unsearched, unlogged, left
        )
    )


def _newest(owner_id: sa.ColumnElement[Any], upto: sa.ColumnElement[Any]) -> sa.Select[tuple[int]]:
    """The tasks of the account, newest first, as lists show them.

    Compares rows, so that only the index on both columns fits: the planner would take the one on
    the id alone for an owner of many tasks, and read the tasks of all others when few are left.
    """
    key = sa.tuple_(tasks.c.owner_id, tasks.c.id)
    return (
        sa.select(tasks.c.id)
        .where(key > sa.tuple_(owner_id, sa.literal_column("0")), key <= sa.tuple_(owner_id, upto))
        .order_by(tasks.c.owner_id.desc(), tasks.c.id.desc())
        .limit(sa.bindparam("limit", type_=sa.BigInteger))
    )


def _thrown(owner_id: sa.ColumnElement[Any]) -> sa.Select[tuple[int]]:
    """The account's tasks in the trash, by the only index that begins with the owner."""
    first: sa.ColumnElement[Any] = sa.literal_column("'-infinity'::timestamptz")
    last: sa.ColumnElement[Any] = sa.literal_column("'infinity'::timestamptz")
    highest: sa.ColumnElement[int] = sa.literal_column(str(MAX_ID))
    return in_index_order(
        sa.select(trash.c.id),
        [trash.c.owner_id, trash.c.deleted_at, trash.c.id],
        low=[owner_id, first, sa.literal_column("0")],
        below=[owner_id, last, highest],
    ).limit(sa.bindparam("limit", type_=sa.BigInteger))


def _events(owner_id: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return in_index_order(
        sa.select(ROW.label("row")),
        [events.c.owner_id, events.c.position],
        low=[owner_id, sa.literal_column("0")],
        below=[owner_id, sa.literal_column(str(MAX_ID))],
        descends=False,
    ).limit(sa.bindparam("limit", type_=sa.BigInteger))


def _deleted(
    table: sa.Table,
    number: sa.ColumnElement[int],
    owner_id: sa.ColumnElement[Any],
    found: sa.CTE,
) -> sa.sql.dml.ReturningDelete[tuple[int]]:
    # An array, because PostgreSQL would plan a join as if it deleted a tenth of the table.
    ids = sa.func.array(sa.select(found.c.id).scalar_subquery())
    return (
        sa.delete(table)
        .where(table.c.owner_id == owner_id, number == sa.any_(ids))
        .returning(table.c.owner_id)
    )


_REMOVE = _remove()


@dataclass(slots=True)
class PostgresLeftovers:
    _link: Link

    async def count(self) -> Leftovers:
        ((accounts, of_tasks),) = await self._link.rows(_COUNT)
        return Leftovers(accounts, of_tasks)

    async def removable(
        self, *, now: datetime, trash: datetime, events: datetime, keys: datetime
    ) -> Mapping[str, int]:
        (row,) = await self._link.rows(_REMOVABLE, now=now, trash=trash, events=events, keys=keys)
        names = ("trash", "events", "sessions", "keys", "accounts", "tasks")
        return dict(zip(names, row, strict=True))

    async def remove(self, limit: int, *, after: Batch | None = None) -> Batch:
        """Tries again with a quarter of the tasks each time that the database takes too long."""
        last = after or Batch(0, 0)
        row, _ = await fewer_if_slow(
            self._link, _REMOVE, limit, owner_id=last.owner_id, upto=last.upto
        )
        return Batch(*row)
