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
    """Which log the position is in: restoring the database from a backup begins another one."""
    position: int


class ChangedTask(NamedTuple):
    """What a task is now, after it has changed."""

    place: LogPosition
    """To read on from here leaves out nothing: of what comes before it, all has been told."""
    task_id: TaskId
    task: Task | None
    """None if the task is in the trash or purged."""


@dataclass(frozen=True, slots=True)
class ChangesPage:
    """The next changes of an account, in their order."""

    items: Sequence[ChangedTask]
    """Each task once; the task that changed last comes last."""
    end: LogPosition
    """Pass this as `after` to read on."""
    has_more: bool


class EventRepository(Protocol):
    async def end(self, owner_id: UserId) -> LogPosition:
        """The position behind the latest event of the account."""

    async def ends(self, owner_ids: Sequence[UserId]) -> Mapping[UserId, int]:
        """The latest positions of these accounts; those without events may be left out."""

    async def changes(self, owner_id: UserId, *, after: LogPosition, limit: int) -> ChangesPage:
        """The tasks of the next `limit` events, as the tasks are now.

        The page ends early, behind the task with which `text_size` reaches MAX_CHANGES_BYTES.
        An event that is committed later has a greater position, so that none is skipped. Raises
        CursorExpired if events behind `after` are not kept any more, and for a position of another
        epoch or beyond the end.
        """

    async def history(
        self, owner_id: UserId, task_id: TaskId, *, skip: int, limit: int, after: int | None = None
    ) -> Page[TaskEvent]:
        """The events of a task, the newest first. With `after`, those of smaller positions.

        The page ends early, behind the event with which `changes_size` reaches MAX_CHANGES_BYTES.
        """

    async def version(
        self, owner_id: UserId, task_id: TaskId, version: int, *, of: int
    ) -> Mapping[str, Value]:
        """The fields changed between `version` and `of`, with their values at `version`.

        Raises HistoryGone if an event between the two is not kept any more.
        """

    async def remove_old(self, before: datetime, limit: int) -> Removal:
        """Remove up to `limit` events older than `before`, and what is left of purged tasks.

        If the log of an account exceeds MAX_LOG_BYTES, also removes younger events, oldest first.

        Leaves out accounts that another transaction writes to at this moment; where nothing else is
        left to remove, it waits for the largest log that exceeds MAX_LOG_BYTES.
        """
