"""Removing what nothing needs any more, such as what deleted accounts leave in the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from taskcore.domain.tasks import TaskId
from taskcore.domain.users import UserId

# Deleting an account with more tasks only hides them; housekeeping removes them, because reading
# each from a slow disk takes long.
TASKS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Removal:
    """What one batch has removed.

    `more`: whether to call again, because the batch was full. With a count of zero and no `place`
    it means that another process is removing the same at this moment.
    """

    count: int
    more: bool
    place: Any = field(default=None, compare=False)
    """Where the next call begins, if this removal goes on past rows that it cannot remove now."""
    tried: int | None = field(default=None, compare=False)
    """The batch size that the store was quick enough for; None: the one asked for."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Numbers of accounts, and of their tasks, that no reader sees any more."""

    accounts: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Batch(Leftovers):
    """What one call of `remove` has removed, and where the next one begins."""

    owner_id: UserId | None = None
    upto: TaskId | None = None
    events: int = 0


# Of each kind, so that a store of any size can tell.
COUNTED = 100_000


class LeftoverRepository(Protocol):
    async def count(self) -> Leftovers:
        """What is still stored."""

    async def removable(
        self, *, now: datetime, trash: datetime, events: datetime, keys: datetime
    ) -> Mapping[str, int]:
        """How many rows could be removed: those of each kind that are older than its moment.

        `accounts`, `tasks` (of those), `trash`, `events`, `sessions` that end before `now`, and
        `keys`. Counts COUNTED of a kind at most, but all tasks. One round trip.
        """

    async def remove(self, limit: int, *, after: Batch | None = None) -> Batch:
        """Remove up to `limit` tasks or events of one account, or an account without any.

        Removes fewer if the store is too slow for so many, and nothing while another transaction
        does the same. With `after`, the batch before this one, the time does not depend on how
        many were removed already.
        """
