"""Sessions: what a login opens, and how its refresh tokens follow one another.

A refresh token is used once; its use brings a successor. A client that sends the same token
again at once (two tabs, a retry after a lost answer) gets the same successor. Anybody who
sends it later holds a copy, so the session ends, whoever of the two they are.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import NewType, Self
from uuid import UUID

from taskcore.domain.origins import NOWHERE, Origin
from taskcore.domain.users import UserId

SessionId = NewType("SessionId", UUID)

# Whatever happens, people log in again after this long. NIST SP 800-63B AAL1: at most 30 days.
SESSION_LIFETIME = timedelta(days=30)
# How long a repeated use counts as a retry. Okta and Supabase allow 10 s by default.
RETRY_WINDOW = timedelta(seconds=10)
# Of one user. With the next login the one that was not used for longest ends.
MAX_SESSIONS = 50


@dataclass(frozen=True, slots=True)
class Session:
    """`last_used_at`, `ip` and `user_agent` are those of the last login or refresh."""

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

    def used(self, now: datetime, idle: timedelta, origin: Origin = NOWHERE) -> Self:
        """Good until it was idle for `idle`, and never beyond its lifetime."""
        return replace(
            self,
            last_used_at=now,
            expires_at=min(now + idle, self.created_at + SESSION_LIFETIME),
            ip=origin.ip or self.ip,
            user_agent=origin.user_agent or self.user_agent,
        )


class Use(Enum):
    """What presenting a refresh token amounts to."""

    FIRST = auto()
    RETRY = auto()
    REPLAY = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What is kept of a refresh token: enough to recognise it, too little to make it.

    `digest` is the SHA-256 of the token. `nonce` and the token together determine the
    successor, so that a retry can be answered although the successor is not stored either.
    """

    digest: bytes
    session_id: SessionId
    nonce: bytes
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    superseded: bool = False

    @classmethod
    def new(cls, session: Session, digest: bytes, nonce: bytes) -> Self:
        """The one that goes out with the session's last use, and ends with it."""
        return cls(digest, session.id, nonce, session.last_used_at, session.expires_at)

    def use(self, now: datetime) -> Use:
        if self.used_at is not None:
            # Superseded means that the successor has been used too: its owner has moved on, so
            # this cannot be their retry.
            fresh = now - self.used_at <= RETRY_WINDOW
            return Use.RETRY if fresh and not self.superseded else Use.REPLAY
        return Use.FIRST if now < self.expires_at else Use.EXPIRED
