"""The log of what happens to tasks.

Servers of the previous release would log nothing of what they write. A column that only writes and
the trash use has another name from now on, so these fail, and they say that the database does not
fit; lists and look-ups go on.

The way back forgets the log.
"""

import time

from alembic import op
from sqlalchemy.exc import OperationalError

revision = "0010"
down_revision = "0009"
made = "b5892e8e98e8ce9a"

ATTEMPTS = 60
TABLES = """
CREATE TABLE events (
    owner_id bigint NOT NULL,
    position bigint NOT NULL,
    type smallint NOT NULL,
    object_id bigint NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    actor_id bigint,
    changes jsonb,
    unerased boolean NOT NULL DEFAULT false,
    CONSTRAINT events_pkey PRIMARY KEY (owner_id, position)
);
CREATE INDEX events_owner_id_object_id_position_idx ON events (owner_id, object_id, position);
CREATE INDEX events_unerased_idx ON events (owner_id) WHERE unerased;
CREATE TABLE epochs (epoch bigint CONSTRAINT epochs_pkey PRIMARY KEY);
INSERT INTO epochs VALUES (floor(random() * 9e15)::bigint);
"""


def upgrade() -> None:
    op.execute(TABLES)
    lock_streams()
    op.execute(
        "ALTER TABLE streams ADD head bigint NOT NULL DEFAULT 0,"
        " ADD floor bigint NOT NULL DEFAULT 0, ADD oldest_at timestamptz,"
        " ADD log_bytes bigint NOT NULL DEFAULT 0, ADD log_full boolean NOT NULL DEFAULT false"
    )
    op.execute("ALTER TABLE streams RENAME trashed TO in_trash")
    op.execute(NOT_NULL.format(old="streams_trashed_not_null", new="streams_in_trash_not_null"))
    # There is nothing in it yet.
    op.execute("CREATE INDEX streams_oldest_at_idx ON streams (oldest_at)")
    op.execute("CREATE INDEX streams_log_full_idx ON streams (owner_id) WHERE log_full")


def downgrade() -> None:
    lock_streams()
    op.execute("ALTER TABLE streams RENAME in_trash TO trashed")
    op.execute(NOT_NULL.format(old="streams_in_trash_not_null", new="streams_trashed_not_null"))
    op.execute(
        "ALTER TABLE streams DROP head, DROP floor, DROP oldest_at, DROP log_bytes, DROP log_full"
    )
    op.execute("DROP TABLE events, epochs")


# PostgreSQL 18 names these, too, and not after the column's new name.
NOT_NULL = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_constraint
        WHERE conname = '{old}' AND conrelid = to_regclass('streams')) THEN
        ALTER TABLE streams RENAME CONSTRAINT {old} TO {new};
    END IF;
END $$
"""


def lock_streams() -> None:
    """It asks again and again: all others queue behind one that waits for long."""
    for attempt in range(ATTEMPTS):
        op.execute("SAVEPOINT asked")
        op.execute("SET LOCAL lock_timeout = '300ms'")
        try:
            op.execute("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE")
        except OperationalError:
            if attempt == ATTEMPTS - 1:
                raise
            op.execute("ROLLBACK TO SAVEPOINT asked")
            time.sleep(0.5)
        else:
            return
