"""Whether this code can work with a database: its encoding, its schema, and the role's rights.

Asked at each start and by the health check.
"""

import re

import sqlalchemy as sa

from taskcore.adapters.postgres.connections import BorrowedConnection
from taskcore.adapters.postgres.schema import REVISION, RIGHTS, task_ids
from taskcore.adapters.postgres.session_settings import SESSION_SETTINGS
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.errors import NotMigrated, RightsMissing, SchemaTooNew, WrongEncoding

ENCODING = "UTF8"
VERSION_TABLE = "alembic_version"
_OLDEST_CODE = re.compile("oldest code: ([0-9]{4})")

_REVISION = Statement(
    sa.select(
        sa.column("version_num"),
        sa.func.obj_description(sa.literal_column(f"'{VERSION_TABLE}'::regclass"), "pg_class"),
    ).select_from(sa.table(VERSION_TABLE))
)
_RIGHTS = Statement(
    sa.select(
        sa.and_(
            sa.func.has_sequence_privilege(
                sa.literal_column(f"'{task_ids.name}'"), sa.literal_column("'USAGE'")
            ),
            *(
                sa.func.has_table_privilege(
                    sa.literal_column(f"'{name}'"), sa.literal_column(f"'{right}'")
                )
                for name, rights in RIGHTS.items()
                for right in rights
            ),
        )
    )
)
# What a pooler does not pass on, and so must be set for the role: each of these is wanted, and
# without it a statement could wait without an end, or a moment be shown in another zone.
_OF_THE_ROLE = Statement(
    sa.text("""
SELECT current_user, current_setting('TimeZone') IN ('UTC', 'Etc/UTC')
    AND NOT '0' = ANY(ARRAY[current_setting('statement_timeout'), current_setting('lock_timeout'),
        current_setting('idle_in_transaction_session_timeout')])
""")
)


async def check_database(link: BorrowedConnection, *, has_sessions: bool) -> None:
    """Raises the error that says what is missing. `has_sessions`: no pooler is between."""
    if link.connection.info.parameter_status("server_encoding") != ENCODING:
        raise WrongEncoding
    row = await link.row(_REVISION)
    # Migrations run before the code that needs them, so a newer schema works with older code,
    # unless it says otherwise.
    if row is None or row[0] < REVISION:
        raise NotMigrated
    if oldest_code(row[1]) > REVISION:
        raise SchemaTooNew
    if not all(await link.row(_RIGHTS) or ()):
        raise RightsMissing
    if not has_sessions:
        ((role, is_set),) = await link.rows(_OF_THE_ROLE)
        if not is_set:
            raise RightsMissing(_unset(role))


def oldest_code(comment: str | None) -> str:
    """The REVISION of the oldest code that works with a schema; empty if every code does.

    By the comment of VERSION_TABLE: a migration after which older code fails, or does harm, writes
    `oldest code: NUMBER` there.
    """
    match = _OLDEST_CODE.search(comment or "")
    return match[1] if match else ""


def _unset(role: str) -> str:
    name = '"' + role.replace('"', '""') + '"'
    settings = [f"ALTER ROLE {name} SET {each} = '{to}'" for each, to in SESSION_SETTINGS.items()]
    return (
        "Through a pooler the role needs settings of its own; in the database run the following,"
        f" and let the pooler reconnect (RECONNECT): {'; '.join(settings)};"
    )
