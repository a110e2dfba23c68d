"""An index that finds expired sessions."""

from alembic import op

revision = "0008"
down_revision = "0007"
made = "ad79cafecce9c73b"

INDEX = "sessions_expires_at_idx"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # One that was interrupted leaves an invalid index behind.
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
        op.create_index(INDEX, "sessions", ["expires_at"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
