"""Restoring a backup: beside the tables that are in use, and then in their place at once.

The rows are loaded into a schema of their own, compared with the backup and migrated there, while
the database goes on. One transaction then removes the old tables and moves the new ones to their
place. Whatever ends a restore before that leaves the database as it was, and a schema that the next
restore removes.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Composable, Identifier

from taskcore.adapters.archive import Archive, Manifest, Told
from taskcore.adapters.postgres.backups.tables import (
    Connection,
    connected,
    copying,
    rows_of,
    tables_of,
)
from taskcore.adapters.postgres.conninfo import with_options
from taskcore.adapters.postgres.migrate import current_revision, upgrade
from taskcore.adapters.postgres.schema import REVISION
from taskcore.domain.audit import AuditEventName
from taskcore.domain.errors import (
    Conflict,
    Invalid,
    NotMigrated,
    Problem,
    RightsMissing,
    Unavailable,
)

SCRATCH = "taskcore_restore"
# Any number that no other program on the same database uses for its advisory locks.
_LOCK = 0x7461736B62616B75  # "taskbaku"
_ATTEMPTS = 60
_PAUSE = 0.5  # seconds
_NOT_THE_OWNER = (
    "The database role may not restore; run this with the DATABASE_URL of the owner of the database"
)
# All that moves: relations but those that belong to a table's column, and functions.
_RELATIONS = """
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'S') AND NOT EXISTS (
       SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
          AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0)
 ORDER BY 1, 2
"""
_FUNCTIONS = """
SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s
"""
# What other roles than the owner may do with the tables that are removed.
_GRANTS = """
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname, a.privilege_type,
       CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
 WHERE n.nspname = %s AND c.relname = ANY(%s) AND a.grantee <> c.relowner
"""


async def restore(
    url: str, archive: Archive, told: Told, *, replace: bool, dry_run: bool = False
) -> None:
    """Put what the backup holds in the place of our tables, migrated to REVISION.

    Servers may go on: until the end they see the old rows, and then the new ones, and cursors of
    changes end. What is written in between is lost. Raises Invalid for a backup of a later
    revision, Conflict if there are rows that may not be replaced, NotMigrated for a database of
    another revision, RightsMissing for another role than the owner, and Unavailable. With `dry_run`
    it ends before it changes anything.
    """
    try:
        await _restored(url, archive, told, replace=replace, dry_run=dry_run)
    except RightsMissing:  # grants would not suffice: the tables change their owner
        raise RightsMissing(_NOT_THE_OWNER) from None


async def _restored(
    url: str, archive: Archive, told: Told, *, replace: bool, dry_run: bool
) -> None:
    made = archive.manifest
    if made.revision > REVISION:
        raise Invalid(
            Problem(
                "file",
                f"is of revision {made.revision}, later than {REVISION}: restore it with the"
                " release that made it, or a later one",
                "newer_backup",
            )
        )
    if await asyncio.to_thread(current_revision, url) not in {None, REVISION}:
        raise NotMigrated("The database has another revision; run `taskcli db upgrade` first")
    beside = with_options(url, f"-c search_path={SCRATCH}")
    async with connected(url, autocommit=True) as connection:
        if not await _one(connection, "SELECT pg_try_advisory_lock(%s)", _LOCK):
            raise Unavailable("Another restore is under way")
        place = await _one(connection, "SELECT current_schema()")
        if place is None:
            raise Conflict("the database has no schema for the tables; see its search_path")
        if not replace and await _has_rows(connection):
            raise Conflict("the database is not empty; --replace puts the backup in its place")
        if dry_run:
            return
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE")
        await connection.execute(f"CREATE SCHEMA {SCRATCH}")
        try:
            await _upgraded(beside, made.revision)
            await _load(beside, archive, told)
            await _compare(beside, made, told)
            await _upgraded(beside)
            await _tidy(beside)
            await _swap(connection, place)
        finally:
            with suppress(psycopg.Error):  # the connection is lost: the next restore does it
                await connection.execute(f"DROP SCHEMA IF EXISTS {SCRATCH} CASCADE")


async def _upgraded(url: str, revision: str = "head") -> None:
    """If the restore is cut off, the thread ends before the schema goes: it would come back."""
    upgrading = asyncio.ensure_future(asyncio.to_thread(upgrade, url, revision))
    try:
        await asyncio.shield(upgrading)
    finally:
        await asyncio.wait([upgrading])


async def _has_rows(connection: Connection) -> bool:
    """Whether there are accounts, or events but those of a server's start, backups and restores."""
    if "audit_events" not in {table.name for table in await tables_of(connection)}:
        return False
    query = (
        "SELECT EXISTS (SELECT FROM users)"
        " OR EXISTS (SELECT FROM audit_events WHERE event <> ALL(%s))"
    )
    spared = [
        AuditEventName.KEY_ROTATED.value,
        AuditEventName.BACKUP_MADE.value,
        AuditEventName.BACKUP_RESTORED.value,
    ]
    return bool(await _one(connection, query, spared))


