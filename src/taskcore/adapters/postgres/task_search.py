"""Searches: the tasks of an account that have all words.

Which words match, and how a text becomes words: `domain/search.py`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY

from taskcore.adapters.postgres.ordered_scans import SORTED_BY, high, in_order, ordered, position
from taskcore.adapters.postgres.schema import FILTERED, task_words, tasks
from taskcore.adapters.postgres.statements import in_index_order
from taskcore.adapters.postgres.task_filters import (
    ALL,
    BIG,
    HIGHEST_ID,
    LOWEST_ID,
    NUMBER,
    OWNER,
    Shape,
    bind,
    conditions,
    one,
)
from taskcore.domain.search import Search, prefixes
from taskcore.domain.task_orders import Sort
from taskcore.domain.task_queries import MAX_RANKED

# A search by relevance, or newest first, looks first at up to so many of the newest tasks of the
# account, one by one. A common word is often found there; the index would list all tasks with it.
RECENT = 5000
# In other orders, up to so many matches are all looked up and sorted; if there are more, tasks are
# read in the list's order until enough match. At least MAX_RANKED, up to which totals are exact.
FEW = 2000
# The words of so many tasks, read in that order, are looked up one by one. For those behind, all
# matches are collected, which for a word of 100 000 tasks takes as long as 20 000 look-ups.
PROBED = 5000
# How many matches a page skips and shows; and at least as many as are ranked or counted.
_SHOWN: sa.ColumnElement[int] = bind("skip", BIG) + bind("limit", BIG)
_MOST: sa.ColumnElement[int] = sa.func.greatest(sa.literal_column(str(MAX_RANKED + 1)), _SHOWN)
# Below every rank.
_UNRANKED: sa.ColumnElement[int] = sa.literal_column("-1::smallint", NUMBER)


class Matches(NamedTuple):
    """The tasks of a list, as a SELECT in the list's order."""

    rows: sa.Select[Any]
    key: Sequence[str]
    """The columns that `rows` is ordered by; the last one is `id`."""
    number: sa.ColumnElement[int] | None = None
    """How many rows there are, if they are counted."""
    total: sa.ColumnElement[int] | None = None
    """`number`, or NULL if it exceeds what totals go up to."""


Found = tuple[sa.CTE, sa.ColumnElement[int]]


def search_arguments(search: Search, owner_id: int) -> dict[str, Any]:
    """The query for all words, and one for each word in a title. Words need no escaping."""
    lexemes = [f"'{owner_id}:{word}'" for word in search.words]
    marks = ["*" if prefixes(word) else "" for word in search.words]
    each = zip(lexemes, marks, strict=True)
    asked = [f"{lexeme}:{mark}" if mark else lexeme for lexeme, mark in each]
    titles = [f"{lexeme}:{mark}A" for lexeme, mark in zip(lexemes, marks, strict=True)]
    return {"query": " & ".join(asked), "titles": titles}


def searched(shape: Shape) -> Matches:
    rows: sa.SelectBase
    match shape.sort:
        case Sort.RELEVANCE:
            found, count = _newest(shape, HIGHEST_ID, _MOST)
            rows = _by_relevance(shape, found, count)
        case Sort.NEWEST:
            found, count = _newest(shape, high(shape)[-1], _MOST)
            rows = _behind(shape, sa.select(*found.c))
        case _:
            found, count = _in_order(shape)
            rows = _behind(shape, sa.select(*found.c))
    total = sa.case((count <= _number(MAX_RANKED), count)) if shape.counted else None
    part = rows.subquery("listed")
    key = [column.key for column in part.c]
    selected = sa.select(*part.c).order_by(*(ordered(column, shape.sort) for column in part.c))
    return Matches(selected, key, None, total)


def _behind(shape: Shape, rows: sa.Select[Any]) -> sa.Select[Any]:
    """Those of the rows that are behind the position, if the page begins there."""
    if not shape.goes_on:
        return rows
    part = rows.subquery("placed")
    place, last = sa.tuple_(*part.c), sa.tuple_(*position(shape.sort))
    return sa.select(*part.c).where(place < last if shape.sort.descends else place > last)


def _by_relevance(
    shape: Shape, found: sa.CTE, count: sa.ColumnElement[int]
) -> sa.CompoundSelect[Any]:
    """The newest matches with their rank, and the older ones with a rank below all others.

    The older ones are only looked for where the page reaches behind the ranked ones.
    """
    by_id = sa.select(found.c.id).order_by(found.c.id.desc())
    newest = by_id.limit(_number(MAX_RANKED)).cte("newest")
    rank = one(task_words.c.task_id, newest.c.id, [_rank().label("by")])
    ranked = sa.select(rank.c.by, newest.c.id).join(rank, sa.true())
    if not shape.goes_on:
        rest = by_id.offset(_number(MAX_RANKED)).subquery("rest")
        older = sa.select(_UNRANKED.label("by"), rest.c.id).where(_number(MAX_RANKED) < _SHOWN)
        return sa.union_all(ranked, older)
    # The least id that is ranked; NULL if all matches are.
    least = sa.select(sa.func.min(newest.c.id).label("id"))
    border = least.where(count > _number(MAX_RANKED)).cte("border")
    edge = sa.select(border.c.id).scalar_subquery()
    after_key, after_id = position(shape.sort)
    last = sa.tuple_(sa.case((after_id < edge, _UNRANKED), else_=after_key), after_id)
    placed = ranked.subquery("placed")
    behind = sa.select(*placed.c).where(sa.tuple_(*placed.c) < last).cte("behind")
    others, _ = _newest(shape, sa.func.least(edge, after_id), _SHOWN, "older_")
    older = sa.select(_UNRANKED.label("by"), others.c.id).where(
        edge.is_not(None), _number_of(behind) < _SHOWN
    )
    return sa.union_all(sa.select(*behind.c), older)


