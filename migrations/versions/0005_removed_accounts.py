"""Accounts that are removed for every reader, while their tasks are removed in batches."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
made = "efb4a0a818eaa746"


def upgrade() -> None:
    op.add_column("users", sa.Column("removed_at", sa.DateTime(timezone=True)))
    # Holds the few accounts that are not removed to the end. Readers look here.
    op.create_index(
        "users_removed_idx", "users", ["id"], postgresql_where=sa.text("removed_at IS NOT NULL")
    )
    # Without statistics the planner takes nearly all rows for removed, and does not use the index.
    op.execute("ANALYZE users (removed_at)")


def downgrade() -> None:
    # Without the column their tasks would show again.
    op.execute("DELETE FROM users WHERE removed_at IS NOT NULL")
    op.drop_column("users", "removed_at")
