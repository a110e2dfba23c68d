"""Tasks: their fields, and how a task is created, edited, put into the trash and restored.

A new field goes into both TypedDicts and both dataclasses, there behind `labels`, and its rule into
`_problems`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from types import NoneType
from typing import Any, NewType, NotRequired, Self, TypedDict, Unpack, get_args

from taskcore.domain.dues import check_moment, check_time_zone
from taskcore.domain.errors import Invalid, Problem
from taskcore.domain.labels import check_labels
from taskcore.domain.refusals import only, refuse
from taskcore.domain.text_rules import TextRule
from taskcore.domain.users import UserId

TaskId = NewType("TaskId", int)

# How many tasks an account holds at most, those in the trash included; a setting may change it.
MAX_TASKS = 100_000

TITLE = TextRule("title", 1, 255)
DESCRIPTION = TextRule("description", 0, 5000)
TASK_RULES = (TITLE, DESCRIPTION)


class Status(StrEnum):
    """How far a task is. In iCalendar: NEEDS-ACTION, IN-PROCESS, COMPLETED, CANCELLED."""

    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


OPEN = frozenset({Status.TODO, Status.IN_PROGRESS})
CLOSED = frozenset({Status.DONE, Status.CANCELLED})


class Priority(StrEnum):
    """How urgent a task is, the least first; in words, as numbers differ between systems."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


class TaskChanges(TypedDict, total=False):
    """The fields that an edit may name; one left out stays as it is."""

    title: str
    description: str
    status: Status
    priority: Priority
    due_date: date | None
    due_at: datetime | None
    time_zone: str | None
    labels: Sequence[str]


class NewTaskFields(TypedDict):
    """What a new task is made of; NewTask has the defaults of what may be left out."""

    title: str
    description: NotRequired[str]
    status: NotRequired[Status]
    priority: NotRequired[Priority]
    due_date: NotRequired[date | None]
    due_at: NotRequired[datetime | None]
    time_zone: NotRequired[str | None]
    labels: NotRequired[Sequence[str]]


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that has passed every rule and has no id yet."""

    owner_id: UserId
    created_at: datetime
    title: str
    description: str = ""
    status: Status = Status.TODO
    priority: Priority = Priority.NONE
    due_date: date | None = None
    due_at: datetime | None = None
    time_zone: str | None = None
    labels: tuple[str, ...] = ()
    completed_at: datetime | None = None

    def stored_as(self, task_id: TaskId) -> "Task":
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return Task(id=task_id, version=1, updated_at=self.created_at, **content)


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it is stored. It never changes: an edit returns another one."""

    id: TaskId
    title: str
    description: str
    status: Status
    priority: Priority
    due_date: date | None
    """A day wherever its reader lives. A task has `due_date` or `due_at` or neither."""
    due_at: datetime | None
    time_zone: str | None
    """The zone in which `due_at` is meant; None exactly when `due_at` is None."""
    labels: tuple[str, ...]
    completed_at: datetime | None
    """When the task became done; None while it is not done."""
    owner_id: UserId
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    """When the task was put into the trash; None outside of the trash."""

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @staticmethod
    def new(
        owner_id: UserId, now: datetime, zone: str = "UTC", /, **content: Unpack[NewTaskFields]
    ) -> NewTask:
        """`zone` is the owner's. Raises Invalid, with every broken rule."""
        only(content, NewTaskFields)
        return NewTask(owner_id, now, **_settled(None, content, now, zone))

    def edited(self, now: datetime, zone: str = "UTC", /, **changes: Unpack[TaskChanges]) -> Self:
        """A changed copy with the next version, or this very object if nothing would change.

        `zone` is the one of the user who edits. Raises Invalid, with every broken rule.
        """
        only(changes, TaskChanges)
        settled = _settled(self, changes, now, zone)
        if all(getattr(self, name) == value for name, value in settled.items()):
            return self
        return replace(self, **settled, version=self.version + 1, updated_at=now)

    def trashed(self, now: datetime) -> Self:
        """The next version, in the trash."""
        return replace(self, deleted_at=now, version=self.version + 1, updated_at=now)

    def restored(self, now: datetime) -> Self:
        """The next version, out of the trash."""
        return replace(self, deleted_at=None, version=self.version + 1, updated_at=now)


def check_changes(changes: Mapping[str, Any]) -> None:
    """Raises Invalid, with the rules that the changes break whatever task they are made to."""
    only(changes, TaskChanges)
    refuse(*_problems(changes))


