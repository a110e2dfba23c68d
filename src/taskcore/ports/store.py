"""The store: one repository per entity, and transactions over them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from taskcore.domain.audit import Event, EventName, NewEvent
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import NewUser, Role, User, UserId

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A bounded slice of a list, and the length of the whole list at the same moment."""

    items: Sequence[Item]
    total: int
    has_more: bool = False
    """Whether older items follow; set only by lists that take `before`."""


class UserRepository(Protocol):
    async def get(self, user_id: UserId) -> User:
        """Raises NotFound."""

    async def find_by_email(self, key: str) -> User | None:
        """By the key of an Email."""

    async def lock(self, user_id: UserId) -> User:
        """As `get`, and locks the user against other writers until the transaction ends."""

    async def lock_admins(self) -> Sequence[UserId]:
        """The active administrators, locked until the transaction ends.

        Only one transaction at a time holds this lock, so it cannot deadlock with itself.
        """

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
    ) -> Page[User]:
        """Newest first. `email` is the key of an Email and must match exactly."""

    async def add(self, user: NewUser, password_hash: str) -> User:
        """Raises EmailTaken."""

    async def save(self, user: User) -> User:
        """Store an edited user, except for the password hash. Raises NotFound."""

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        """Returns False, and changes nothing, unless `old` is the stored hash."""

    async def count_hashes(self, prefix: str) -> int:
        """How many password hashes start with the prefix."""

    async def remove(self, user_id: UserId) -> None:
        """With all tasks and sessions of the user. Raises NotFound."""


class TaskRepository(Protocol):
    async def get(self, task_id: TaskId) -> Task:
        """Raises NotFound."""

    async def lock(self, task_id: TaskId) -> Task:
        """As `get`, and locks the task against other writers until the transaction ends."""

    async def page(
        self, *, owner_id: UserId | None, skip: int, limit: int, before: TaskId | None = None
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


class SessionRepository(Protocol):
    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        """None when the session has ended, or its user is inactive or gone."""

    async def open(
        self, session: Session, token: RefreshToken, *, of: User, event: NewEvent
    ) -> bool:
        """Add a session of that user, its first refresh token and the event: all or none.

        Returns False unless the user is active and still has the password hash given here.
        Removes the user's expired sessions, and the least recently used ones beyond MAX_SESSIONS;
        when these rows are locked, the next login removes them.
        """

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        """The token with its session and user, in one snapshot."""

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """The sessions that have not expired, most recently used first."""

    async def page(
        self, *, user_id: UserId | None, skip: int, limit: int, now: datetime
    ) -> Page[Session]:
        """As `of_user`, of one user or of all (None)."""

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> bool:
        """Store the session, mark `used`, supersede the tokens before it, add its successor.

        Returns False, and changes nothing, when `used` is used already or its session has ended.
        """

    async def end(self, session_id: SessionId, *, of: UserId | None = None) -> UserId | None:
        """Remove the session; its tokens stop working at once. With `of`, only that user's.

        Returns the user whose session it was, None when there was none.
        """

    async def end_all(self, user_id: UserId | None, *, but: SessionId | None = None) -> int:
        """Remove all sessions of one user, or of all (None), except one. Returns how many."""


class AuditRepository(Protocol):
    async def add(self, *events: NewEvent) -> None:
        """Append only: no method changes or removes an event."""

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        user_id: UserId | None = None,
        event: EventName | None = None,
        since: datetime | None = None,
    ) -> Page[Event]:
        """Newest first. `user_id` matches the events that the user caused or that concern them."""


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
