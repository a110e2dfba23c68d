"""The tables. Limits are named constraints; errors.py translates some by name."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from taskcore.domain.rules import DESCRIPTION, EMAIL, FULL_NAME, TITLE, TextRule

# The oldest revision that this code works with. Revisions are numbered in order.
REVISION = "0004"

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

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _limits(rule: TextRule, column: str | None = None) -> CheckConstraint:
    name = column or rule.field
    return CheckConstraint(f"char_length({name}) BETWEEN {rule.min} AND {rule.max}", name=name)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=None if nullable else text("CURRENT_TIMESTAMP"),
    )


users = Table(
    "users",
    metadata,
    _id(),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),
    Column("hashed_password", Text, nullable=False),
    Column("full_name", Text),
    Column("role", Text, nullable=False, server_default="user"),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _moment("created_at"),
    _moment("updated_at"),
    _limits(EMAIL),
    _limits(EMAIL, "email_key"),
    _limits(FULL_NAME),
    CheckConstraint("char_length(hashed_password) BETWEEN 1 AND 255", name="hashed_password"),
    CheckConstraint("role IN ('user', 'admin')", name="role"),
    UniqueConstraint("email_key"),
    # For locking the active administrators, so that one of them always remains.
    Index("users_active_admins_idx", "id", postgresql_where=text("role = 'admin' AND is_active")),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("owner_id", BigInteger, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    _moment("created_at"),
    _moment("updated_at"),
    _limits(TITLE),
    _limits(DESCRIPTION),
    CheckConstraint("version >= 1", name="version"),
    # For an owner's tasks, newest first.
    Index("tasks_owner_id_id_idx", "owner_id", "id"),
)

# The numbers of tasks; sum the rows of an owner. Triggers of migration 0004 maintain them. No
# foreign key: the owner may be deleted already.
task_counts = Table(
    "task_counts",
    metadata,
    Column("owner_id", BigInteger, primary_key=True, autoincrement=False),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "50"},
)
ALL_OWNERS = 0  # as owner_id: the number of all tasks

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", BigInteger, ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False),
    _moment("created_at"),
    _moment("last_used_at"),
    _moment("expires_at"),
    Column("ip", Text),
    Column("user_agent", Text),
    Index("sessions_user_id_idx", "user_id"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("session_id", Uuid, ForeignKey(sessions.c.id, ondelete="CASCADE"), nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    _moment("issued_at"),
    _moment("expires_at"),
    _moment("used_at", nullable=True),
    Column("superseded", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
    Index("refresh_tokens_session_id_idx", "session_id"),
)

# No foreign keys: events outlive the accounts they are about. A trigger of migration 0003 refuses
# changes.
audit_events = Table(
    "audit_events",
    metadata,
    _id(),
    Column("event", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_id", BigInteger),
    Column("user_id", BigInteger),
    Column("session_id", Uuid),
    Column("ip", Text),
    Column("user_agent", Text),
    Column("request_id", Text),
    Column("detail", JSONB, nullable=False),
    Index("audit_events_user_id_idx", "user_id", "id"),
    Index("audit_events_actor_id_idx", "actor_id", "id"),
    Index("audit_events_event_idx", "event", "id"),
)

# GCRA needs one timestamp per limit and subject. Unlogged: no attempt waits for the disk, and a
# crash of the database resets all limits.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("forgotten_at", DateTime(timezone=True), nullable=False),
    prefixes=["UNLOGGED"],
)