def limit_reached(at_most: int) -> Invalid:
    detail = f"an account holds at most {at_most} tasks, those in the trash included"
    return Invalid(Problem("", f"{detail}; delete some, and then from the trash", "limit_reached"))


for _kind in (NewTaskFields, NewTask, Task):
    if _undeclared := TaskChanges.__annotations__.keys() - _kind.__annotations__.keys():
        raise LookupError(f"declare these fields of a task in {_kind.__name__} too: {_undeclared}")

_DUE = ("due_date", "due_at", "time_zone")
NULLABLE = {
    name for name, kind in TaskChanges.__annotations__.items() if NoneType in get_args(kind)
}
"""The fields that an edit may clear, with None."""
WORDS: Mapping[str, type[StrEnum]] = {
    name: each
    for name, kind in TaskChanges.__annotations__.items()
    for each in (kind, *get_args(kind))
    if isinstance(each, type) and issubclass(each, StrEnum)
}
"""The fields that hold a word, and the words that there are."""


def _settled(
    task: Task | None, changes: Mapping[str, Any], now: datetime, zone: str
) -> dict[str, Any]:
    """The changes to a task (None: a new one), and what follows from them. Raises Invalid."""
    refuse(*_problems(changes))
    settled = dict(changes)
    for name, words in WORDS.items():
        if settled.get(name) is not None:
            settled[name] = words(settled[name])
    if "labels" in settled:
        settled["labels"] = tuple(settled["labels"])  # kept as sent, in their order
    if "status" in settled:
        was_done = task is not None and task.status is Status.DONE
        if settled["status"] is not Status.DONE:
            settled["completed_at"] = None
        elif not was_done:
            settled["completed_at"] = now
    if not changes.keys().isdisjoint(_DUE):
        settled |= _due(task, changes, zone)
    return settled


def _problems(changes: Mapping[str, Any]) -> list[Problem | None]:
    nulls = {name for name, value in changes.items() if value is None}
    problems: list[Problem | None] = [
        Problem(name, "must not be null; leave it out to keep it", "not_nullable")
        for name in sorted(nulls.difference(NULLABLE))
    ]
    given = {name: value for name, value in changes.items() if name not in nulls}
    problems += [rule.problem(given[rule.field]) for rule in TASK_RULES if rule.field in given]
    for name, words in WORDS.items():
        if name in given and given[name] not in set(words):
            problems.append(Problem(name, f"must be one of {', '.join(words)}", "wrong_type"))
    if "labels" in given:
        problems += check_labels(given["labels"])
    if type(given.get("due_date", date.min)) is not date:
        problems.append(Problem("due_date", "must be a day; a moment is due_at", "wrong_type"))
    if "due_at" in given:
        problems.append(_moment_problem(given["due_at"]))
    if "time_zone" in given:
        problems.append(check_time_zone(given["time_zone"]))
    if {"due_date", "due_at"} <= given.keys():
        detail = "a task is due on a day or at a moment: give due_date or due_at, not both"
        problems.append(Problem("due_at", detail, "one_due_only"))
    return problems


def _moment_problem(due_at: object) -> Problem | None:
    if not isinstance(due_at, datetime):
        return Problem("due_at", "must be a moment; a day is due_date", "wrong_type")
    return check_moment("due_at", due_at)


def _due(task: Task | None, changes: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """The three fields of a due: a value for `due_date` clears `due_at`, and the reverse.

    Without a time zone, a new moment gets that of the user who edits.
    """
    due_date, due_at, time_zone = (
        (None, None, None) if task is None else (task.due_date, task.due_at, task.time_zone)
    )
    if changes.get("due_at", due_at) != due_at:
        time_zone = None
    if changes.get("due_date") is not None:
        due_at = None
    if changes.get("due_at") is not None:
        due_date = None
    due_date = changes.get("due_date", due_date)
    due_at = changes.get("due_at", due_at)
    if due_at is None:
        if changes.get("time_zone") is not None:
            detail = "belongs to due_at: give that too, or leave the time zone out"
            raise Invalid(Problem("time_zone", detail, "time_zone_without_due_at"))
        time_zone = None
    else:
        due_at = due_at.astimezone(UTC)
        time_zone = changes.get("time_zone", time_zone) or zone
    return {"due_date": due_date, "due_at": due_at, "time_zone": time_zone}
