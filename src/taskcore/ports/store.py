"""The store: the repositories, and transactions over them."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from taskcore.domain.users import UserId
from taskcore.ports.audit import AuditRepository
from taskcore.ports.bulk import BulkRepository
from taskcore.ports.events import EventRepository
from taskcore.ports.idempotency import IdempotencyRepository
from taskcore.ports.leftovers import LeftoverRepository
from taskcore.ports.sessions import SessionRepository
from taskcore.ports.tasks import TaskRepository, TrashRepository
from taskcore.ports.users import UserRepository

Prepare = Callable[[], Awaitable[None]]


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
    def idempotency(self) -> IdempotencyRepository: ...
    @property
    def leftovers(self) -> LeftoverRepository: ...
    @property
    def bulk(self) -> BulkRepository: ...


class Store(Protocol):
    """Every call raises Unavailable when there is no answer in time.

    A store belongs to one event loop at a time: calls from another raise RuntimeError, and do not
    wait.

    It is OutcomeUnknown where a change was sent, or its commit, and the connection is lost: the
    change may have been made.
    """

    def transaction(
        self, by: UserId | None = None, prepare: Prepare | None = None
    ) -> AbstractAsyncContextManager[Repositories]:
        """Commits when the block ends normally, rolls back when it raises.

        An error raised by a repository aborts the transaction: let it leave the block.

        With `by`, for a transaction of many calls, the work takes turns: few of them run at a time,
        and one for each user. Raises Overloaded when too many wait, or one for too long.

        `prepare` is work of some length that the block needs. It is done in the turn, so not for
        what is refused, and before the transaction begins; what it raises leaves the block undone.
        """

    def autocommit(
        self, by: UserId | None = None, *, may_lag: bool = False
    ) -> AbstractAsyncContextManager[Repositories]:
        """Each call is a transaction of its own, in one round trip. `lock` has no effect here.

        `may_lag`: for reads alone, whose answers may be some seconds old: a store that has a copy
        asks that. Never for sessions, rights and limits, nor for what people see of their own.

        `by` is the user the work is for. Statements that may be slow are few at a time, and users
        take turns: raises Overloaded when too many wait. The operator (None) is one user here.
        """

    async def check(self) -> None:
        """Raises Unavailable when there is no answer, NotMigrated when the schema is older.

        Raises RightsMissing when the role lacks rights, SchemaTooNew when a newer release has
        migrated the store beyond this code, and WrongEncoding when it cannot hold every text.
        """

    async def compact(self) -> int:
        """Give back space that the store would keep although nothing is there any more.

        Returns how many bytes. May take minutes, and delays no other call; one process does it at
        a time. Raises Unavailable also where only an operator can do it.
        """
