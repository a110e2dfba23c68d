"""The log of an account's tasks. The repositories of tasks and of the trash write it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from taskcore.domain.events import TaskEvent, Value
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports.leftovers import Removal
from taskcore.ports.pages import Page


class LogPosition(NamedTuple):
    """A place in the log of an account: behind the event of that position."""

    epoch: int
    """Which log it is. Another one after the database was restored from a backup."""
    position: int


@dataclass(frozen=True, slots=True)
class ChangedTask:
    """What a task is now, after it has changed."""

    task_id: TaskId
    task: Task | None
    """None where it is in the trash, or purged."""


@dataclass(frozen=True, slots=True)
class ChangesPage:
    items: Sequence[ChangedTask]
    """Each task once, the one that changed last comes last."""
    end: LogPosition
    """Where to read on."""
    has_more: bool


class EventRepository(Protocol):
    async def end(self, owner_id: UserId) -> LogPosition:
        """Behind the latest event of the account."""

    async def ends(self, owner_ids: Sequence[UserId]) -> Mapping[UserId, int]:
        """The latest positions of these accounts; those without events may be left out."""

    async def changes(self, owner_id: UserId, *, after: LogPosition, limit: int) -> ChangesPage:
        """Of the next `limit` events, the tasks that they are about, as they are now.

        An event that is committed later has a greater position, so that none is skipped. Raises
        CursorExpired where events behind that place are not kept any more, and for a place of
        another epoch or beyond the end.
        """

    async def history(
        self, owner_id: UserId, task_id: TaskId, *, skip: int, limit: int, after: int | None = None
    ) -> Page[TaskEvent]:
        """The events of a task, the newest first. With `after`, those of smaller positions."""

    async def version(
        self, owner_id: UserId, task_id: TaskId, version: int, *, of: int
    ) -> Mapping[str, Value]:
        """The fields that have changed between that version and `of`, as they were then.

        Raises HistoryGone where an event between the two is not kept any more.
        """

    async def remove_old(self, before: datetime, limit: int) -> Removal:
        """Remove up to `limit` events from before, and whatever is left of purged tasks.

        Of an account whose log has more than MAX_LOG_BYTES, also younger ones, the oldest first.

        Leaves out accounts that another transaction writes to at this moment.
        """
