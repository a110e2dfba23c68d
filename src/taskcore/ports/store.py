"""The store: the repositories, and transactions over them."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from taskcore.ports.audit import AuditRepository
from taskcore.ports.sessions import SessionRepository
from taskcore.ports.tasks import TaskRepository
from taskcore.ports.users import UserRepository


class Repositories(Protocol):
    @property
    def users(self) -> UserRepository: ...
    @property
    def tasks(self) -> TaskRepository: ...
    @property
    def sessions(self) -> SessionRepository: ...
    @property
    def audit(self) -> AuditRepository: ...


class Store(Protocol):
    """Every call raises Unavailable when there is no answer in time."""

    def transaction(self) -> AbstractAsyncContextManager[Repositories]:
        """Commits when the block ends normally, rolls back when it raises.

        An error raised by a repository aborts the transaction: let it leave the block.
        """

    def autocommit(self) -> AbstractAsyncContextManager[Repositories]:
        """Each call is a transaction of its own, in one round trip. `lock` has no effect here."""

    async def check(self) -> None:
        """Raises Unavailable when there is no answer, NotMigrated when the schema is older."""
