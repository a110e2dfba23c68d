"""Sessions, and the refresh tokens that keep them alive.

A refresh token is used once and exchanged for a successor. Sent again within RETRY_WINDOW (two
tabs, a retry after a lost response), it returns the same successor. Sent later, it has been copied,
so the session ends: the server cannot tell the owner from the thief.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple, NewType, Self
from uuid import UUID

from taskcore.domain.origins import NOWHERE, Origin
from taskcore.domain.users import UserId

SessionId = NewType("SessionId", UUID)

# Counted from the login, however often the session is used. NIST SP 800-63B AAL1: at most 30 days.
SESSION_LIFETIME = timedelta(days=30)
# How long a second use counts as a retry. Okta and Supabase allow 10 s by default.
RETRY_WINDOW = timedelta(seconds=10)
# Per user: one login more ends the session that was least recently used.
MAX_SESSIONS = 50


class SessionPosition(NamedTuple):
    """Where a session stands in a list, the one used last first."""

    last_used_at: datetime
    id: SessionId


@dataclass(frozen=True, slots=True)
class Session:
    """`last_used_at`, `ip` and `user_agent` are of the last login or refresh."""

    id: SessionId
    user_id: UserId
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ip: str | None = None
    user_agent: str | None = None

    @classmethod
    def new(
        cls,
        session_id: SessionId,
        user_id: UserId,
        now: datetime,
        idle: timedelta,
        origin: Origin = NOWHERE,
    ) -> Self:
        expires_at = now + min(idle, SESSION_LIFETIME)
        return cls(session_id, user_id, now, now, expires_at, origin.ip, origin.user_agent)

    @property
    def position(self) -> SessionPosition:
        return SessionPosition(self.last_used_at, self.id)

    def used(self, now: datetime, idle: timedelta, origin: Origin = NOWHERE) -> Self:
        """A copy that expires after `idle`, and never beyond SESSION_LIFETIME."""
        return replace(
            self,
            last_used_at=now,
            expires_at=min(now + idle, self.created_at + SESSION_LIFETIME),
            ip=origin.ip or self.ip,
            user_agent=origin.user_agent or self.user_agent,
        )


class Use(Enum):
    """What the use of a refresh token counts as."""

    FIRST = auto()
    RETRY = auto()
    REPLAY = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The stored form of a refresh token, from which the token cannot be recovered.

    `digest` is the SHA-256 of the token. The token and `nonce` determine the successor, so that a
    retry gets it again although it is not stored either.
    """

    digest: bytes = field(repr=False)
    session_id: SessionId
    nonce: bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    superseded: bool = False

    @classmethod
    def new(cls, session: Session, digest: bytes, nonce: bytes) -> Self:
        """A token issued at the session's last use, which expires with the session."""
        return cls(digest, session.id, nonce, session.last_used_at, session.expires_at)

    def use(self, now: datetime) -> Use:
        """What a use of the token now counts as: its first, a retry, a replay, or too late."""
        if self.used_at is not None:
            # Superseded: the successor has been used too, so this is no retry by the owner.
            fresh = now - self.used_at <= RETRY_WINDOW
            return Use.RETRY if fresh and not self.superseded else Use.REPLAY
        return Use.FIRST if now < self.expires_at else Use.EXPIRED
