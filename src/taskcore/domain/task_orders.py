"""The order of a list of tasks: what it is sorted by, and where a task stands in it.

What tasks are sorted by is stored too, as `due_sort`: another `due_key` needs a migration.
"""

from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import NamedTuple

from taskcore.domain.dues import LAST
from taskcore.domain.search import Search
from taskcore.domain.tasks import Priority, Task, TaskId

NO_DUE = LAST  # what a task without a due is sorted by: behind all others


class Sort(StrEnum):
    """The order of a list of tasks; a task's id decides between equals."""

    NEWEST = "-created"
    OLDEST = "created"
    DUE = "due"
    UPDATED = "-updated"
    PRIORITY = "priority"
    RELEVANCE = "relevance"

    @property
    def descends(self) -> bool:
        return self not in {Sort.OLDEST, Sort.DUE}


class TaskPosition(NamedTuple):
    """Where a task stands in a list: what it is sorted by, and its id.

    The first is the id as well where tasks are sorted by their creation.
    """

    key: int | datetime
    task_id: TaskId


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}


def position(task: Task, sort: Sort, search: Search | None = None) -> TaskPosition:
    """Where a task of the list stands in it; `search` is what Sort.RELEVANCE ranks by."""
    key: int | datetime = task.id
    match sort:
        case Sort.DUE:
            key = due_key(task.due_date, task.due_at)
        case Sort.UPDATED:
            key = task.updated_at
        case Sort.PRIORITY:
            key = _RANKS[task.priority]
        case Sort.RELEVANCE if search:
            key = search.rank(task.title, task.description) or 0
    return TaskPosition(key, task.id)


def due_key(due_date: date | None, due_at: datetime | None) -> datetime:
    """What tasks are sorted by: the moment, the day at 00:00 UTC, or NO_DUE."""
    if due_at is not None:
        return due_at
    return NO_DUE if due_date is None else datetime.combine(due_date, time.min, UTC)
