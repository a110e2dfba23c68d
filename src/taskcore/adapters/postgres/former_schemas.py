"""Databases that earlier forms of our revisions have made: mended before a migration.

A few revisions were changed, or got another number, when there were databases with them already.
These say that they have a revision, and are not as that revision leaves them today. What is wrong
shows in the catalogue alone, so a database that is right costs one query for each kind.
"""

import time

import sqlalchemy as sa
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from taskcore.adapters.postgres.event_rows import WEIGHT
from taskcore.domain.events import MAX_LOG_BYTES

_ATTEMPTS = 60
_PAUSE = 0.5  # seconds

# Each query returns the statements that mend one kind, none where nothing is wrong.
_KINDS = (
    # The convention for names was applied twice to the checks of 0001 and 0002, such as
    # `tasks_tasks_version_check_check`; 0009 looks for `tasks_version_check`.
    """
    SELECT format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I',
                  c.relname, k.conname, substring(k.conname FROM c.relname || '_(.*)_check'))
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
     WHERE c.relnamespace = current_schema()::regnamespace AND k.contype = 'c'
       AND c.relname IN ('users', 'tasks', 'refresh_tokens')
       AND k.conname ~ format('^%s_%s_.*_check_check$', c.relname, c.relname)
     ORDER BY c.relname, k.conname
    """,
    # 0006 was there before 0005, which has these.
    """
    SELECT unnest(ARRAY[
        'ALTER TABLE users ADD removed_at timestamptz',
        'CREATE INDEX users_removed_idx ON users (id) WHERE removed_at IS NOT NULL',
        'ANALYZE users (removed_at)'])
      FROM alembic_version WHERE version_num IN ('0006', '0007', '0008')
       AND NOT EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('users') AND attname = 'removed_at')
    """,
    # The log of tasks, 0010 today, did not keep its size, or was 0011 while the keys were 0012.
    f"""
    SELECT unnest(ARRAY[
        'ALTER TABLE streams ADD log_bytes bigint NOT NULL DEFAULT 0,'
            ' ADD log_full boolean NOT NULL DEFAULT false',
        'CREATE INDEX streams_log_full_idx ON streams (owner_id) WHERE log_full',
        'UPDATE streams SET log_bytes = size, log_full = size > {MAX_LOG_BYTES} FROM'
            ' (SELECT owner_id AS owner, sum({WEIGHT})::bigint AS size FROM events GROUP BY 1) log'
            ' WHERE owner_id = owner'])
     WHERE to_regclass('events') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('streams') AND attname = 'log_bytes')
    """,  # noqa: S608 - of constants
    """
    SELECT 'UPDATE alembic_version SET version_num = ''0010'''
      FROM alembic_version WHERE version_num IN ('0011', '0012')
       AND to_regclass('idempotency_keys') IS NULL
    """,
    """
    SELECT 'COMMENT ON TABLE alembic_version IS ''oldest code: 0010'''
      FROM alembic_version WHERE version_num IN ('0012', '0013')
       AND obj_description(to_regclass('alembic_version'), 'pg_class') IS NULL
    """,
)


def mend(connection: sa.Connection) -> None:
    """Make a migrated database what its revision says; one that is right stays as it is.

    Holds off others for moments: it asks for its locks again and again, because all queue behind a
    statement that waits for long. Raises OperationalError after half a minute without them.
    """
    if connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is not None:
        for kind in _KINDS:
            _mend(connection, sa.text(kind))
    connection.rollback()


def _mend(connection: sa.Connection, kind: sa.TextClause) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            connection.execute(sa.text("SET LOCAL lock_timeout = '300ms'"))
            for statement in connection.scalars(kind).all():
                connection.execute(sa.text(statement))
            connection.commit()
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable) or attempt == _ATTEMPTS - 1:
                raise
            connection.rollback()
            time.sleep(_PAUSE)
        else:
            return
