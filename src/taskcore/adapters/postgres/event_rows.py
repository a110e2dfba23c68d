"""How an event is written to its row and read from it, and the writing of events."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from taskcore.adapters.postgres.schema import events
from taskcore.adapters.postgres.statements import in_index_order
from taskcore.domain.events import EVENT_BYTES, Change, TaskEvent, TaskEventType, Value
from taskcore.domain.ids import MAX_ID
from taskcore.domain.tasks import WORDS, TaskId

_TYPES = tuple(TaskEventType)
TYPE_NUMBERS = {kind: number for number, kind in enumerate(_TYPES)}

# What travels with a request whose work is logged.
LOGGED: dict[str, TypeEngine[Any]] = {"actor_id": sa.BigInteger(), "changes": sa.Text()}
COLUMNS = ("position", "type", "at", "actor_id", "object_id", "version", "changes")

_PARSED: Mapping[str, Any] = {
    **WORDS,
    "due_date": date.fromisoformat,
    "due_at": datetime.fromisoformat,
    "labels": tuple,
}


def parsed(field: str, value: Any) -> Value:  # noqa: ANN401 - any JSON
    """A value of `changes` as the entity has it."""
    found: Value = value if value is None or field not in _PARSED else _PARSED[field](value)
    return found


def event_of(row: Sequence[Any]) -> TaskEvent:
    """From COLUMNS."""
    position, number, at, actor_id, task_id, version, changes = row
    return TaskEvent(
        position,
        _TYPES[number],
        at,
        actor_id,
        TaskId(task_id),
        version,
        {
            field: Change(parsed(field, was), parsed(field, now))
            for field, (was, now) in (changes or {}).items()
        },
    )


def size_of(changes: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """`changes_size` of the domain."""
    length = sa.func.octet_length(sa.cast(changes, sa.Text))
    return sa.func.coalesce(length, sa.literal_column("0"))


# What an event counts for in the size of the log.
WEIGHT: sa.ColumnElement[int] = sa.literal_column(str(EVENT_BYTES)) + size_of(events.c.changes)


class Logged(NamedTuple):
    """The columns of what is logged: whose task, which one, its version and the time."""

    owner_id: Any
    task_id: Any
    version: Any
    at: Any


def logged(
    rows: sa.CTE,
    kind: TaskEventType | sa.ColumnElement[int],
    of: Logged,
    changes: sa.ColumnElement[str] | None = None,
    *,
    unerased: sa.ColumnElement[bool] | None = None,
) -> sa.CTE:
    """Writes an event for each of these rows, which have `position` and `actor_id`.

    Returns the owner, the position, the time and the weight of each.
    """
    if isinstance(kind, TaskEventType):
        kind = sa.literal_column(str(TYPE_NUMBERS[kind]))
    values = {
        "owner_id": of.owner_id,
        "position": rows.c.position,
        "type": kind,
        "object_id": of.task_id,
        "version": of.version,
        "at": of.at,
        "actor_id": rows.c.actor_id,
        "changes": sa.null() if changes is None else sa.cast(changes, JSONB),
        "unerased": sa.false() if unerased is None else unerased,
    }
    return (
        sa.insert(events)
        .from_select(list(values), sa.select(*values.values()))
        .returning(events.c.owner_id, events.c.position, events.c.at, WEIGHT.label("weight"))
        .cte("logged")
    )


# How many events of a task go with it at once when it is purged: the account is locked meanwhile,
# and an event may hold 40 KB. Housekeeping removes the rest.
ERASED_AT_ONCE = 50
ROW: sa.ColumnElement[Any] = sa.literal_column("events.ctid")


def erasure(
    purged: sa.CTE, task_id: sa.ColumnElement[int]
) -> tuple[sa.CTE, sa.ColumnElement[bool]]:
    """Deletes the oldest events of each task, and tells of each row whether some may be left."""
    older = (
        sa.select(ROW.label("row"))
        .where(events.c.owner_id == purged.c.owner_id, events.c.object_id == task_id)
        .order_by(events.c.owner_id, events.c.object_id, events.c.position)
        .limit(sa.literal_column(str(ERASED_AT_ONCE)))
        .lateral("older")
    )
    old = (
        sa.select(task_id.label("object_id"), older.c.row)
        .join_from(purged, older, sa.true())
        .cte("their_events")
    )
    erased = deleted(sa.select(old.c.row), "erased")
    number = (
        sa.select(sa.func.count()).where(old.c.object_id == task_id).correlate(purged)
    ).scalar_subquery()
    return erased, number >= sa.literal_column(str(ERASED_AT_ONCE))


def deleted(rows: sa.Select[Any], name: str) -> sa.CTE:
    """Deletes the events in these places. Returns owner, position and weight of each."""
    # An array, because PostgreSQL would plan a join as if it deleted a tenth of the table.
    return (
        sa.delete(events)
        .where(sa.any_(sa.func.array(rows.scalar_subquery())) == ROW)
        .returning(events.c.owner_id, events.c.position, WEIGHT.label("weight"))
        .cte(name)
    )


def behind(owner_id: sa.ColumnElement[int], after: sa.ColumnElement[int]) -> sa.Select[Any]:
    """The position and the task of each event of the account behind this position, in order."""
    # All events have a version. The other index does not hold it: PostgreSQL would read that one
    # without the rows, for all events of the account, and sort them.
    every = events.c.version > sa.literal_column("0")
    return in_index_order(
        sa.select(events.c.position, events.c.object_id).where(every),
        [events.c.owner_id, events.c.position],
        low=[owner_id, after],
        below=[owner_id, sa.literal_column(str(MAX_ID))],
        descends=False,
    )
