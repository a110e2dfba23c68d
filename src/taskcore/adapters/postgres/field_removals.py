"""The way back from a revision that has added a field to tasks.

Revisions call this, so it names no table of `schema.py`, which is that of the newest revision.
"""

import sqlalchemy as sa
from alembic import op

from taskcore.domain.events import MAX_LOG_BYTES

# How many events a transaction reads, and rewrites at most.
BATCH = 2000
_TABLES = ("tasks", "trash")
# The row of an account is locked first, as by every write, and the rows of events are counted as
# they are written: housekeeping of a server may remove some meanwhile.
_FORGET = sa.text("""
WITH batch AS MATERIALIZED (
    SELECT owner_id, position, changes FROM events
    WHERE (owner_id, position) > (:owner_id, :position)
    ORDER BY owner_id, position LIMIT :batch
), named AS (
    SELECT owner_id, position, changes, nullif(changes - :field, '{}') AS rest
    FROM batch WHERE changes ? :field
), locked AS MATERIALIZED (
    SELECT owner_id FROM streams WHERE owner_id IN (SELECT owner_id FROM named)
    ORDER BY owner_id FOR NO KEY UPDATE
), forgotten AS (
    UPDATE events SET changes = rest FROM named JOIN locked USING (owner_id)
    WHERE (events.owner_id, events.position) = (named.owner_id, named.position)
    RETURNING events.owner_id,
        octet_length(named.changes::text) - coalesce(octet_length(rest::text), 0) AS bytes
), smaller AS (
    UPDATE streams SET log_bytes = log_bytes - freed, log_full = log_bytes - freed > :most
    FROM (SELECT owner_id, sum(bytes) AS freed FROM forgotten GROUP BY owner_id) AS less
    WHERE streams.owner_id = less.owner_id
)
SELECT owner_id, position FROM batch ORDER BY owner_id DESC, position DESC LIMIT 1
""")


def forget_field(name: str) -> None:
    """Drop the column of tasks and of the trash, and take the field out of the log.

    Older code knows no such field, and could not revert to versions that have it. The columns go
    first, and that is committed: from then on newer servers fail, and log the field no more. After
    an interruption call this again.
    """
    for table in _TABLES:
        op.drop_column(table, name, if_exists=True)
    values = {"field": name, "batch": BATCH, "most": MAX_LOG_BYTES}
    place = (0, 0)
    with op.get_context().autocommit_block():
        while (
            row := op.get_bind()
            .execute(_FORGET, values | {"owner_id": place[0], "position": place[1]})
            .first()
        ):
            place = (row.owner_id, row.position)
