"""The tables of accounts, sessions, the audit, limits and idempotency keys; see `schema.py`."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from taskcore.adapters.postgres.columns import identity, limits, metadata, moment
from taskcore.domain.dues import TIME_ZONE
from taskcore.domain.emails import EMAIL
from taskcore.domain.users import DEFAULT_TIME_ZONE, FULL_NAME

users = sa.Table(
    "users",
    metadata,
    identity(),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False),
    sa.Column("hashed_password", sa.Text, nullable=False),
    sa.Column("full_name", sa.Text),
    sa.Column("role", sa.Text, nullable=False, server_default="user"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
    moment("created_at"),
    moment("updated_at"),
    # NULL while the account exists. Every statement that reads users leaves removed accounts out.
    moment("removed_at", nullable=True),
    sa.Column("time_zone", sa.Text, nullable=False, server_default=DEFAULT_TIME_ZONE),
    limits(EMAIL),
    limits(EMAIL, "email_key"),
    limits(FULL_NAME),
    limits(TIME_ZONE),
    sa.CheckConstraint("char_length(hashed_password) BETWEEN 1 AND 255", name="hashed_password"),
    sa.CheckConstraint("role IN ('user', 'admin')", name="role"),
    sa.UniqueConstraint("email_key"),
    # For the lists by these filters, newest first. The last one also finds the administrators
    # for `lock_admins`.
    sa.Index("users_role_id_idx", "role", "id"),
    sa.Index("users_is_active_id_idx", "is_active", "id"),
    sa.Index("users_role_is_active_id_idx", "role", "is_active", "id"),
    # The few accounts whose rows are not removed to the end.
    sa.Index("users_removed_idx", "id", postgresql_where=sa.text("removed_at IS NOT NULL")),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "user_id", sa.BigInteger, sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False
    ),
    moment("created_at"),
    moment("last_used_at"),
    moment("expires_at"),
    sa.Column("ip", sa.Text),
    sa.Column("user_agent", sa.Text),
    sa.Index("sessions_user_id_idx", "user_id"),
    # For housekeeping, which finds the expired ones of all users.
    sa.Index("sessions_expires_at_idx", "expires_at"),
)

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column(
        "session_id", sa.Uuid, sa.ForeignKey(sessions.c.id, ondelete="CASCADE"), nullable=False
    ),
    sa.Column("nonce", sa.LargeBinary, nullable=False),
    moment("issued_at"),
    moment("expires_at"),
    moment("used_at", nullable=True),
    sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.text("false")),
    sa.CheckConstraint("octet_length(digest) = 32", name="digest"),
    sa.Index("refresh_tokens_session_id_idx", "session_id"),
    # A session keeps its used tokens, up to 300 000 of them; a refresh looks for the others.
    sa.Index(
        "refresh_tokens_current_idx", "session_id", postgresql_where=sa.text("NOT superseded")
    ),
)

# No foreign keys: events outlive the accounts they are about. A trigger of migration 0003 refuses
# changes.
audit_events = sa.Table(
    "audit_events",
    metadata,
    identity(),
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
    # For the lists by each filter, newest first.
    sa.Index("audit_events_at_id_idx", "at", "id"),
    sa.Index("audit_events_user_id_at_id_idx", "user_id", "at", "id"),
    sa.Index("audit_events_actor_id_at_id_idx", "actor_id", "at", "id"),
    sa.Index("audit_events_event_at_id_idx", "event", "at", "id"),
)

# GCRA needs one timestamp per limit and subject. Unlogged: no attempt waits for the disk, and a
# crash of the database resets all limits.
rate_limits = sa.Table(
    "rate_limits",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
    prefixes=["UNLOGGED"],
)


def _user(*, locked_last: bool = False) -> sa.Column[int]:
    late: Any = {"deferrable": True, "initially": "DEFERRED"} if locked_last else {}
    return sa.Column(
        "user_id",
        sa.BigInteger,
        sa.ForeignKey(users.c.id, ondelete="CASCADE", **late),
        nullable=False,
        autoincrement=False,
    )


# The answers of requests with an idempotency key. `answer` is NULL only within the transaction that
# does the work. Key and request as digests. A key is claimed before the work locks its rows, so the
# user is looked for, and locked, last: in the order of all other writes.
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    _user(locked_last=True),
    sa.Column("key", sa.LargeBinary, nullable=False),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("answer", sa.LargeBinary),
    sa.PrimaryKeyConstraint("user_id", "key"),
    sa.CheckConstraint("octet_length(key) = 32", name="key"),
    sa.CheckConstraint("octet_length(request) = 32", name="request"),
    # For housekeeping, which finds the old ones of all users.
    sa.Index("idempotency_keys_at_idx", "at"),
)

# How many bytes of answers each user has kept since that moment, of those who have kept any lately.
idempotency_usage = sa.Table(
    "idempotency_usage",
    metadata,
    _user(),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("user_id"),
    sa.Index("idempotency_usage_since_idx", "since"),
    postgresql_with={"fillfactor": "50"},
)
