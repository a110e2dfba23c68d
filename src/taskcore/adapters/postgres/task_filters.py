"""Filters of tasks as conditions, and the arguments of a list's statement.

`TaskFilter` in `domain/task_queries.py` has the same rules for one task.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.schema import tasks
from taskcore.adapters.postgres.task_rows import NUMBERS, label_hash
from taskcore.domain.dues import LAST, DueRange
from taskcore.domain.ids import MAX_ID
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import TaskFilter

BIG, MOMENT, NUMBER = sa.BigInteger(), sa.DateTime(timezone=True), sa.SmallInteger()
LOWEST_ID: sa.ColumnElement[int] = sa.literal_column("0")  # all ids are greater
HIGHEST_ID: sa.ColumnElement[int] = sa.literal_column(str(MAX_ID))
# A limit that the planner does not know.
ALL = sa.select(HIGHEST_ID).scalar_subquery()
_FIRST = datetime.min.replace(tzinfo=UTC)
OWNER = sa.bindparam("owner_id", type_=BIG)
# The owner, unknown to the planner. For a known owner it may expect next to no rows, take an index
# of another order and sort; or nearly all rows, and read those of all accounts.
HIDDEN_OWNER = sa.select(OWNER).scalar_subquery()

_FILTERS = (
    *("statuses", "priorities", "label_keys", "due"),
    *("completed", "updated_from"),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the statement of a list depends on; everything else is an argument of it."""

    filters: frozenset[str]
    sort: Sort
    words: bool
    """Whether words are searched for."""
    goes_on: bool
    """Whether the page begins behind a position."""
    counted: bool

    @classmethod
    def of(cls, of: TaskFilter, sort: Sort, *, goes_on: bool) -> "Shape":
        used = {name for name in _FILTERS if getattr(of, name, None) is not None}
        if of.completed_from or of.completed_until:
            used.add("completed")
        words = of.search is not None
        return cls(
            frozenset(used), sort, words, goes_on, counted=not goes_on or not (used or words)
        )


def bind(name: str, kind: Any) -> sa.BindParameter[Any]:  # noqa: ANN401 - the type of any column
    return sa.bindparam(name, type_=kind)


_AT = bind("at_from", MOMENT), bind("at_until", MOMENT)
_DAY = bind("day_from", MOMENT), bind("day_until", MOMENT)
DUE = sa.func.least(_AT[0], _DAY[0]), sa.func.greatest(_AT[1], _DAY[1])
UPDATED_FROM = bind("updated_from", MOMENT)


def conditions(
    filters: frozenset[str], rows: sa.FromClause = tasks
) -> list[sa.ColumnElement[bool]]:
    """The conditions of these filters, on columns that every index of a list holds."""
    of_task = rows.c
    due = of_task.due_sort
    of: dict[str, list[sa.ColumnElement[bool]]] = {
        "statuses": [of_task.status == sa.any_(bind("statuses", sa.ARRAY(NUMBER)))],
        "priorities": [of_task.priority == sa.any_(bind("priorities", sa.ARRAY(NUMBER)))],
        "label_keys": [of_task.label_hashes.bool_op("&&")(bind("hashes", sa.ARRAY(BIG)))],
        # The index is searched for days and moments together; the case tells them apart.
        "due": [
            due >= DUE[0],
            due < DUE[1],
            sa.case(
                (of_task.due_date.is_(None), sa.and_(due >= _AT[0], due < _AT[1])),
                else_=sa.and_(due >= _DAY[0], due < _DAY[1]),
            ),
        ],
        "completed": [
            of_task.completed_at >= bind("completed_from", MOMENT),
            of_task.completed_at <= bind("completed_last", MOMENT),
        ],
        "updated_from": [of_task.updated_at >= UPDATED_FROM],
    }
    return [condition for name in _FILTERS if name in filters for condition in of[name]]


def one(
    number: sa.Column[int],
    value: sa.ColumnElement[int],
    columns: Sequence[sa.ColumnElement[Any]],
) -> Any:  # noqa: ANN401 - a lateral subquery
    """The row of the account with this number.

    The limit makes PostgreSQL find each by its key. A join would be planned for many rows, as the
    planner does not know how few a page has, and then read the rows of all accounts.
    """
    table = number.table
    return (
        sa.select(*columns)
        .where(table.c.owner_id == OWNER, number == value)
        .limit(sa.literal_column("1"))
        .lateral(f"one_of_{table.name}")
    )


def arguments(of: TaskFilter, after: TaskPosition | None) -> dict[str, Any]:
    """The arguments of `conditions` and `in_order`."""
    values: dict[str, Any] = {
        "completed_from": of.completed_from or _FIRST,
        "completed_last": _before(of.completed_until),
        "updated_from": of.updated_from,
    }
    if of.statuses is not None:
        values["statuses"] = _numbers("status", of.statuses)
    if of.priorities is not None:
        values["priorities"] = _numbers("priority", of.priorities)
    if of.label_keys is not None:
        values["hashes"] = sorted(map(label_hash, of.label_keys))
    if of.due is not None:
        values |= _bounds(of.due)
    if after is not None:
        values |= {"after_key": after.key, "after_id": min(after.task_id, MAX_ID)}
    return values


def _numbers(field: str, words: Iterable[StrEnum]) -> list[int]:
    """Sorted, so that equal filters have equal arguments."""
    return sorted(NUMBERS[field][word] for word in words)


def _bounds(due: DueRange) -> dict[str, datetime]:
    """The arguments of a range. A task without a due has LAST, which is below no end."""
    return {
        "at_from": due.at_from or _FIRST,
        "at_until": due.at_until or LAST,
        "day_from": _at_utc_midnight(due.date_from, _FIRST),
        "day_until": _at_utc_midnight(due.date_until, LAST),
    }


def _at_utc_midnight(day: date | None, otherwise: datetime) -> datetime:
    return otherwise if day is None else datetime.combine(day, time(), UTC)


def _before(until: datetime | None) -> datetime:
    """The last moment before `until`, or the first of all, at which no task was completed."""
    if until is None:
        return LAST
    return until - timedelta(microseconds=1) if until > _FIRST else _FIRST
