"""Searches: the tasks of an account that have all words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY

from taskcore.adapters.postgres.schema import FILTERED, task_words, tasks
from taskcore.adapters.postgres.statements import in_index_order
from taskcore.adapters.postgres.task_filters import (
    BIG,
    HIGHEST_ID,
    LOWEST_ID,
    OWNER,
    SORTED_BY,
    Shape,
    bind,
    conditions,
    high,
    one,
    ordered,
    position,
)
from taskcore.domain.queries import MAX_RANKED, Sort

# A search looks first at the newest tasks of the account, one by one, at most so many. It finds a
# common word there often enough; the index would list all tasks with the word.
_RECENT = 5000


class Matches(NamedTuple):
    """The tasks of a list, as a SELECT in the list's order."""

    rows: sa.Select[Any]
    key: Sequence[str]
    """The columns that it is ordered by; the last one is `id`."""
    number: sa.ColumnElement[int] | None = None
    """How many rows there are, if that is counted."""
    total: sa.ColumnElement[int] | None = None
    """The same, or NULL where there are more than a total goes up to."""


def searched(shape: Shape) -> Matches:
    found = _newest(shape) if shape.sort in {Sort.RELEVANCE, Sort.NEWEST} else _all(shape)
    number = sa.select(sa.func.count()).select_from(found).scalar_subquery()
    exact = number <= sa.literal_column(str(MAX_RANKED))
    total = sa.case((exact, number)) if shape.counted else None
    rows: sa.Select[Any] = sa.select(*found.c)
    if shape.sort is Sort.RELEVANCE:
        newest = (
            rows.order_by(found.c.id.desc())
            .limit(sa.literal_column(str(MAX_RANKED)))
            .subquery("newest")
        )
        rank = one(task_words.c.task_id, newest.c.id, [_rank().label("by")])
        rows = sa.select(rank.c.by, newest.c.id).join(rank, sa.true())
    part = rows.subquery("placed")
    key = [column.key for column in part.c]
    selected = sa.select(*part.c)
    if shape.goes_on:
        place, last = sa.tuple_(*part.c), sa.tuple_(*position(shape.sort))
        selected = selected.where(place < last if shape.sort.descends else place > last)
    selected = selected.order_by(*(ordered(column, shape.sort) for column in part.c))
    # Only where it is all that match: else fewer are counted than there are.
    counts_all = shape.counted and shape.sort is not Sort.NEWEST
    return Matches(selected, key, number if counts_all else None, total)


def _has_words(words: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return words.bool_op("@@")(sa.cast(bind("query", sa.Text()), TSQUERY))


def _rank() -> sa.ColumnElement[int]:
    """How many of the words are in the title: the domain's `Search.rank`."""
    titles = sa.cast(bind("titles", sa.ARRAY(sa.Text)), sa.ARRAY(TSQUERY))
    title: Any = sa.func.unnest(titles).column_valued("title")
    found = sa.select(sa.func.count()).where(task_words.c.words.bool_op("@@")(title))
    return sa.cast(found.scalar_subquery(), sa.SmallInteger)


def _with_words(rows: sa.FromClause) -> sa.Select[tuple[int]]:
    """The ids of the tasks.

    No condition on the owner, whom each word names: for one, the planner would rather read all
    words of the account.
    """
    return sa.select(rows.c.task_id.label("id")).where(_has_words(rows.c.words))


def _filtered(ids: sa.Select[tuple[int]], shape: Shape, *more: str) -> sa.Select[Any]:
    """Those whose tasks pass the filters, and more columns of them.

    As an array, which is compared with an index in one go: many matches would take one look-up
    each. The offset has the filters wait until then, else the planner may prefer another index.
    """
    if not (shape.filters or more):
        return ids
    numbers = sa.func.array(ids.scalar_subquery())
    known = (
        sa.select(tasks.c.id, *(tasks.c[name] for name in FILTERED))
        .where(tasks.c.owner_id == OWNER, tasks.c.id == sa.any_(numbers))
        .offset(LOWEST_ID)
        .subquery("known")
    )
    columns = [*(known.c[name].label("by") for name in more), known.c.id]
    return sa.select(*columns).where(*conditions(shape.filters, known))


def _all(shape: Shape) -> sa.CTE:
    by = SORTED_BY[shape.sort]
    more = [] if by is tasks.c.id else [str(by.key)]
    return _filtered(_with_words(task_words), shape, *more).cte("found")


def _newest(shape: Shape) -> sa.CTE:
    """At least as many as are ranked or shown, if there are."""
    most = sa.func.greatest(
        sa.literal_column(str(MAX_RANKED + 1)), bind("skip", BIG) + bind("limit", BIG)
    )
    # By relevance, a position says nothing about an id.
    before = high(shape)[-1] if shape.sort is Sort.NEWEST else HIGHEST_ID
    newest = in_index_order(
        sa.select(*task_words.c),
        [task_words.c.owner_id, task_words.c.task_id],
        low=[OWNER, LOWEST_ID],
        below=[OWNER, before],
    )
    recent = newest.limit(sa.literal_column(str(_RECENT))).subquery("recent")
    matching = _with_words(recent)
    if shape.filters:
        passing = _filtered(matching, shape).subquery("passing")
        matching = sa.select(passing.c.id).order_by(passing.c.id.desc())
    else:  # in the order of the scan, so that it ends when there are enough
        matching = matching.order_by(recent.c.owner_id.desc(), recent.c.task_id.desc())
    first = matching.limit(most).cte("first")
    edge = (
        newest.with_only_columns(task_words.c.task_id)
        .offset(sa.literal_column(str(_RECENT - 1)))
        .limit(sa.literal_column("1"))
        .scalar_subquery()
    )
    is_short = sa.select(sa.func.count()).select_from(first).scalar_subquery() < most
    then = (
        _filtered(_with_words(task_words).where(task_words.c.task_id < edge), shape)
        .where(is_short, edge.is_not(None))
        .cte("then")
    )
    both = sa.union_all(sa.select(first.c.id), sa.select(then.c.id)).subquery("both")
    return sa.select(both.c.id).order_by(both.c.id.desc()).limit(most).cte("found")
