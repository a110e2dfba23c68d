"""Access tokens and refresh tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The user and the session. Rights are not in the token; each request reads them anew."""

    user_id: UserId
    session_id: SessionId


class AccessTokens(Protocol):
    @property
    def lifetime(self) -> float:
        """Seconds from issue to expiry."""

    def issue(self, claims: AccessClaims, now: datetime) -> str: ...

    def read(self, token: str, now: datetime) -> AccessClaims:
        """Raises InvalidToken or ExpiredToken."""


class RefreshTokens(Protocol):
    """Opaque secrets of 256 bits. Only digests are stored."""

    def new(self) -> str: ...

    def nonce(self) -> bytes: ...

    def successors(self, token: str, nonce: bytes) -> Sequence[str]:
        """The tokens derived from both, one for each key, the current key first.

        Deterministic. The token or the nonce alone does not reveal them.
        """

    def digest(self, token: str) -> bytes: ...
