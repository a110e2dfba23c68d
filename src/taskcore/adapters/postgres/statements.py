"""Statements compiled once, at import, to PostgreSQL's own placeholders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Table,
    TableValuedAlias,
    bindparam,
    cast,
    column,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import TypeEngine

# `$1` goes to the server as it is; psycopg would first have to translate any other style.
_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def columns_of(table: Table, entity: type) -> tuple[Column[Any], ...]:
    """In the order of the entity's fields, so that a row is its arguments."""
    return tuple(table.c[field.name] for field in fields(entity))


def named_values(names: Iterable[str], entity: object) -> dict[str, Any]:
    """Those fields of an entity, as a statement takes them."""
    return {name: getattr(entity, name) for name in names}


class Statement:
    """Text for psycopg's raw cursor and the order of its arguments."""

    __slots__ = ("_fixed", "_names", "sql")

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"not a statement: {clause}")
        self.sql = compiled.string.encode()
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """In the order of the placeholders. A missing one is a KeyError: a mistake of ours."""
        fixed = self._fixed
        return [given[name] if name in given else fixed[name] for name in self._names]

    def __repr__(self) -> str:
        return self.sql.decode()


def asked(**kinds: TypeEngine[Any]) -> TableValuedAlias:
    """The questions that are asked together: a row for each, with its arguments and its number."""
    arrays = [bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items()]
    columns = [column(name, kind) for name, kind in kinds.items()]
    return (
        func.unnest(*arrays)
        .table_valued(*columns, with_ordinality="number")
        .render_derived(name="asked")
    )


class Gathered(Statement):
    """Answers many questions at once: rows of the number of a question, and what answers it.

    Built on `asked`, whose arguments are those of a question.
    """

    __slots__ = ("_limit", "at_once")

    def __init__(
        self, clause: ClauseElement, *, at_once: int = 1, limit: str | None = None
    ) -> None:
        """How many such statements may be under way at once, and which argument limits the rows."""
        super().__init__(clause)
        self.at_once, self._limit = at_once, limit

    def rows_for(self, question: Mapping[str, Any]) -> int:
        """At most."""
        return 1 if self._limit is None else int(question[self._limit])

    def together(self, questions: Sequence[Mapping[str, Any]]) -> list[Any]:
        return [[question[name] for question in questions] for name in self._names]

    def apart(self, rows: Iterable[tuple[Any, ...]], count: int) -> list[list[tuple[Any, ...]]]:
        """For each of so many questions the rows that answer it, with the number in front."""
        answers: list[list[tuple[Any, ...]]] = [[] for _ in range(count)]
        for row in rows:
            answers[row[0] - 1].append(row)
        return answers


def page_of(items: Select[Any], *newest: Column[Any]) -> Select[Any]:
    """One statement for a page and its total: rows of the total and the item's columns.

    There is always a row; on an empty page its item is all NULL. Both are read from one
    snapshot, in one round trip.
    """
    total = select(func.count().label("total")).select_from(items.order_by(None).subquery())
    page = (
        items.order_by(None)
        .order_by(*(each.desc() for each in newest))
        .limit(bindparam("limit", type_=BigInteger))
        .offset(bindparam("skip", type_=BigInteger))
        .subquery("page")
    )
    counted = total.subquery("counted")
    return (
        select(counted.c.total, *page.c)
        .select_from(counted.join(page, true(), isouter=True))
        .order_by(*(page.c[each.name].desc() for each in newest))
    )


def wanted(of: Column[Any], name: str, kind: type[TypeEngine[Any]]) -> ColumnElement[bool]:
    """A filter that is off when its argument is NULL."""
    given = cast(bindparam(name), kind)  # PostgreSQL cannot guess the type of a NULL
    return or_(given.is_(None), of == given)
