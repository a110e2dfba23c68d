"""The time zone of each user."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
made = "76e8ab14a4983d8d"


def upgrade() -> None:
    # All of it can be run twice: what precedes the second transaction is committed before it.
    # A constant default is kept once, in the catalogue: no row is rewritten.
    op.add_column(
        "users",
        sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
        if_not_exists=True,
    )
    op.execute("ALTER TABLE users DROP CONSTRAINT IF EXISTS users_time_zone_check")
    op.execute(
        "ALTER TABLE users ADD CONSTRAINT users_time_zone_check"
        " CHECK (char_length(time_zone) BETWEEN 1 AND 64) NOT VALID"
    )
    # Reads all rows, so not under the lock of the above: others write meanwhile.
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_time_zone_check")


def downgrade() -> None:
    op.drop_column("users", "time_zone")