async def _load(url: str, archive: Archive, told: Told) -> None:
    """In one transaction, without the triggers that count or refuse."""
    async with connected(url, autocommit=False) as connection:
        names = {table.name for table in await tables_of(connection)}
        tables = archive.manifest.tables
        if unknown := {table.name for table in tables} - names:
            raise Invalid(Problem("file", f"has unknown tables: {unknown}", "damaged_backup"))
        for name in names:
            await _run(connection, "ALTER TABLE {} DISABLE TRIGGER USER", Identifier(name))
        listed = SQL(", ").join(map(Identifier, sorted(names)))
        await _run(connection, "TRUNCATE {}", listed)  # what the migrations have put there
        for table in tables:
            told(table.name, 0)
            async with (
                connection.cursor() as cursor,
                cursor.copy(copying(table, "FROM STDIN")) as rows,
            ):
                for chunk in archive.chunks(table):
                    await rows.write(chunk)
        for name, last in archive.manifest.sequences.items():
            await connection.execute("SELECT setval(%s, %s)", [name, last])
        # A table with checks that wait for the commit cannot be altered.
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in names:
            await _run(connection, "ALTER TABLE {} ENABLE TRIGGER USER", Identifier(name))


async def _compare(url: str, made: Manifest, told: Told) -> None:
    """Raises Conflict where the database now holds something else than the backup."""
    async with connected(url, autocommit=False) as connection:
        for table in made.tables:
            if await rows_of(connection, table, told) != table:
                raise Conflict(f"the rows of {table.name} are not those of the backup")


async def _tidy(url: str) -> None:
    """What the server would do by and by: its plans and index-only scans need it."""
    async with connected(url, autocommit=True) as connection:
        await connection.execute("UPDATE epochs SET epoch = floor(random() * 9e15)::bigint")
        for table in await tables_of(connection):
            await _run(connection, "VACUUM (ANALYZE) {}", Identifier(table.name))


async def _swap(connection: Connection, place: str) -> None:
    """Asks for its locks again and again: others would queue behind one that waits for long."""
    for attempt in range(_ATTEMPTS):
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '300ms'")
                await _swapped(connection, place)
        except LockNotAvailable:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return


async def _swapped(connection: Connection, place: str) -> None:
    """Within a transaction: the old tables go, and the new ones come with the same rights."""
    relations = await _rows(connection, _RELATIONS, SCRATCH)
    names = [name for _, name in relations]
    old = [row for row in await _rows(connection, _RELATIONS, place) if row[1] in names]
    grants = await _rows(connection, _GRANTS, place, names)
    tables = [Identifier(place, name) for kind, name in old if kind == "TABLE"]
    if tables:
        listed = SQL(", ").join(tables)
        await _run(connection, "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", listed)
        await _run(connection, "DROP TABLE {}", listed)
    for kind, name in old:
        if kind == "SEQUENCE":
            await _run(connection, "DROP SEQUENCE {}", Identifier(place, name))
    for (name,) in await _rows(connection, _FUNCTIONS, SCRATCH):
        await _run(connection, "DROP FUNCTION IF EXISTS {}()", Identifier(place, name))
        await _move(connection, "FUNCTION", f"{name}", place)
    for kind, name in relations:
        await _move(connection, kind, name, place)
    for kind, name, right, role in grants:
        text = f"GRANT {right} ON {kind} {{}} TO {role}"
        await _run(connection, text, Identifier(place, name))


async def _move(connection: Connection, kind: str, name: str, place: str) -> None:
    there = Identifier(SCRATCH, name)
    await _run(connection, f"ALTER {kind} {{}} SET SCHEMA {{}}", there, Identifier(place))


async def _run(connection: Connection, text: str, *names: Composable) -> None:
    await connection.execute(SQL(text).format(*names))


async def _rows(connection: Connection, query: str, *values: Any) -> Sequence[tuple[Any, ...]]:  # noqa: ANN401
    return await (await connection.execute(query, list(values))).fetchall()


async def _one(connection: Connection, query: str, *values: object) -> Any:  # noqa: ANN401
    ((value,),) = await _rows(connection, query, *values)
    return value
