"""Tasks: what people keep, and how a task changes."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NewType, Self, TypedDict, Unpack

from taskcore.domain.rules import DESCRIPTION, TITLE, only, refuse
from taskcore.domain.users import UserId

TaskId = NewType("TaskId", int)


class TaskChanges(TypedDict, total=False):
    """What an edit may name; a key left out stays as it is."""

    title: str
    description: str


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task that has passed every rule and has no id yet."""

    title: str
    description: str
    owner_id: UserId
    created_at: datetime


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
    def new(owner_id: UserId, now: datetime, *, title: str, description: str = "") -> NewTask:
        """Raises Invalid, with every broken rule."""
        _check(title=title, description=description)
        return NewTask(title, description, owner_id, now)

    def edited(self, now: datetime, **changes: Unpack[TaskChanges]) -> Self:
        """A changed copy of the next version, or this very object where nothing would change.

        Raises Invalid, with every broken rule.
        """
        only(changes, TaskChanges)
        _check(**changes)
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return replace(self, **changes, version=self.version + 1, updated_at=now)


def _check(**changes: Unpack[TaskChanges]) -> None:
    texts = dict(changes)
    refuse(*(rule.problem(str(texts[rule.field])) for rule in _RULES if rule.field in texts))


_RULES = (TITLE, DESCRIPTION)
