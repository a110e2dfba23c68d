"""Exchanging refresh tokens.

Whether a token that comes twice is a retry or a theft: `RefreshToken` in `domain/sessions.py`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, NoReturn

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.errors import ExpiredToken, InvalidToken
from taskcore.domain.origins import Origin
from taskcore.domain.rate_limits import REFRESH, REFRESH_ACCOUNT, REFRESH_SESSION, UNKNOWN
from taskcore.domain.sessions import RefreshToken, Session, Use
from taskcore.domain.users import User
from taskcore.ports import Claim, Clock, Store
from taskcore.usecases.rate_limits import Gate, per_network
from taskcore.usecases.sessions.grants import Grant, Issuer


class _Refusal(NamedTuple):
    event: AuditEventName
    error: type[InvalidToken]
    reason: str
    detail: str | None = None
    """None: the title of the error."""


_REPLAYED = _Refusal(AuditEventName.REUSE_DETECTED, InvalidToken, "used before")
_INACTIVE = _Refusal(AuditEventName.REFRESH_FAILED, InvalidToken, "inactive")
_EXPIRED = _Refusal(
    AuditEventName.REFRESH_FAILED,
    ExpiredToken,
    "expired",
    "The refresh token has expired; log in again",
)
_KEY_GONE = _Refusal(AuditEventName.REFRESH_FAILED, InvalidToken, "key gone")


@dataclass(frozen=True, slots=True)
class Refreshes:
    store: Store
    gate: Gate
    clock: Clock
    issuer: Issuer
    idle: timedelta
    """How long a session lives without a refresh."""

    async def refresh(self, refresh_token: str, origin: Origin) -> Grant:
        """Raises InvalidToken, ExpiredToken, TooMany and Unavailable."""
        digest = self.issuer.refresh_tokens.digest(refresh_token)
        stored = await self._find(digest)
        known = []
        if stored:
            session, _, user = stored
            known = [Claim(REFRESH_SESSION, str(session.id)), Claim(REFRESH_ACCOUNT, str(user.id))]
        await self.gate.admit(origin, *known, *per_network(origin, REFRESH))
        # Anyone can invent tokens: recording only a few shows the attack and spares the disk.
        if not stored and await self.gate.may_record(UNKNOWN, origin.subscriber or ""):
            now, name = self.clock.now(), AuditEventName.REFRESH_FAILED
            await self.gate.record(NewAuditEvent.by(origin, name, now, reason="unknown"))
        while stored:
            if grant := await self._exchanged(refresh_token, *stored, origin):
                return grant
            stored = await self._find(digest)
        raise InvalidToken

    async def _find(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        async with self.store.autocommit() as db:
            return await db.sessions.find_by_token(digest)

    async def _exchanged(
        self, presented: str, session: Session, token: RefreshToken, user: User, origin: Origin
    ) -> Grant | None:
        """The new tokens; None if the token or its session has changed since it was read.

        Raises InvalidToken and ExpiredToken.
        """
        now = self.clock.now()
        use = token.use(now)
        if refusal := _refusal(use, user):
            await self._refuse(session, refusal, origin)
        successor = await self._successor(presented, token, use)
        if successor is None:
            await self._refuse(session, _KEY_GONE, origin)
        if use is Use.FIRST:
            session = session.used(now, self.idle, origin)
            stored = self.issuer.stored(session, successor)
            async with self.store.autocommit() as db:
                if not await db.sessions.rotate(session, token, stored):
                    return None
        return self.issuer.grant(session, successor, user)

    async def _refuse(self, session: Session, refusal: _Refusal, origin: Origin) -> NoReturn:
        """Record the refusal, and end the session of a replayed token."""
        event = NewAuditEvent.by(
            origin,
            refusal.event,
            self.clock.now(),
            user_id=session.user_id,
            session_id=session.id,
            reason=refusal.reason,
        )
        if refusal is _REPLAYED:
            async with self.store.transaction() as tx:
                if await tx.sessions.end(session.id):  # else another request did, and recorded it
                    await tx.audit.add(event)
        else:
            await self.gate.record(event)
        raise refusal.error(refusal.detail)

    async def _successor(self, presented: str, token: RefreshToken, use: Use) -> str | None:
        """The next token. For a retry the one issued before, whichever key it was made with."""
        successors = self.issuer.refresh_tokens.successors(presented, token.nonce)
        if use is not Use.RETRY:
            return successors[0]
        for successor in successors:
            if await self._find(self.issuer.refresh_tokens.digest(successor)):
                return successor
        return None


def _refusal(use: Use, user: User) -> _Refusal | None:
    if use is Use.REPLAY:
        return _REPLAYED
    if not user.is_active:
        return _INACTIVE
    return _EXPIRED if use is Use.EXPIRED else None
