"""Which hosts of a connection string take writes, for `taskcli doctor`: it should be one."""

from collections.abc import Sequence
from contextlib import suppress

import psycopg

from taskcore.adapters.postgres.conninfo import conninfo, hosts

# Two proxies before one server lead to the same start. Each promotion begins another timeline,
# whose number is at the beginning of the name of a file of the log.
_PRIMARY = """
SELECT pg_postmaster_start_time(),
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
WHERE NOT pg_is_in_recovery()
"""


def primaries(url: str, *, pooler: bool = False) -> Sequence[str]:
    """The name and the timeline of each server that takes writes, where the URL names several.

    A host that does not answer is left out. Raises Misconfigured.
    """
    named = hosts(conninfo(url, pooler=pooler))
    found: dict[object, str] = {}
    for name, each in named.items() if len(named) > 1 else ():
        with suppress(psycopg.OperationalError):
            with psycopg.connect(each, autocommit=True, prepare_threshold=None) as connection:
                rows = connection.execute(_PRIMARY).fetchall()
            for started, timeline in rows:
                found.setdefault(started, f"{name} (timeline {timeline})")
    return list(found.values())
