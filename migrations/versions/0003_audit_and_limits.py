"""Addresses of sessions, the audit, and rate limits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
made = "12a64a6c84c12aae"

# Prevents mistakes only: the owner of the table can disable the trigger, see docs/security.md.
KEEP = """
CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are never changed or removed'
        USING ERRCODE = 'restrict_violation';
END
$$
"""
GUARD = """
CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION audit_events_stay()
"""


def upgrade() -> None:
    op.add_column("sessions", sa.Column("ip", sa.Text))
    op.add_column("sessions", sa.Column("user_agent", sa.Text))
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("actor_id", sa.BigInteger),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("session_id", sa.Uuid),
        sa.Column("ip", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("detail", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_events_pkey"),
    )
    for name in ("user_id", "actor_id", "event"):
        op.create_index(f"audit_events_{name}_idx", "audit_events", [name, "id"])
    op.execute(KEEP)
    op.execute(GUARD)
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="rate_limits_pkey"),
        prefixes=["UNLOGGED"],
    )


def downgrade() -> None:
    op.drop_table("rate_limits")
    op.drop_table("audit_events")
    op.execute("DROP FUNCTION audit_events_stay()")
    op.drop_column("sessions", "user_agent")
    op.drop_column("sessions", "ip")
