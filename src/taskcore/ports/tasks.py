"""Storing tasks, those in the trash apart."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import EVERYTHING, TaskFilter
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports.leftovers import Removal
from taskcore.ports.pages import Page


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label, and how many tasks of the account have it."""

    name: str
    """The first, by code points, of the names that are alike."""
    count: int
    key: str
    """Labels with the same key are alike; labels are sorted by it. See `label_key`."""


class TaskRepository(Protocol):
    """The tasks of an account, without those in its trash.

    Every method names the account, so that the tasks of others are not found by construction. A
    write locks the account's own row first; so two writes for one account never interleave.
    A write also adds an event to the account's log; `by` is the user who acted, None the operator.
    """

    async def owner_of(self, task_id: TaskId) -> UserId:
        """The owner of a task, for readers of all accounts. Raises NotFound.

        The tasks of removed accounts are not found.
        """

    async def get(self, owner_id: UserId, task_id: TaskId) -> Task:
        """The task, perhaps as it was read ahead. Raises NotFound."""

    async def lock(self, owner_id: UserId, task_id: TaskId) -> Task:
        """Read the task, and lock the account for other writers until the transaction ends.

        Raises NotFound.
        """

    async def page(
        self,
        owner_id: UserId | None,
        of: TaskFilter = EVERYTHING,
        sort: Sort = Sort.NEWEST,
        *,
        skip: int,
        limit: int,
        after: TaskPosition | None = None,
    ) -> Page[Task]:
        """The tasks of an account in this order; or of all accounts (None), unfiltered, the newest.

        With `after`, only tasks behind that position, whose task may be gone by now: paging by it
        is stable when tasks are added or deleted. By relevance, the newest MAX_RANKED matches are
        ranked, and the older ones follow, newest first. If a match is added or deleted between two
        pages, others may become ranked or cease to be: some may then be repeated or missed.

        The total of an unfiltered list is always there. That of a filtered one is None with
        `after`, and of a searched one also where it exceeds MAX_RANKED.
        """

    async def labels(
        self, owner_id: UserId, *, limit: int, after: str | None = None
    ) -> Page[LabelCount]:
        """The labels of an account's tasks by their keys, from behind the key `after`.

        The page has no total.
        """

    async def add(self, task: NewTask, *, at_most: int, by: UserId | None = None) -> Task:
        """Store a new task. Raises NotFound when the owner does not exist any more.

        Raises Invalid (`limit_reached`) if the account holds `at_most` tasks, those in the trash
        included. The count is exact, whatever else is added at the same time.
        """

    async def save(self, task: Task, *, was: Task, by: UserId | None = None) -> Task:
        """Store the edited copy of `was`. Raises StaleWrite unless that is the stored version."""

    async def trash(self, task: Task, *, was: Task, by: UserId | None = None) -> None:
        """Move `was` to the trash, as `task`. Raises StaleWrite as `save` does."""


class TrashPosition(NamedTuple):
    """A place in the list of the trash, to read on from."""

    deleted_at: datetime
    task_id: TaskId

    @classmethod
    def of(cls, task: Task) -> Self:
        """The position of a task in the trash."""
        if task.deleted_at is None:
            raise ValueError(task.id)
        return cls(task.deleted_at, task.id)


class TrashRepository(Protocol):
    """The tasks in the trash of an account; each has `deleted_at`. Writes are logged too."""

    async def owner_of(self, task_id: TaskId) -> UserId:
        """As `TaskRepository.owner_of`."""

    async def get(self, owner_id: UserId, task_id: TaskId) -> Task:
        """Raises NotFound."""

    async def lock(self, owner_id: UserId, task_id: TaskId) -> Task:
        """As `TaskRepository.lock`."""

    async def page(
        self, owner_id: UserId, *, skip: int, limit: int, after: TrashPosition | None = None
    ) -> Page[Task]:
        """The tasks in the trash, the one deleted last first; always with a total."""

    async def restore(self, task: Task, *, was: Task, by: UserId | None = None) -> None:
        """Move `was` back, as `task`. Raises StaleWrite unless that is the stored version."""

    async def purge(
        self, owner_id: UserId, task_id: TaskId, *, at: datetime, by: UserId | None = None
    ) -> None:
        """Remove a task for good, and its content from the log. Raises NotFound.

        If the task has very many events, `EventRepository.remove_old` erases the rest.
        """

    async def purge_old(
        self, before: datetime, limit: int, *, at: datetime, after: TrashPosition | None = None
    ) -> Removal:
        """Remove up to `limit` tasks that were deleted earlier than `before`, oldest first.

        Skips the tasks of accounts that another transaction writes to. The next call gets the
        removal's `place` as `after`, and so goes on past them.
        """
