"""What will become a problem of the database if it goes on like this, for `taskcli doctor`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from taskcore.adapters.postgres.connections import Connections
from taskcore.adapters.postgres.schema import RIGHTS
from taskcore.adapters.postgres.server_connections import MOST
from taskcore.adapters.postgres.statements import Statement

# A role that may not read pg_stat_replication sees its rows without their state.
_DIAGNOSTICS = Statement(
    sa.text(f"""
SELECT c.most, c.machines,
    ARRAY(SELECT name FROM unnest(ARRAY['statement_timeout', 'lock_timeout',
            'idle_in_transaction_session_timeout']) name WHERE current_setting(name) = '0'),
    current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on',
    (SELECT max(greatest(
            age(datfrozenxid) / current_setting('autovacuum_freeze_max_age')::float8,
            mxid_age(datminmxid) / current_setting('autovacuum_multixact_freeze_max_age')::float8))
       FROM pg_database WHERE datallowconn),
    (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint
       FROM pg_replication_slots WHERE NOT active),
    pg_database_size(current_database()),
    (SELECT setting FROM pg_settings WHERE name = 'data_directory' AND inet_server_addr() IS NULL),
    (SELECT last_archived_time FROM pg_stat_archiver
      WHERE current_setting('archive_mode') <> 'off'
        AND last_archived_time > coalesce(last_failed_time, '-infinity')),
    current_setting('synchronous_standby_names') <> ''
        AND current_setting('synchronous_commit') NOT IN ('off', 'local')
        AND NOT EXISTS (SELECT FROM pg_stat_replication
            WHERE coalesce(sync_state, 'sync') IN ('sync', 'quorum'))
FROM ({MOST}) c
""")  # noqa: S608 - of constants
)
# Autovacuum begins at a number of dead rows. It does not keep up with a table that has three times
# as many.
_UNTIDY = Statement(
    sa.text(f"""
SELECT s.relname::text, s.n_dead_tup, s.n_live_tup
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE pg_table_is_visible(s.relid)
    AND s.relname IN ({", ".join(f"'{name}'" for name in RIGHTS)})
    AND s.n_dead_tup > 3 * (current_setting('autovacuum_vacuum_threshold')::float8
        + current_setting('autovacuum_vacuum_scale_factor')::float8 * greatest(c.reltuples, 0))
    AND s.n_dead_tup > 10000
ORDER BY s.n_dead_tup DESC LIMIT 3
""")  # noqa: S608 - of constants
)


@dataclass(frozen=True, slots=True)
class Untidy:
    """A table in which more rows are dead than autovacuum should leave."""

    name: str
    dead: int
    live: int


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Numbers of the database at this moment."""

    untidy: Sequence[Untidy]
    connections: int
    """How many our role can have at most, beside those that other roles hold now."""
    machines: int
    """How many have connections as our role. The connection that asks does not count."""
    without: Sequence[str]
    """Names of the time limits for statements that this connection lacks."""
    vacuums: bool
    age: float
    """That of the oldest transaction id; 1.0 is the age at which autovacuum must freeze it."""
    held_wal: int
    """Bytes of the write-ahead log that are kept for a replication slot which nothing reads."""
    size: int  # bytes
    folder: str | None
    """Where the server keeps its data. None if on another machine, or if the role may not know."""
    archived_at: datetime | None
    """When the log was last archived. None if it is not, or if the latest attempt failed."""
    waits_for_standby: bool
    """Whether commits wait for a synchronous standby, and none is connected."""


async def diagnose(connections: Connections) -> Diagnostics:
    """Two round trips. Raises Unavailable."""
    async with connections.borrow() as link:
        ((*numbers,),) = await link.rows(_DIAGNOSTICS)
        untidy = [Untidy(*found) for found in await link.rows(_UNTIDY)]
    return Diagnostics(untidy, *numbers)
