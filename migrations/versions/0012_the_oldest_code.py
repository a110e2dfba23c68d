"""Tells code that is too old for this schema, which cannot know it: see decision 34.

The servers of before 0010 do not log what they write, and fail.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
made = "70e33d7201ae6f79"


def upgrade() -> None:
    op.execute("COMMENT ON TABLE alembic_version IS 'oldest code: 0010'")


def downgrade() -> None:
    op.execute("COMMENT ON TABLE alembic_version IS NULL")
