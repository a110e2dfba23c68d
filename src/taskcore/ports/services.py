"""What the core needs besides the store: a clock, cryptography and rate limits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from taskcore.domain.rate_limits import Limit
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports.leftovers import Removal


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time as an aware datetime in UTC."""

    async def wait_until(self, moment: datetime) -> None:
        """Wait until the moment; returns at once for one in the past."""


class PasswordHasher(Protocol):
    """Hashes and verifies passwords, slowly on purpose: never call it inside a transaction."""

    async def hash(self, password: str) -> str:
        """The hash of the password. Raises Unavailable when the queue is full."""

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        """Whether the hash was made from the password.

        A hash of None takes as long as a wrong password, so that timing does not reveal which
        accounts exist. An unreadable hash counts as a wrong password. Hash formats that predate
        the normalisation of passwords are also compared with `as_typed`, the password before
        normalisation. Raises Unavailable.
        """

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash has another format or strength than new ones get."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The user and session of an access token. Rights are not in it: each request reads them."""

    user_id: UserId
    session_id: SessionId
    expires: float = field(default=math.inf, compare=False)
    """In seconds since 1970; `issue` decides it."""


class AccessTokens(Protocol):
    @property
    def lifetime(self) -> float:
        """Seconds from issue to expiry."""

    def issue(self, claims: AccessClaims, now: datetime) -> str: ...

    def read(self, token: str, now: datetime) -> AccessClaims:
        """The claims of a valid token. Raises InvalidToken or ExpiredToken."""


class RefreshTokens(Protocol):
    """Opaque secrets of 256 bits. Only digests are stored."""

    def new(self) -> str: ...

    def nonce(self) -> bytes: ...

    def successors(self, token: str, nonce: bytes) -> Sequence[str]:
        """The tokens derived from token and nonce, one for each key, the current key first.

        Deterministic. The token or the nonce alone does not reveal them.
        """

    def digest(self, token: str) -> bytes: ...


class Pseudonyms(Protocol):
    """Names that the audit can store without revealing an e-mail address."""

    def of(self, name: str) -> str:
        """The pseudonym of a name, always the same. Without the key it does not reveal the name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt, counted against a limit. `subject` is the account, address or user counted."""

    limit: Limit
    subject: str


@dataclass(frozen=True, slots=True)
class Denial:
    """The claim whose limit is used up. `retry_after` in seconds."""

    claim: Claim
    retry_after: float


class RateLimiter(Protocol):
    """Counts outside of any transaction, so a rollback does not undo it.

    Exact with any number of processes. Only digests of subjects are written to disk.
    Every call raises Unavailable when there is no answer in time.
    """

    async def acquire(self, *claims: Claim) -> Denial | None:
        """Count an attempt against every limit, or against none.

        The first claim whose limit is used up is the one denied, or one that was denied before and
        still is. List narrow limits first, so that a client that has used up its own limit cannot
        use up a shared one.
        """

    async def give_back(self, shares: Mapping[Claim, timedelta]) -> None:
        """Reduce the count of each claim by its share. One attempt counts for `Limit.step`."""

    async def forget(self, limit: int) -> Removal:
        """Remove up to `limit` counts whose period is over, and skip those in use at the moment.

        A call may look at some of the counts only; the next one then looks at others. There is no
        `more` once few are left.
        """
