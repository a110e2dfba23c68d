"""An index of the refresh tokens that the next refresh marks as superseded: one or two a session.

A session keeps the used ones until it ends, to recognise them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
made = "f1536bc7e0c93650"

INDEX = "refresh_tokens_current_idx"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # One that was interrupted leaves an invalid index behind.
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            INDEX,
            "refresh_tokens",
            ["session_id"],
            postgresql_where=sa.text("NOT superseded"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
