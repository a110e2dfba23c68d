"""Statements compiled once, at import, to PostgreSQL's own placeholders."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import TypeEngine

from taskcore.ports import Page

Item = TypeVar("Item")
Values = Mapping[str, Any]
Row = tuple[Any, ...]
Rows = list[Row]
HoldMore = Callable[[Rows, int], bool]
"""Whether the texts in these rows take more than so many bytes."""

# The server takes `$1` as it is; psycopg would have to translate any other style.
_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def columns_of(table: sa.Table, entity: type, **renamed: str) -> tuple[sa.Column[Any], ...]:
    """The columns in the order of the entity's fields, so that `entity(*row)` works.

    `renamed` maps a field to its column where the two have different names.
    """
    return tuple(table.c[renamed.get(field.name, field.name)] for field in fields(entity))


def named_values(names: Iterable[str], entity: object) -> dict[str, Any]:
    """These fields of the entity, as arguments of a statement."""
    return {name: getattr(entity, name) for name in names}


class Statement:
    """SQL for psycopg's raw cursor, and the order of its arguments."""

    __slots__ = ("_fixed", "_names", "hold_more", "sql", "writes")

    def __init__(
        self, clause: ClauseElement, *, matters: bool = True, hold_more: HoldMore | None = None
    ) -> None:
        """`matters`: whether a client must know if it was done. Only for what writes.

        `hold_more`: of what reads many rows with texts.
        """
        self.hold_more = hold_more
        self.writes = matters and any(
            isinstance(each, UpdateBase) for each in visitors.iterate(clause)
        )
        compiled = clause.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"not a statement: {clause}")
        self.sql = compiled.string.encode()
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, values: Values) -> list[Any]:
        """Values in the order of the placeholders. Raises KeyError if one is missing: a bug."""
        fixed = self._fixed
        return [values[name] if name in values else fixed[name] for name in self._names]

    def __repr__(self) -> str:
        return self.sql.decode()


def batch_of(**types: TypeEngine[Any]) -> sa.TableValuedAlias:
    """The requests of a batch as a table: a row each, with its arguments and its number."""
    arrays = [sa.bindparam(name, type_=sa.ARRAY(kind)) for name, kind in types.items()]
    columns = [sa.column(name, kind) for name, kind in types.items()]
    return (
        sa.func.unnest(*arrays)
        .table_valued(*columns, with_ordinality="number")
        .render_derived(name="batch")
    )


Compilation = Callable[[], Awaitable[Statement]]


async def compiled(statement: Statement | Compilation) -> Statement:
    return statement if isinstance(statement, Statement) else await statement()


class BatchedStatement(Statement):
    """Serves a batch of requests. Each row begins with the number of the request it belongs to.

    Built on `batch_of`; its arguments are those of one request.
    """

    __slots__ = ("_limit", "_words", "max_concurrent", "waits")

    def __init__(
        self,
        clause: ClauseElement,
        *,
        max_concurrent: int = 1,
        limit: str | None = None,
        words: str | None = None,
        hold_more: HoldMore | None = None,
        waits: bool = False,
    ) -> None:
        """`limit` names the argument that bounds the rows of a request; None: one row.

        `words` names the one that holds words for search. `waits`: for the row of an account, which
        another transaction may hold.
        """
        super().__init__(clause, hold_more=hold_more)
        self.max_concurrent, self._limit, self._words = max_concurrent, limit, words
        self.waits = waits

    def weight(self, values: Values) -> int:
        """How many rows and entries of the index of words a request has at most, about."""
        weight = 1 if self._limit is None else int(values[self._limit])
        if self._words is not None:
            weight += values[self._words].count(" ")
        return weight

    def arguments(self, values: Values) -> list[Any]:
        """The arguments of a batch of one."""
        return self.arrays([values])

    def arrays(self, requests: Sequence[Values]) -> list[Any]:
        """For each placeholder an array, with one element per request."""
        return [[values[name] for values in requests] for name in self._names]

    def split(self, rows: Iterable[Row], count: int) -> list[Rows]:
        """The rows of each of `count` requests, still with the number in front."""
        results: list[Rows] = [[] for _ in range(count)]
        for row in rows:
            results[row[0] - 1].append(row)
        return results


def in_index_order(
    rows: sa.Select[Any],
    columns: Sequence[sa.Column[Any]],
    *,
    low: Sequence[Any],
    below: Sequence[Any],
    descends: bool = True,
) -> sa.Select[Any]:
    """The rows from `low` to below `below`, greatest first, by the index on these columns.

    Ascending, the rows from above `low` to `below`, smallest first.

    Compares whole rows, although the bounds agree in the first columns. If these were compared
    by `=`, an index on the last column alone would have the right order too. The planner prefers
    that one when it expects many matches, and then reads the rows of all others to find none.
    """
    key, lowest, highest = sa.tuple_(*columns), sa.tuple_(*low), sa.tuple_(*below)
    if descends:
        rows = rows.where(key >= lowest, key < highest)
        return rows.order_by(*(column.desc() for column in columns))
    return rows.where(key > lowest, key <= highest).order_by(*columns)


def sliced(rows: sa.Select[Any]) -> sa.Select[Any]:
    return rows.limit(_parameter("limit")).offset(_parameter("skip"))


def first(rows: sa.Select[Any]) -> sa.Select[Any]:
    """The first rows: as many as a slice skips and has."""
    return rows.limit(_parameter("limit") + _parameter("skip"))


def _parameter(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


def page_and_total(
    page: sa.Select[Any], *newest_first: sa.Column[Any], of: sa.Select[Any] | None
) -> Statement:
    """One statement for a page and its total: rows of the total and the item's columns.

    `of` has all rows that count; with None the total is NULL. Else there is always a row; on an
    empty page its item is all NULL. Both are read from one snapshot, in one round trip.
    """
    items = page.subquery("page")
    order = [items.c[each.name].desc() for each in newest_first]
    if of is None:
        nothing = sa.cast(sa.null(), sa.BigInteger).label("total")
        return Statement(sa.select(nothing, *items.c).order_by(*order))
    counted = sa.select(sa.func.count().label("total")).select_from(of.subquery())
    total = counted.subquery("counted")
    return Statement(
        sa.select(total.c.total, *items.c)
        .select_from(total.join(items, sa.true(), isouter=True))
        .order_by(*order)
    )


def page_of(rows: Rows, limit: int, item: Callable[..., Item]) -> Page[Item]:
    """A page from the rows of `page_and_total`, which may be one more than the limit."""
    items = [item(*row[1:]) for row in rows[:limit] if row[1] is not None]
    return Page(items, rows[0][0] if rows else None, has_more=len(rows) > limit)
