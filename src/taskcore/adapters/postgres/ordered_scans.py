"""The order of a list of tasks: what its rows are compared by, and where its pages begin.

`domain/task_orders.py` has the same order for one task.

Tasks without a due come last, by `due_key` there, which is stored as `due_sort`.
"""

from typing import Any

import sqlalchemy as sa

from taskcore.adapters.postgres.schema import tasks
from taskcore.adapters.postgres.statements import in_index_order
from taskcore.adapters.postgres.task_filters import (
    ALL,
    BIG,
    DUE,
    HIDDEN_OWNER,
    HIGHEST_ID,
    LOWEST_ID,
    NUMBER,
    OWNER,
    UPDATED_FROM,
    Shape,
    bind,
    conditions,
)
from taskcore.domain.task_orders import Sort

SORTED_BY: dict[Sort, sa.ColumnElement[Any]] = {
    Sort.NEWEST: tasks.c.id,
    Sort.OLDEST: tasks.c.id,
    Sort.DUE: tasks.c.due_sort,
    Sort.UPDATED: tasks.c.updated_at,
    Sort.PRIORITY: tasks.c.priority,
}
_ENDS: dict[sa.ColumnElement[Any], tuple[str, str]] = {
    tasks.c.due_sort: ("'-infinity'::timestamptz", "'infinity'::timestamptz"),
    tasks.c.updated_at: ("'-infinity'::timestamptz", "'infinity'::timestamptz"),
    tasks.c.priority: ("-1::smallint", "32767::smallint"),
}

Bound = list[sa.ColumnElement[Any]]


def in_order(shape: Shape) -> sa.Select[Any]:
    """The tasks that pass the filters, in the list's order: what they are sorted by, and the id."""
    by = SORTED_BY[shape.sort]
    key = [tasks.c.id] if by is tasks.c.id else [by, tasks.c.id]
    return in_index_order(
        sa.select(*_listed(shape.sort)).where(*conditions(shape.filters)),
        [tasks.c.owner_id, *key],
        low=[HIDDEN_OWNER, *_low(shape)],
        below=[HIDDEN_OWNER, *high(shape)],
        descends=shape.sort.descends,
    )


def looked_up(sort: Sort, ids: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """The columns of `in_order`, for the tasks with the ids in this array, in any order."""
    return (
        sa.select(*_listed(sort))
        .where(tasks.c.owner_id == OWNER, tasks.c.id == sa.any_(ids))
        .offset(LOWEST_ID)
    )


def _listed(sort: Sort) -> list[sa.ColumnElement[Any]]:
    by = SORTED_BY[sort]
    return [tasks.c.id] if by is tasks.c.id else [by.label("by"), tasks.c.id]


def counted(filters: frozenset[str]) -> sa.Select[Any]:
    """The tasks that pass the filters, read from the index that has the fewest to test.

    Filters by due or change add an order and a limit, which change nothing but make the planner
    take that index.
    """
    rows = sa.select(tasks.c.id).where(*conditions(filters))
    for name, by in (("due", tasks.c.due_sort), ("updated_from", tasks.c.updated_at)):
        if name in filters:
            low, high = _ends(by, filters)
            key = [tasks.c.owner_id, by, tasks.c.id]
            return in_index_order(
                rows, key, low=[HIDDEN_OWNER, *low], below=[HIDDEN_OWNER, *high]
            ).limit(ALL)
    if "label_keys" in filters:
        # The index itself drops tasks without labels, in a third of the time that it takes to hand
        # a row out and test it.
        rows = rows.where(tasks.c.label_hashes.is_not(None))
    # Takes two thirds of the time of comparing whole rows, and any index will do.
    return rows.where(tasks.c.owner_id >= HIDDEN_OWNER, tasks.c.owner_id <= HIDDEN_OWNER)


def _low(shape: Shape) -> Bound:
    """The lower bound of the sorted columns; excluded if it is a position."""
    if shape.goes_on and not shape.sort.descends:
        return position(shape.sort)
    return _ends(SORTED_BY[shape.sort], shape.filters)[0]


def high(shape: Shape) -> Bound:
    if shape.goes_on and shape.sort.descends:
        return position(shape.sort)
    return _ends(SORTED_BY[shape.sort], shape.filters)[1]


def _ends(by: sa.ColumnElement[Any], filters: frozenset[str]) -> tuple[Bound, Bound]:
    if by is tasks.c.id:
        return [LOWEST_ID], [HIGHEST_ID]
    least: sa.ColumnElement[Any] = sa.literal_column(_ENDS[by][0])
    greatest: sa.ColumnElement[Any] = sa.literal_column(_ENDS[by][1])
    if by is tasks.c.due_sort and "due" in filters:
        least, greatest = DUE
    elif by is tasks.c.updated_at and "updated_from" in filters:
        least = UPDATED_FROM
    return [least, LOWEST_ID], [greatest, HIGHEST_ID]


def position(sort: Sort) -> list[sa.ColumnElement[Any]]:
    after_id = bind("after_id", BIG)
    by = SORTED_BY.get(sort)
    if by is tasks.c.id:
        return [after_id]
    return [bind("after_key", NUMBER if by is None else by.type), after_id]


def ordered(column: sa.ColumnElement[Any], sort: Sort) -> sa.ColumnElement[Any]:
    return column.desc() if sort.descends else column.asc()
