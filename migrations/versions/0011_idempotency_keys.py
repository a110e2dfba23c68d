"""Answers of requests with an idempotency key, and how much of them an account keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
made = "8622bcce2a25e9f5"


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("idempotency_keys_user_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("idempotency_keys_pkey")),
        sa.CheckConstraint("octet_length(key) = 32", name=op.f("idempotency_keys_key_check")),
        sa.CheckConstraint(
            "octet_length(request) = 32", name=op.f("idempotency_keys_request_check")
        ),
    )
    op.create_index("idempotency_keys_at_idx", "idempotency_keys", ["at"])
    op.create_table(
        "idempotency_usage",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("idempotency_usage_user_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("idempotency_usage_pkey")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("idempotency_usage_since_idx", "idempotency_usage", ["since"])


def downgrade() -> None:
    op.drop_table("idempotency_usage")
    op.drop_table("idempotency_keys")
