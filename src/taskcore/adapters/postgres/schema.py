"""The tables: those of tasks here, and the others in `account_tables.py`.

Limits are named constraints; errors.py translates some by name. Everything of an account lies
together: `owner_id` leads the keys of its tables. They have no triggers and no identity columns, so
that they can be distributed by `owner_id`.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from taskcore.adapters.postgres.account_tables import users
from taskcore.adapters.postgres.columns import limits, metadata, moment
from taskcore.domain.labels import MAX_LABELS
from taskcore.domain.task_orders import NO_DUE
from taskcore.domain.tasks import DESCRIPTION, TITLE, WORDS, Status

# The oldest revision that this code works with. Revisions are numbered in order.
REVISION = "0014"

# The privileges that the server's role needs where it does not own the tables.
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
RIGHTS = {
    "users": _ALL,
    "tasks": _ALL,
    "trash": _ALL,
    "task_words": _ALL,
    "streams": _ALL,
    "events": _ALL,
    "epochs": ("SELECT",),
    "totals": ("SELECT", "INSERT", "UPDATE"),
    "sessions": _ALL,
    "refresh_tokens": _ALL,
    "rate_limits": _ALL,
    "idempotency_keys": _ALL,
    "idempotency_usage": _ALL,
    "audit_events": ("SELECT", "INSERT"),
}

# Ids of tasks, also of those in the trash.
task_ids = sa.Sequence("tasks_id_seq", metadata=metadata)
# What `due_sort` is for a task that is not due: it comes last.
_NO_DUE = sa.text(f"'{NO_DUE:%Y-%m-%d %H:%M:%S.%f}+00'")
_DONE = list(Status).index(Status.DONE)


def _owner() -> sa.Column[int]:
    return sa.Column(
        "owner_id", sa.BigInteger, sa.ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False
    )


def _word(name: str) -> sa.Column[int]:
    """The number of the word in its enum, such as Status; the first word is the default."""
    return sa.Column(name, sa.SmallInteger, nullable=False, server_default=sa.text("0"))


def _task() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        _owner(),
        # The entity's version. Servers of before 0009, which would not count what they write, fail
        # because they find no column of that name.
        sa.Column("edition", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        moment("created_at"),
        moment("updated_at"),
        _word("status"),
        _word("priority"),
        sa.Column("due_date", sa.Date),
        moment("due_at", nullable=True),
        sa.Column("time_zone", sa.Text),
        # What tasks are sorted by: `due_key` of the domain.
        sa.Column("due_sort", sa.DateTime(timezone=True), nullable=False, server_default=_NO_DUE),
        sa.Column("labels", sa.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        # What makes labels alike, and a number for it, which indexes can hold whatever its length.
        # Both in the order of the labels, and NULL without any.
        sa.Column("label_keys", sa.ARRAY(sa.Text)),
        sa.Column("label_hashes", sa.ARRAY(sa.BigInteger)),
        moment("completed_at", nullable=True),
    )


def _checks() -> tuple[sa.CheckConstraint, ...]:
    return (
        limits(TITLE),
        limits(DESCRIPTION),
        sa.CheckConstraint("edition >= 1", name="edition"),
        *(
            sa.CheckConstraint(f"{name} BETWEEN 0 AND {len(words) - 1}", name=name)
            for name, words in WORDS.items()
        ),
        sa.CheckConstraint("due_date IS NULL OR due_at IS NULL", name="due"),
        sa.CheckConstraint("(due_at IS NULL) = (time_zone IS NULL)", name="time_zone"),
        sa.CheckConstraint(f"(status = {_DONE}) = (completed_at IS NOT NULL)", name="completed_at"),
        sa.CheckConstraint(f"cardinality(labels) <= {MAX_LABELS}", name="labels"),
    )


# What the filters of a list look at. Every order of a list has an index that ends with them, so
# that a filter is tested in the index, and no row is fetched that is not shown.
FILTERED = (
    *("status", "priority", "due_sort", "due_date", "completed_at", "updated_at"),
    "label_hashes",
)


def _ordered(name: str, *key: str) -> sa.Index:
    return sa.Index(name, "owner_id", *key, *(each for each in FILTERED if each not in key))


tasks = sa.Table(
    "tasks",
    metadata,
    *_task(),
    *_checks(),
    # By the id first: for administrators, who know no owner, and for the list of everybody's. An
    # owner's tasks are found by the next one, and nothing tempts the planner to fetch their rows.
    sa.PrimaryKeyConstraint("id", "owner_id"),
    _ordered("tasks_created_idx", "id"),
    _ordered("tasks_due_idx", "due_sort", "id"),
    _ordered("tasks_updated_idx", "updated_at", "id"),
    _ordered("tasks_priority_idx", "priority", "id"),
    # Index-only scans need pages that were vacuumed since they changed.
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_insert_scale_factor": "0.02",
    },
)

# Apart from the tasks, so that no list and no look-up has to leave it out.
trash = sa.Table(
    "trash",
    metadata,
    *_task(),
    sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
    *_checks(),
    sa.PrimaryKeyConstraint("id", "owner_id"),
    sa.Index("trash_owner_id_deleted_at_id_idx", "owner_id", "deleted_at", "id"),
    sa.Index("trash_deleted_at_idx", "deleted_at"),
)

# The words of each task outside of the trash, for search. Apart from the tasks, so that an edit
# of other fields leaves this index alone. Each lexeme begins with the owner's id: what a search
# costs depends on the owner's tasks alone.
task_words = sa.Table(
    "task_words",
    metadata,
    sa.Column("owner_id", sa.BigInteger, nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("words", TSVECTOR, nullable=False),
    sa.PrimaryKeyConstraint("owner_id", "task_id"),
    sa.Index(
        "task_words_words_idx",
        "words",
        postgresql_using="gin",
        # Else a search now and then waits until the words of many writes are sorted in.
        postgresql_with={"fastupdate": "off"},
    ),
)

# One row per account, from its first task on, which every write to its tasks locks first: so the
# numbers are exact, what is counted or numbered for an account never races, and events are
# committed in the order of their positions.
streams = sa.Table(
    "streams",
    metadata,
    sa.Column(
        "owner_id",
        sa.BigInteger,
        sa.ForeignKey(users.c.id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("live", sa.Integer, nullable=False, server_default=sa.text("0")),
    # Servers of before 0010, which would log nothing of what they write, find no column `trashed`.
    sa.Column("in_trash", sa.Integer, nullable=False, server_default=sa.text("0")),
    # Of an account that is removed for every reader, while its tasks are still stored.
    sa.Column("removed", sa.Boolean, nullable=False, server_default=sa.false()),
    # The position of the account's latest event, and of the latest one that is not kept any more.
    sa.Column("head", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("floor", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    # The time of the oldest event that is kept; NULL without any.
    moment("oldest_at", nullable=True),
    # How large the log is, and whether that is more than MAX_LOG_BYTES.
    sa.Column("log_bytes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("log_full", sa.Boolean, nullable=False, server_default=sa.false()),
    # For housekeeping. These change seldom, so that most updates of a row touch no index.
    sa.Index("streams_oldest_at_idx", "oldest_at"),
    sa.Index("streams_log_full_idx", "owner_id", postgresql_where=sa.text("log_full")),
    # Rows change with every task: free space keeps a row's next version on the same page.
    postgresql_with={"fillfactor": "50"},
)

# What happened to the tasks of an account. `position` counts them, in the order of the commits.
events = sa.Table(
    "events",
    metadata,
    sa.Column("owner_id", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    # The number of the word in TaskEventType.
    sa.Column("type", sa.SmallInteger, nullable=False),
    sa.Column("object_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("actor_id", sa.BigInteger),
    # {field: [was, now]}, or NULL.
    sa.Column("changes", JSONB),
    # Of the event of a purge: whether older events of the task, with its content, are still stored.
    sa.Column("unerased", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.PrimaryKeyConstraint("owner_id", "position"),
    # The history of a task.
    sa.Index("events_owner_id_object_id_position_idx", "owner_id", "object_id", "position"),
    sa.Index("events_unerased_idx", "owner_id", postgresql_where=sa.text("unerased")),
)

# One row. Another number says that positions may have been given a second time, because the
# database was restored from a backup: readers begin anew.
epochs = sa.Table(
    "epochs",
    metadata,
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
)

# The number of all tasks outside of the trash: the sum of the rows. Each connection adds to the
# row of its own slot, so that writes seldom wait for each other.
totals = sa.Table(
    "totals",
    metadata,
    sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("tasks", sa.BigInteger, nullable=False),
    postgresql_with={"fillfactor": "50"},
)
