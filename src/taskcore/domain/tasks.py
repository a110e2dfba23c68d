"""Tasks: their fields, and how a task is created and edited.

A new field goes into both TypedDicts and both dataclasses, and its rule into TASK_RULES.
"""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import NewType, NotRequired, Self, TypedDict, Unpack

from taskcore.domain.rules import TASK_RULES, check, only
from taskcore.domain.users import UserId

TaskId = NewType("TaskId", int)


class NewTaskFields(TypedDict):
    """What a new task is made of; NewTask has the defaults of what may be left out."""

    title: str
    description: NotRequired[str]


class TaskChanges(TypedDict, total=False):
    """What an edit may name; a key left out stays as it is."""

    title: str
    description: str


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that has passed every rule and has no id yet."""

    owner_id: UserId
    created_at: datetime
    title: str
    description: str = ""

    def stored_as(self, task_id: TaskId) -> "Task":
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        return Task(id=task_id, version=1, updated_at=self.created_at, **content)


@dataclass(frozen=True, slots=True)
class Task:
    id: TaskId
    title: str
    description: str
    owner_id: UserId
    version: int
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def new(owner_id: UserId, now: datetime, **content: Unpack[NewTaskFields]) -> NewTask:
        """Raises Invalid, with every broken rule."""
        only(content, NewTaskFields)
        check(content, TASK_RULES)
        return NewTask(owner_id, now, **content)

    def edited(self, now: datetime, **changes: Unpack[TaskChanges]) -> Self:
        """A changed copy with the next version, or this very object if nothing would change.

        Raises Invalid, with every broken rule.
        """
        only(changes, TaskChanges)
        check(changes, TASK_RULES)
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return replace(self, **changes, version=self.version + 1, updated_at=now)
