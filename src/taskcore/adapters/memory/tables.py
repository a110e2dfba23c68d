"""The tables, and what the repositories share."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

from taskcore.domain.audit import AuditEvent
from taskcore.domain.errors import NotFound
from taskcore.domain.events import Changes, TaskEvent, TaskEventType
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import Page

Item = TypeVar("Item")
# An id, or a named tuple that ends with one.
Position = TypeVar("Position", bound=Any)


@dataclass(slots=True)
class Sequences:
    """The next ids. All copies of the tables share them, so a rollback does not reuse an id."""

    users: Iterator[int] = field(default_factory=lambda: count(1))
    tasks: Iterator[int] = field(default_factory=lambda: count(1))
    events: Iterator[int] = field(default_factory=lambda: count(1))


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    request: bytes
    answer: bytes = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """How many bytes of answers a user has kept since the moment `since`."""

    since: datetime
    size: int


@dataclass(slots=True)
class Tables:
    ids: Sequences = field(default_factory=Sequences)
    users: dict[UserId, User] = field(default_factory=dict)
    password_hashes: dict[UserId, str] = field(default_factory=dict, repr=False)
    emails: dict[str, UserId] = field(default_factory=dict)
    tasks: dict[TaskId, Task] = field(default_factory=dict)
    trash: dict[TaskId, Task] = field(default_factory=dict)
    events: dict[tuple[UserId, int], TaskEvent] = field(default_factory=dict)
    heads: dict[UserId, int] = field(default_factory=dict)
    floors: dict[UserId, int] = field(default_factory=dict)
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    tokens: dict[bytes, RefreshToken] = field(default_factory=dict)
    answers: dict[tuple[UserId, bytes], KeptAnswer] = field(default_factory=dict)
    usage: dict[UserId, Usage] = field(default_factory=dict)
    audit: tuple[AuditEvent, ...] = ()

    def copy(self) -> "Tables":
        return Tables(*(copy(getattr(self, table.name)) for table in fields(self)))

    def remove_account(self, user_id: UserId) -> None:
        """Remove the user and, as foreign keys would, everything they own. Raises NotFound."""
        existing(self.users.pop(user_id, None))
        del self.password_hashes[user_id]
        self.emails = {key: owner for key, owner in self.emails.items() if owner != user_id}
        self.tasks = {key: task for key, task in self.tasks.items() if task.owner_id != user_id}
        self.trash = {key: task for key, task in self.trash.items() if task.owner_id != user_id}
        self.events = {place: event for place, event in self.events.items() if place[0] != user_id}
        self.answers = {key: row for key, row in self.answers.items() if key[0] != user_id}
        self.usage.pop(user_id, None)
        self.end_sessions([s.id for s in self.sessions.values() if s.user_id == user_id])

    def log(
        self,
        kind: TaskEventType,
        task: Task,
        *,
        by: UserId | None,
        changes: Changes | None = None,
    ) -> None:
        """Append the event for the latest change of the task."""
        position = self.heads.get(task.owner_id, 0) + 1
        self.heads[task.owner_id] = position
        self.events[task.owner_id, position] = TaskEvent(
            position, kind, task.updated_at, by, task.id, task.version, changes or {}
        )

    def end_sessions(self, ended: Collection[SessionId]) -> None:
        """Remove sessions with their refresh tokens."""
        self.sessions = {key: row for key, row in self.sessions.items() if key not in ended}
        self.tokens = {
            key: token for key, token in self.tokens.items() if token.session_id not in ended
        }


Access = Callable[[], AbstractAsyncContextManager[Tables]]
"""Opened by each call of a repository. Yields a transaction's own tables, or with autocommit the
committed ones while no transaction runs."""


def existing(row: Item | None) -> Item:
    """The row. Raises NotFound for None."""
    if row is None:
        raise NotFound
    return row


def page_of(
    rows: Sequence[Item],
    position: Callable[[Item], Position],
    *,
    skip: int,
    limit: int,
    after: Position | None,
) -> Page[Item]:
    """A page of the rows, the one of the greatest position first."""
    later = [row for row in rows if after is None or position(row) < after]
    later.sort(key=position, reverse=True)
    total = len(rows) if after is None else None
    return Page(later[skip : skip + limit], total, has_more=skip + limit < len(later))
