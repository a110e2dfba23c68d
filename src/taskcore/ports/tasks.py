"""Storing tasks."""

from typing import Protocol

from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports.pages import Page


class TaskRepository(Protocol):
    """The tasks of removed accounts are not found.

    `living` names an account that is known to exist, such as the actor's: reading its tasks then
    takes no look at the account.
    """

    async def get(self, task_id: TaskId, *, living: UserId | None = None) -> Task:
        """Raises NotFound."""

    async def lock(self, task_id: TaskId) -> Task:
        """As `get`, and locks the task against other writers until the transaction ends."""

    async def page(
        self,
        *,
        owner_id: UserId | None,
        skip: int,
        limit: int,
        before: TaskId | None = None,
        living: UserId | None = None,
    ) -> Page[Task]:
        """Newest first; of one owner, or of all (None).

        With `before`, only tasks older than that one, which may be deleted by now. Paging by it is
        stable when tasks are added or deleted, and the last page costs no more than the first.
        """

    async def add(self, task: NewTask) -> Task:
        """Raises NotFound when the owner does not exist any more."""

    async def save(self, task: Task) -> Task:
        """Store an edited task. Raises StaleWrite unless its previous version is the stored one."""

    async def remove(self, task: Task) -> None:
        """Raises StaleWrite unless this very version is the stored one."""
