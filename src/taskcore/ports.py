"""What the core asks of the outside. The docstrings are the contract; adapters repeat none of it.

Everything here is structural: an adapter need not import this module.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from taskcore.domain.audit import Event, EventName, NewEvent
from taskcore.domain.limits import Limit
from taskcore.domain.policies import Actor
from taskcore.domain.sessions import RefreshToken, Session, SessionId
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import NewUser, Role, User, UserId

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A bounded slice of a list, and how many there are in all at the same moment."""

    items: Sequence[Item]
    total: int
    has_more: bool = False
    """Whether more follow, in lists that can be read on from their last item."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The present in UTC, time zone included."""
        ...

    async def wait_until(self, moment: datetime) -> None:
        """Returns at once when it has passed."""
        ...


class PasswordHasher(Protocol):
    """Slow on purpose. Never call it while a transaction is open."""

    async def hash(self, password: str) -> str:
        """Raises Unavailable when too many wait already; nothing was hashed then."""
        ...

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        """Whether the hash was made of the password.

        A hash of None takes as long as a wrong password, so that time does not tell which
        accounts exist. A hash that no one can read is a wrong password. Kinds of hashes that were
        made before passwords were normalised are tried with what was typed too.
        Raises Unavailable.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash is of another kind or strength than new ones are."""
        ...


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says: who, in which session. Nothing about rights: those are read."""

    user_id: UserId
    session_id: SessionId


class AccessTokens(Protocol):
    @property
    def lifetime(self) -> float:
        """Seconds from issue to expiry."""
        ...

    def issue(self, claims: AccessClaims, now: datetime) -> str: ...

    def read(self, token: str, now: datetime) -> AccessClaims:
        """Raises InvalidToken or ExpiredToken."""
        ...


class RefreshTokens(Protocol):
    """Opaque secrets of 256 bits. Only digests are ever stored."""

    def new(self) -> str: ...

    def nonce(self) -> bytes: ...

    def successors(self, token: str, nonce: bytes) -> Sequence[str]:
        """Always the same for the same token and nonce; neither alone leads to them.

        One for each key, the one of the present key first.
        """
        ...

    def digest(self, token: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that a limit counts, of whatever the limit is kept for."""

    limit: Limit
    subject: str


@dataclass(frozen=True, slots=True)
class Denial:
    """The limit that is used up. `retry_after` in seconds."""

    claim: Claim
    retry_after: float


class RateLimiter(Protocol):
    """Counts on its own, outside of any transaction: what is counted stays so.

    Exact however many processes ask at once. No subject is written to a disk, only its digest.
    Every call raises Unavailable when there is no answer in time.
    """

    async def acquire(self, *claims: Claim) -> Denial | None:
        """Count an attempt against every limit, or against none.

        They are asked in this order, and the first that is used up decides: what is narrow comes
        first, so that whoever has used up a narrow limit cannot use up a wide one.
        """
        ...

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        """Forget so much of what each has counted. One attempt counts for `Limit.step`."""
        ...


class Pseudonyms(Protocol):
    def of(self, name: str) -> str:
        """Always the same for the same name. Nobody without the key can tell or try out whose."""
        ...


class Users(Protocol):
    async def get(self, user_id: UserId) -> User:
        """Raises NotFound."""
        ...

    async def find_by_email(self, key: str) -> User | None:
        """By the key of an Email."""
        ...

    async def lock(self, user_id: UserId) -> User:
        """As `get`; nobody else changes or removes the user until the transaction ends."""
        ...

    async def lock_admins(self) -> Sequence[UserId]:
        """The active administrators, held against every change until the transaction ends.

        One transaction at a time has them, so no two wait for each other.
        """
        ...

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
    ) -> Page[User]:
        """Newest first. `email` is the key of an Email, compared whole."""
        ...

    async def add(self, user: NewUser, password_hash: str) -> User:
        """Raises EmailTaken."""
        ...

    async def save(self, user: User) -> User:
        """Store what `edited` changed. Raises NotFound."""
        ...

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        """Only if the old one still stands; False when it does not."""
        ...

    async def count_hashes(self, prefix: str) -> int:
        """How many password hashes begin so."""
        ...

    async def remove(self, user_id: UserId) -> None:
        """With everything that is theirs: tasks and sessions. Raises NotFound."""
        ...


