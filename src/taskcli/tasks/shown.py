"""Tasks as they are printed: every field for programs, a line of a table for people.

Which columns a table has: `lists.py` and `trash.py`.
"""

from dataclasses import fields
from datetime import datetime

from taskcli.output import Record, clock_time
from taskcli.tasks.acting_user import Reader
from taskcore import Task
from taskcore.domain.task_queries import TaskQuery

_FIELDS = [field.name for field in fields(Task) if field.name != "deleted_at"]
_OVERDUE = TaskQuery(overdue=True)


def shape(task: Task) -> Record:
    return {name: getattr(task, name) for name in _FIELDS}


def trashed_shape(task: Task) -> Record:
    return {**shape(task), "deleted_at": task.deleted_at}


def line(task: Task, reader: Reader) -> Record:
    return {**trashed_shape(task), "due": _due(task, reader)}


def _due(task: Task, reader: Reader) -> str:
    """A day, or a moment in the zone with its offset; with a `!` if it is overdue."""
    if task.due_at is not None:
        shown = clock_time(task.due_at, reader.zone, "minutes")
    elif task.due_date is not None:
        shown = task.due_date.isoformat()
    else:
        return ""
    return f"{shown} !" if is_overdue(task, reader.now, reader.actor.time_zone) else shown


def is_overdue(task: Task, now: datetime, time_zone: str) -> bool:
    return _OVERDUE.filter(now, time_zone).matches(task)
