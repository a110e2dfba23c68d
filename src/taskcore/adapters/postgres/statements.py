"""Statements compiled once, at import, to PostgreSQL's own placeholders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
Row = tuple[Any, ...]
Rows = list[Row]

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

    __slots__ = ("_fixed", "_names", "sql")

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"not a statement: {clause}")
        self.sql = compiled.string.encode()
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, values: Values) -> list[Any]:
        """In the order of the placeholders. Raises KeyError for a missing one, which is a bug."""
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


class BatchedStatement(Statement):
    """Serves a batch of requests. Each row begins with the number of the request it belongs to.

    Built on `batch_of`; its arguments are those of one request.
    """

    __slots__ = ("_limit", "max_concurrent")

    def __init__(
        self, clause: ClauseElement, *, max_concurrent: int = 1, limit: str | None = None
    ) -> None:
        """How many may run at once, and which argument limits a request's rows (else it is 1)."""
        super().__init__(clause)
        self.max_concurrent, self._limit = max_concurrent, limit

    def max_rows(self, values: Values) -> int:
        return 1 if self._limit is None else int(values[self._limit])

    def arguments(self, values: Values) -> list[Any]:
        """For a batch of one."""
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


def counted_page(items: sa.Select[Any], *newest_first: sa.Column[Any]) -> sa.Select[Any]:
    """One statement for a page and its total: rows of the total and the item's columns.

    There is always a row; on an empty page its item is all NULL. Both are read from one
    snapshot, in one round trip.
    """
    total = sa.select(sa.func.count().label("total")).select_from(items.order_by(None).subquery())
    page = (
        items.order_by(None)
        .order_by(*(each.desc() for each in newest_first))
        .limit(sa.bindparam("limit", type_=sa.BigInteger))
        .offset(sa.bindparam("skip", type_=sa.BigInteger))
        .subquery("page")
    )
    counted = total.subquery("counted")
    return (
        sa.select(counted.c.total, *page.c)
        .select_from(counted.join(page, sa.true(), isouter=True))
        .order_by(*(page.c[each.name].desc() for each in newest_first))
    )


def optional(of: sa.Column[Any], name: str, kind: type[TypeEngine[Any]]) -> sa.ColumnElement[bool]:
    """A filter on the column that is off when its argument is NULL."""
    argument = sa.cast(sa.bindparam(name), kind)  # PostgreSQL cannot infer the type of a NULL
    return sa.or_(argument.is_(None), of == argument)
