"""The log of an account: what happened to its tasks, in the order in which it was committed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

from taskcore.domain.tasks import NewTask, Task, TaskChanges, TaskId
from taskcore.domain.users import UserId

# How long events are kept; a setting may change it.
EVENTS_LIFETIME = timedelta(days=365)
LEAST_EVENTS_DAYS = 30
# How large the log of an account grows, in bytes of its texts: beyond that the oldest events go
# earlier, so that one account cannot fill the disk. An event counts for EVENT_BYTES and what it
# says of the content. A year of ten edits a day takes 1 MB.
MAX_LOG_BYTES = 512 * 2**20
EVENT_BYTES = 100
# A page of changes ends early, behind the task with which its texts reach this; a page of a
# history behind the event with which `changes_size` does.
MAX_CHANGES_BYTES = 512 * 1024

Item = TypeVar("Item")
Value = str | int | date | datetime | tuple[str, ...] | None


class TaskEventType(StrEnum):
    """The kinds of events in the log of an account."""

    CREATED = "task.created"
    UPDATED = "task.updated"
    TRASHED = "task.trashed"
    RESTORED = "task.restored"
    PURGED = "task.purged"


class Change(NamedTuple):
    """A field of a task, before an event and after it."""

    was: Value
    now: Value


Changes = Mapping[str, Change]
"""How each field has changed, by its name: only fields that an edit may name."""


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """What happened to a task."""

    position: int
    """The event's place in the account's log: an event committed later has a greater position."""
    type: TaskEventType
    at: datetime
    actor_id: UserId | None
    """The user who did it; None for the operator and for housekeeping."""
    task_id: TaskId
    version: int
    """The version of the task after the event."""
    changes: Changes
    """For a new task, the fields that differ from their defaults."""


CONTENT = tuple(TaskChanges.__annotations__)
"""The fields that an edit may name: what a version consists of."""
_DEFAULTS = {name: NewTask.__dataclass_fields__[name].default for name in CONTENT}


def changes_of(task: Task, was: Task) -> Changes:
    """What an edit has changed."""
    return {
        name: Change(old, new)
        for name in CONTENT
        if (old := getattr(was, name)) != (new := getattr(task, name))
    }


def content_of(task: NewTask) -> Changes:
    """The fields of a new task that differ from their defaults."""
    return {
        name: Change(None, value)
        for name, default in _DEFAULTS.items()
        if (value := getattr(task, name)) != default
    }


def changes_text(changes: Changes) -> str:
    """As JSON, in which form they are stored."""
    return json.dumps(changes, ensure_ascii=False, default=_json)


def changes_size(changes: Changes) -> int:
    """The bytes of `changes_text` in UTF-8, and 0 for none."""
    return len(changes_text(changes).encode()) if changes else 0


def _json(value: object) -> str:
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    raise TypeError(value)


def text_size(task: Task | None) -> int:
    """The bytes of the texts of a task, in UTF-8: what its size depends on."""
    return len("".join((task.title, task.description, *task.labels)).encode()) if task else 0


def text_length(tasks: Iterable[Task]) -> int:
    """The characters of the texts of all these tasks, which take less to find than their bytes."""
    return sum(
        [
            len(task.title)
            + len(task.description)
            + (sum(map(len, task.labels)) if task.labels else 0)
            for task in tasks
        ]
    )


def fitting(items: Sequence[Item], size: Callable[[Item], int]) -> Sequence[Item]:
    """The first items, up to the one with which their sizes reach MAX_CHANGES_BYTES."""
    total = 0
    for number, item in enumerate(items, 1):
        total += size(item)
        if total >= MAX_CHANGES_BYTES:
            return items[:number]
    return items
