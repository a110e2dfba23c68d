"""Writing all rows of one moment into a file, while others read and write."""

from datetime import UTC
from typing import Any

from psycopg import AsyncConnection, IsolationLevel
from psycopg.sql import SQL, Identifier

from taskcore.adapters.archive import Manifest, Told, Writer
from taskcore.adapters.postgres.backups.tables import (
    connected,
    rows_of,
    sequences_of,
    tables_of,
)
from taskcore.domain.errors import NotMigrated


async def dump(url: str, writer: Writer, told: Told) -> Manifest:
    """Write every table; returns the manifest, whose `key` the caller fills in.

    All are read in one snapshot, which holds up no one but migrations. Raises Unavailable,
    NotMigrated where there are no tables of ours, and RightsMissing.
    """
    async with connected(url, autocommit=True) as connection:
        tables = await tables_of(connection)
        if not tables:
            raise NotMigrated
        await connection.set_autocommit(False)
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        names = [table.name for table in tables]
        # Lock before the snapshot: else a migration could change the tables between the two.
        locked = SQL(", ").join(map(Identifier, names))
        await connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(locked))
        revision, at = await _row(connection, "SELECT version_num, now() FROM alembic_version")
        written = []
        for table in await tables_of(connection):
            with writer.table(table.name) as write:
                written.append(await rows_of(connection, table, told, write))
        # A snapshot does not cover sequences. Read last, none is lower than an id in the rows.
        sequences = await sequences_of(connection, names)
        major, minor = divmod(connection.info.server_version, 10_000)
    moment, version = at.astimezone(UTC).isoformat(), f"{major}.{minor}"
    return Manifest(moment, version, revision, written, sequences)


async def _row(connection: AsyncConnection[Any], query: str) -> tuple[Any, ...]:
    row = await (await connection.execute(query)).fetchone()
    if row is None:
        raise NotMigrated
    return tuple(row)
