"""The account of an idempotency key is locked at the end of the transaction, as by other writes."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
made = "909e6c02270982fd"

_ALTER = "ALTER TABLE idempotency_keys ALTER CONSTRAINT idempotency_keys_user_id_fkey"


def upgrade() -> None:
    op.execute(sa.text(f"{_ALTER} DEFERRABLE INITIALLY DEFERRED"))


def downgrade() -> None:
    op.execute(sa.text(f"{_ALTER} NOT DEFERRABLE"))
