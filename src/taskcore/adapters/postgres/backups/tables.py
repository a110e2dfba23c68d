"""Which tables and sequences a backup has, and how their rows are written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from graphlib import TopologicalSorter
from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier

from taskcore.adapters.archive import Sum, Table, Told
from taskcore.adapters.postgres.columns import metadata
from taskcore.adapters.postgres.conninfo import with_options
from taskcore.adapters.postgres.errors import translated
from taskcore.adapters.postgres.session_settings import UNLIMITED
from taskcore.domain.errors import RightsMissing

# Tables that revisions before REVISION had besides.
_FORMER = ("task_counts", "task_notes")
# How COPY writes values.
_FORMAT = "-c client_encoding=UTF8 -c datestyle=ISO,YMD -c bytea_output=hex -c extra_float_digits=1"
_TABLES = """
SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
   AND NOT a.attisdropped AND a.attgenerated = ''
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
   AND c.relname = ANY(%s) GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES = """
SELECT c.relname, r.relname FROM pg_constraint f
  JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class r ON r.oid = f.confrelid
 WHERE f.contype = 'f' AND f.connamespace = current_schema()::regnamespace
"""
# Without the right, pg_sequence_last_value gives NULL, or an error before PostgreSQL 18.
_SEQUENCES = """
SELECT c.relname, CASE WHEN may.be_read THEN pg_sequence_last_value(c.oid) END, may.be_read
  FROM pg_class c, LATERAL (SELECT has_sequence_privilege(c.oid, 'SELECT, USAGE')) may (be_read)
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'S'
   AND c.relname = ANY(%s)
"""

Connection = AsyncConnection[Any]


@asynccontextmanager
async def connected(url: str, options: str = "", *, autocommit: bool) -> AsyncIterator[Connection]:
    """A connection of our own. Raises Unavailable, and translates errors to the core's."""
    try:
        async with await AsyncConnection.connect(
            with_options(url, f"{UNLIMITED} {_FORMAT} {options}"), autocommit=autocommit
        ) as connection:
            yield connection
    except Exception as error:
        if (meaning := translated(error)) is error:
            raise
        raise meaning from error


async def tables_of(connection: Connection) -> list[Table]:
    """Those of ours that the schema has; one that refers to another comes after it."""
    ours = [*metadata.tables, *_FORMER]
    found = await (await connection.execute(_TABLES, [ours])).fetchall()
    tables = {name: Table(name, columns) for name, columns in found}
    order = TopologicalSorter[str](dict.fromkeys(tables, ()))
    for name, referred in await (await connection.execute(_REFERENCES)).fetchall():
        if name in tables and referred in tables and name != referred:
            order.add(name, referred)
    return [tables[name] for name in order.static_order()]


async def sequences_of(connection: Connection, names: list[str]) -> dict[str, int]:
    """The last value of each sequence of these tables that was used. Raises RightsMissing."""
    ours = [f"{name}_id_seq" for name in names]
    found = await (await connection.execute(_SEQUENCES, [ours])).fetchall()
    if not all(is_readable for _, _, is_readable in found):
        raise RightsMissing("The role may not read the sequences; back up as the owner")
    return {name: last for name, last, _ in found if last is not None}


def copying(table: Table, how: str) -> Composed:
    """COPY the table `TO STDOUT` or `FROM STDIN`, by the names of its columns."""
    columns = SQL(", ").join(map(Identifier, table.columns))
    return SQL("COPY {} ({}) {}").format(Identifier(table.name), columns, SQL(how))


async def rows_of(
    connection: Connection,
    table: Table,
    told: Told,
    write: Any = None,  # noqa: ANN401 - a function
) -> Table:
    """Read all rows of a table, and write them; returns it with their number and sum."""
    found = Sum(table.name, told)
    async with (
        connection.cursor() as cursor,
        cursor.copy(copying(table, "TO STDOUT")) as rows,
    ):
        async for row in rows:
            line = bytes(row)
            found.add(line)
            if write is not None:
                write(line)
    return Table(table.name, table.columns, found.rows, found.end())
