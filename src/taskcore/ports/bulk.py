"""Reading and storing what a bulk of operations works on."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from taskcore.domain.bulk import Held, Work
from taskcore.domain.tasks import TaskId
from taskcore.domain.users import UserId


class BulkRepository(Protocol):
    """The tasks of an account that a bulk of at most MAX_OPERATIONS operations works on."""

    async def owners_of(self, task_ids: Sequence[TaskId]) -> Mapping[TaskId, UserId]:
        """Return the owner of each task, in the trash or not, for actors who reach others' tasks.

        Leaves out those that are not found.
        """

    async def hold(self, owner_id: UserId, task_ids: Sequence[TaskId]) -> Held | None:
        """Lock the account for other writers until the transaction ends, and read these tasks.

        Tasks of others are not found. None if the account does not exist any more.
        """

    async def write(self, work: Work, *, by: UserId | None = None) -> Sequence[TaskId]:
        """Do the work in the account that this transaction holds. Returns the new tasks' ids.

        Raises StaleWrite unless each stored task is still the first of its pair in `work.changed`.
        The events get the next positions, in the order of the steps; `by` is the user who acted.
        """