def _number(value: int) -> sa.ColumnElement[int]:
    return sa.literal_column(str(value))


def _number_of(rows: sa.CTE) -> sa.ColumnElement[int]:
    return sa.select(sa.func.count()).select_from(rows).scalar_subquery()


def _has_words(words: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return words.bool_op("@@")(sa.cast(bind("query", sa.Text()), TSQUERY))


def _rank() -> sa.ColumnElement[int]:
    """How many of the words are in the title: the domain's `Search.rank`."""
    titles = sa.cast(bind("titles", sa.ARRAY(sa.Text)), sa.ARRAY(TSQUERY))
    title: Any = sa.func.unnest(titles).column_valued("title")
    found = sa.select(sa.func.count()).where(task_words.c.words.bool_op("@@")(title))
    return sa.cast(found.scalar_subquery(), sa.SmallInteger)


def _with_words(rows: sa.FromClause) -> sa.Select[tuple[int]]:
    """The ids of the tasks whose words match.

    There is no condition on the owner, because each stored word names the owner. With a condition
    the planner would rather read all words of the account.
    """
    return sa.select(rows.c.task_id.label("id")).where(_has_words(rows.c.words))


def _filtered(ids: sa.Select[tuple[int]], shape: Shape, *more: str) -> sa.Select[Any]:
    """The ids of the tasks that pass the filters, with `more` columns.

    The ids become an array, which is compared with an index in one go: many would take one look-up
    each. The offset keeps the filters for later, else the planner may prefer another index.
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


def _newest(
    shape: Shape, before: sa.ColumnElement[int], most: sa.ColumnElement[int], name: str = ""
) -> Found:
    """The newest matches with ids below `before`, at most so many; and their number.

    The names of the CTEs begin with `name`.
    """
    newest = in_index_order(
        sa.select(*task_words.c),
        [task_words.c.owner_id, task_words.c.task_id],
        low=[OWNER, LOWEST_ID],
        below=[OWNER, before],
    )
    recent = newest.limit(_number(RECENT)).subquery("recent")
    matching = _with_words(recent)
    if shape.filters:
        passing = _filtered(matching, shape).subquery("passing")
        matching = sa.select(passing.c.id).order_by(passing.c.id.desc())
    else:  # in the order of the scan, so that it ends when there are enough
        matching = matching.order_by(recent.c.owner_id.desc(), recent.c.task_id.desc())
    first = matching.limit(most).cte(f"{name}first")
    edge = (
        newest.with_only_columns(task_words.c.task_id)
        .offset(_number(RECENT - 1))
        .limit(sa.literal_column("1"))
        .scalar_subquery()
    )
    is_short = _number_of(first) < most
    then = (
        _filtered(_with_words(task_words).where(task_words.c.task_id < edge), shape)
        .where(is_short, edge.is_not(None))
        .cte(f"{name}then")
    )
    both = sa.union_all(sa.select(first.c.id), sa.select(then.c.id)).subquery("both")
    found = sa.select(both.c.id).order_by(both.c.id.desc()).limit(most).cte(f"{name}found")
    return found, _number_of(found)


def _in_order(shape: Shape) -> Found:
    """All matches if they are few, else those that the list begins with; and their number.

    The number is exact up to MAX_RANKED.
    """
    some = _some(_number(FEW + 1)).cte("some")
    number = _number_of(some)
    few = number <= _number(FEW)
    by = SORTED_BY[shape.sort]
    more = [] if by is tasks.c.id else [str(by.key)]
    first = _first(shape).subquery("first")
    found = sa.union_all(
        _filtered(sa.select(some.c.id), shape, *more).where(few),
        sa.select(*first.c).where(~few),
    ).cte("found")
    return found, _number_of(found) if shape.filters else number


def _first(shape: Shape) -> sa.Select[Any]:
    """The first of many matches in the list's order: as many as are shown or counted."""
    enough = _MOST if shape.filters and shape.counted else _SHOWN
    rows = in_order(shape).limit(ALL).subquery("in_order")
    place = sa.func.row_number().over().label("place")
    placed = sa.select(*rows.c, place).subquery("placed")
    has_words = (
        sa.select(_has_words(task_words.c.words))
        .where(task_words.c.owner_id == OWNER, task_words.c.task_id == placed.c.id)
        .scalar_subquery()
    )
    # The planner keeps the ids in a hash table, unless it expects too many.
    is_match = sa.case(
        (placed.c.place <= _number(PROBED), has_words), else_=placed.c.id.in_(_some(ALL))
    )
    return sa.select(*(placed.c[column.key] for column in rows.c)).where(is_match).limit(enough)


def _some(limit: sa.ColumnElement[int]) -> sa.Select[tuple[int]]:
    """Some matches. The offset hides the limit: for it the planner would read the whole table."""
    matching = _with_words(task_words).offset(LOWEST_ID).subquery("matching")
    return sa.select(matching.c.id).limit(limit)
