"""The tables. Limits are named constraints; errors.py translates some by name."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from taskcore.domain.rules import DESCRIPTION, EMAIL, FULL_NAME, TIME_ZONE, TITLE, TextRule
from taskcore.domain.users import DEFAULT_TIME_ZONE

# The oldest revision that this code works with. Revisions are numbered in order.
REVISION = "0008"

# The privileges that the server's role needs where it does not own the tables.
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
RIGHTS = {
    "users": _ALL,
    "tasks": _ALL,
    "task_counts": ("SELECT",),
    "sessions": _ALL,
    "refresh_tokens": _ALL,
    "rate_limits": _ALL,
    "audit_events": ("SELECT", "INSERT"),
}

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _limits(rule: TextRule, column: str | None = None) -> sa.CheckConstraint:
    name = column or rule.field
    return sa.CheckConstraint(f"char_length({name}) BETWEEN {rule.min} AND {rule.max}", name=name)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        sa.DateTime(timezone=True),
        nullable=nullable,
        server_default=None if nullable else sa.text("CURRENT_TIMESTAMP"),
    )


users = sa.Table(
    "users",
    metadata,
    _id(),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False),
    sa.Column("hashed_password", sa.Text, nullable=False),
    sa.Column("full_name", sa.Text),
    sa.Column("role", sa.Text, nullable=False, server_default="user"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
    _moment("created_at"),
    _moment("updated_at"),
    # NULL while the account exists. Every statement that reads users leaves removed accounts out.
    _moment("removed_at", nullable=True),
    sa.Column("time_zone", sa.Text, nullable=False, server_default=DEFAULT_TIME_ZONE),
    _limits(EMAIL),
    _limits(EMAIL, "email_key"),
    _limits(FULL_NAME),
    _limits(TIME_ZONE),
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

tasks = sa.Table(
    "tasks",
    metadata,
    _id(),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column(
        "owner_id", sa.BigInteger, sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False
    ),
    sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
    _moment("created_at"),
    _moment("updated_at"),
    _limits(TITLE),
    _limits(DESCRIPTION),
    sa.CheckConstraint("version >= 1", name="version"),
    # For an owner's tasks, newest first.
    sa.Index("tasks_owner_id_id_idx", "owner_id", "id"),
)

# The numbers of tasks; sum the rows of an owner. Triggers of migration 0004 maintain them. No
# foreign key: the owner may be deleted already.
task_counts = sa.Table(
    "task_counts",
    metadata,
    sa.Column("owner_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    postgresql_with={"fillfactor": "50"},
)
ALL_OWNERS = 0  # as owner_id: the number of all tasks

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "user_id", sa.BigInteger, sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False
    ),
    _moment("created_at"),
    _moment("last_used_at"),
    _moment("expires_at"),
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
    _moment("issued_at"),
    _moment("expires_at"),
    _moment("used_at", nullable=True),
    sa.Column("superseded", sa.Boolean, nullable=False, server_default=sa.text("false")),
    sa.CheckConstraint("octet_length(digest) = 32", name="digest"),
    sa.Index("refresh_tokens_session_id_idx", "session_id"),
)

# No foreign keys: events outlive the accounts they are about. A trigger of migration 0003 refuses
# changes.
audit_events = sa.Table(
    "audit_events",
    metadata,
    _id(),
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
