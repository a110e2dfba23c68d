"""The store: the repositories, and transactions over them."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from taskcore.domain.users import UserId
from taskcore.ports.audit import AuditRepository
from taskcore.ports.events import EventRepository
from taskcore.ports.leftovers import LeftoverRepository
from taskcore.ports.sessions import SessionRepository
from taskcore.ports.tasks import TaskRepository, TrashRepository
from taskcore.ports.users import UserRepository


class Repositories(Protocol):
    @property
    def users(self) -> UserRepository: ...
    @property
    def tasks(self) -> TaskRepository: ...
    @property
    def trash(self) -> TrashRepository: ...
    @property
    def sessions(self) -> SessionRepository: ...
    @property
    def audit(self) -> AuditRepository: ...
    @property
    def events(self) -> EventRepository: ...
    @property
    def leftovers(self) -> LeftoverRepository: ...


class Store(Protocol):
    """Every call raises Unavailable when there is no answer in time."""

    def transaction(self) -> AbstractAsyncContextManager[Repositories]:
        """Commits when the block ends normally, rolls back when it raises.

        An error raised by a repository aborts the transaction: let it leave the block.
        """

    def autocommit(self, by: UserId | None = None) -> AbstractAsyncContextManager[Repositories]:
        """Each call is a transaction of its own, in one round trip. `lock` has no effect here.

        `by` is the user the work is for. Statements that may be slow are few at a time, and users
        take turns: raises Overloaded when too many wait. The operator (None) is one user here.
        """

    async def check(self) -> None:
        """Raises Unavailable when there is no answer, NotMigrated when the schema is older.

        Raises RightsMissing when the role lacks rights.
        """

    async def compact(self) -> int:
        """Give back space that the store would keep although nothing is there any more.

        Returns how many bytes. May take minutes, and delays no other call; one process does it at
        a time. Raises Unavailable also where only an operator can do it.
        """
