"""Logging in, staying logged in, and being recognised."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from taskcore.domain.errors import (
    ExpiredToken,
    Invalid,
    InvalidCredentials,
    InvalidToken,
    NotFound,
    Unavailable,
)
from taskcore.domain.policies import Actor
from taskcore.domain.rules import Email, normalized_password
from taskcore.domain.sessions import RefreshToken, Session, SessionId, Use
from taskcore.domain.users import User
from taskcore.ports import (
    AccessClaims,
    AccessTokens,
    Clock,
    PasswordHasher,
    RefreshTokens,
    Store,
)
from taskcore.usecases.passwords import verified


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login or a refresh hands out. `expires_in` is the access token's, in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    user: User


@dataclass(frozen=True, slots=True)
class Sessions:
    store: Store
    hasher: PasswordHasher
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    clock: Clock
    idle: timedelta
    """How long a session lives without a refresh."""

    async def log_in(self, *, email: str, password: str) -> Grant:
        """Raises InvalidCredentials, and Unavailable.

        An unknown address, a wrong password and a deactivated account cannot be told apart,
        neither by the answer nor by the time it takes.
        """
        user = await self._find(email)
        await self._prove(user, password)
        if user is None or not user.is_active:
            raise InvalidCredentials
        now = self.clock.now()
        session = Session.new(SessionId(uuid4()), user.id, now)
        token = self.refresh_tokens.new()
        async with self.store.autocommit() as db:
            try:
                await db.sessions.open(session, self._kept(session, token))
            except NotFound:  # the account went away while its password was checked
                raise InvalidCredentials from None
        return self._grant(session, token, user)

    async def refresh(self, *, refresh_token: str) -> Grant:
        """A new pair of tokens for a refresh token, which is used up by that.

        Sent again within seconds, it brings the same successor; sent again later, it ends the
        session. Raises InvalidToken and ExpiredToken.
        """
        now = self.clock.now()
        async with self.store.transaction() as tx:
            found = await tx.sessions.lock_by_token(self.refresh_tokens.digest(refresh_token))
            if found is None:
                raise InvalidToken
            session, presented = found
            user = await tx.users.get(session.user_id)
            use = presented.use(now)
            if use is Use.REPLAY:
                await tx.sessions.end(session.id)
            elif not user.is_active:
                raise InvalidToken
            elif use is Use.EXPIRED:
                raise ExpiredToken
            successor = self.refresh_tokens.successor(refresh_token, presented.nonce)
            if use is Use.FIRST:
                session = session.used(now)
                await tx.sessions.rotate(session, presented, self._kept(session, successor))
        if use is Use.REPLAY:  # raised here, after the commit: the end of the session stands
            raise InvalidToken
        return self._grant(session, successor, user)

    async def authenticate(self, access_token: str) -> Actor:
        """Whose token this is, and what they are at this moment.

        Raises InvalidToken and ExpiredToken, also when the session has ended or the account was
        deactivated since the token was issued.
        """
        now = self.clock.now()
        claims = self.access_tokens.read(access_token, now)
        async with self.store.autocommit() as db:
            actor = await db.sessions.find_actor(claims.session_id, now)
        if actor is None or actor.user_id != claims.user_id:
            raise InvalidToken
        return actor

    async def _find(self, email: str) -> User | None:
        try:
            key = Email.parse(email).key
        except Invalid:
            return None
        async with self.store.autocommit() as db:
            return await db.users.find_by_email(key)

    async def _prove(self, user: User | None, password: str) -> None:
        """One verification, whatever is wrong. A hash of the past is replaced on success."""
        password_hash = None if user is None else user.password_hash
        if not await verified(self.hasher, password, password_hash) or password_hash is None:
            raise InvalidCredentials
        if user and user.is_active and self.hasher.needs_rehash(password_hash):
            normal = normalized_password(password)
            with suppress(Unavailable):  # next time, then: the login itself has succeeded
                new = await self.hasher.hash(normal)
                async with self.store.autocommit() as db:
                    await db.users.replace_password_hash(user.id, password_hash, new)

    def _kept(self, session: Session, token: str) -> RefreshToken:
        return RefreshToken.new(
            session,
            self.refresh_tokens.digest(token),
            self.refresh_tokens.nonce(),
            session.last_used_at,
            self.idle,
        )

    def _grant(self, session: Session, refresh_token: str, user: User) -> Grant:
        claims = AccessClaims(user.id, session.id)
        return Grant(
            access_token=self.access_tokens.issue(claims, self.clock.now()),
            refresh_token=refresh_token,
            expires_in=int(self.access_tokens.lifetime),
            user=user,
        )