class Tasks(Protocol):
    async def get(self, task_id: TaskId) -> Task:
        """Raises NotFound."""
        ...

    async def lock(self, task_id: TaskId) -> Task:
        """As `get`; nobody else changes or removes the task until the transaction ends."""
        ...

    async def page(
        self, *, owner_id: UserId | None, skip: int, limit: int, before: TaskId | None = None
    ) -> Page[Task]:
        """Newest first; of one owner, or of everybody (None).

        With `before` only those that are older than that one, which need not exist any more. What
        comes or goes meanwhile moves nothing, and the last page costs no more than the first.
        """
        ...

    async def add(self, task: NewTask) -> Task:
        """Raises NotFound when the owner is gone."""
        ...

    async def save(self, task: Task) -> Task:
        """Store an edited task. Raises StaleWrite unless its previous version is the stored one."""
        ...

    async def remove(self, task: Task) -> None:
        """Raises StaleWrite unless this very version is the stored one."""
        ...


class Sessions(Protocol):
    async def find_actor(self, session_id: SessionId, now: datetime) -> Actor | None:
        """Who acts in this session: None when it has ended, or its user is gone or inactive."""
        ...

    async def open(
        self, session: Session, token: RefreshToken, *, of: User, event: NewEvent
    ) -> bool:
        """A new session of that user, its first refresh token, and the event: all or none.

        Only while the user is active and has the password hash given here; False otherwise. Of
        their other sessions those go that have expired, and those that were not used for longest
        where there would be more than MAX_SESSIONS; if that cannot be done now, with the next.
        """
        ...

    async def find_by_token(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        """What this refresh token belongs to, at one moment."""
        ...

    async def of_user(self, user_id: UserId, now: datetime) -> Sequence[Session]:
        """Those that have not expired, the one used last first."""
        ...

    async def page(
        self, *, user_id: UserId | None, skip: int, limit: int, now: datetime
    ) -> Page[Session]:
        """As `of_user`, of one user or of everybody (None)."""
        ...

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> bool:
        """Store the session, mark `used`, supersede the tokens before it, add its successor.

        All of it, or nothing and False where `used` has been used meanwhile or its session ended.
        """
        ...

    async def end(self, session_id: SessionId, *, of: UserId | None = None) -> UserId | None:
        """Its tokens stop working at once. Whose it was; None where there is none (`of` them)."""
        ...

    async def end_all(self, user_id: UserId | None, *, but: SessionId | None = None) -> int:
        """The same for every session of the user, or of everybody (None). How many there were."""
        ...


class Audit(Protocol):
    async def add(self, *events: NewEvent) -> None:
        """They stay for good: no transaction changes or removes one."""
        ...

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        user_id: UserId | None = None,
        event: EventName | None = None,
        since: datetime | None = None,
    ) -> Page[Event]:
        """Newest first. Of a user: what they did, and what concerns them."""
        ...


class Repositories(Protocol):
    @property
    def users(self) -> Users: ...
    @property
    def tasks(self) -> Tasks: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def audit(self) -> Audit: ...


class Store(Protocol):
    """Where everything is kept. Every call raises Unavailable when it does not answer in time."""

    def transaction(self) -> AbstractAsyncContextManager[Repositories]:
        """All of it or nothing: leaving normally commits, leaving by an exception undoes.

        A call that was refused ends it: let the refusal leave the block.
        """
        ...

    def autocommit(self) -> AbstractAsyncContextManager[Repositories]:
        """Each call is a transaction of its own, and one round trip. `lock` has no use here."""
        ...

    async def check(self) -> None:
        """Raises Unavailable when there is no answer, NotMigrated when the schema is older."""
        ...
