"""Logging in, staying logged in, being recognised, and logging out."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NoReturn
from uuid import uuid4

from taskcore.domain.audit import EventName, NewEvent
from taskcore.domain.errors import (
    ExpiredToken,
    Invalid,
    InvalidCredentials,
    InvalidToken,
    NotFound,
    Unavailable,
)
from taskcore.domain.limits import REFRESH, REFRESH_SESSION, UNKNOWN
from taskcore.domain.origins import NOWHERE, Origin
from taskcore.domain.passwords import normalized_password
from taskcore.domain.policies import Actor, own_id
from taskcore.domain.rules import Email, check_slice
from taskcore.domain.sessions import RefreshToken, Session, SessionId, Use
from taskcore.domain.users import User, UserId
from taskcore.ports import (
    AccessClaims,
    AccessTokens,
    Claim,
    Clock,
    Page,
    PasswordHasher,
    Pseudonyms,
    RefreshTokens,
    Store,
)
from taskcore.usecases.attempts import LoginAttempts
from taskcore.usecases.gate import Gate, per_network
from taskcore.usecases.passwords import verified


@dataclass(frozen=True, slots=True)
class Grant:
    """What a login or a refresh hands out. `expires_in` is the access token's, in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    user: User


@dataclass(frozen=True, slots=True)
class Sessions:
    store: Store
    hasher: PasswordHasher
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    gate: Gate
    attempts: LoginAttempts
    pseudonyms: Pseudonyms
    clock: Clock
    idle: timedelta
    """How long a session lives without a refresh."""
    failure_floor: timedelta
    """How long a failed login takes at least."""

    async def log_in(self, *, email: str, password: str, origin: Origin = NOWHERE) -> Grant:
        """Raises InvalidCredentials, TooMany and Unavailable.

        An unknown address, a wrong password and a deactivated account cannot be told apart,
        neither by the answer nor by the time it takes. Attempts are counted before anything is
        compared.
        """
        begun = self.clock.now()
        key = _key(email)
        account = self.pseudonyms.of(email if key is None else key)
        claims = await self.attempts.admit(account, key, origin)
        user = None
        try:
            user = await self._find(key)
            grant = await self._proved(user, key, password, origin)
        except InvalidCredentials:
            event = NewEvent.of_anybody(
                origin,
                EventName.LOGIN_FAILED,
                self.clock.now(),
                user_id=user.id if user else None,
                account=account,  # people type their passwords into the wrong field
            )
            await self.gate.record(event)
            await self.clock.wait_until(begun + self.failure_floor)
            raise
        except Unavailable:  # nobody has learnt anything from this attempt
            await self.gate.take_back(*claims)
            raise
        await self.gate.succeeded(*claims)
        return grant

    async def refresh(self, *, refresh_token: str, origin: Origin = NOWHERE) -> Grant:
        """A new pair of tokens for a refresh token, which is used up by that.

        Sent again within seconds, it brings the same successor; sent again later, it ends the
        session. Raises InvalidToken, ExpiredToken, TooMany and Unavailable.
        """
        digest = self.refresh_tokens.digest(refresh_token)
        found = await self._found(digest)
        of_session = [Claim(REFRESH_SESSION, str(found[0].id))] if found else []
        await self.gate.admit(origin, *of_session, *per_network(origin, REFRESH))
        # Anybody can make these up: one in a while is enough to tell that somebody does.
        if not found and await self.gate.is_news(UNKNOWN, origin.site or origin.network or ""):
            now, name = self.clock.now(), EventName.REFRESH_FAILED
            await self.gate.record(NewEvent.of_anybody(origin, name, now, reason="unknown"))
        while found:
            if grant := await self._refreshed(refresh_token, *found, origin):
                return grant
            found = await self._found(digest)  # it is no longer what was decided upon
        raise InvalidToken

    async def authenticate(self, access_token: str, *, origin: Origin = NOWHERE) -> Actor:
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
        return Actor(actor.user_id, actor.role, actor.session_id, origin)

    async def log_out(self, actor: Actor) -> None:
        """End the session that the actor acts in. Raises InvalidToken where it is over already."""
        if actor.session_id is None or not await self._end(actor, actor.session_id, actor.user_id):
            raise InvalidToken

    async def log_out_everywhere(self, actor: Actor) -> int:
        """End all sessions of the actor, this one too. How many there were."""
        return await self._end_all(actor, EventName.LOGOUT, own_id(actor))

    async def own(self, actor: Actor) -> Sequence[Session]:
        """The actor's sessions, the one used last first."""
        async with self.store.autocommit() as db:
            return await db.sessions.of_user(own_id(actor), self.clock.now())

    async def end_own(self, actor: Actor, session_id: SessionId) -> None:
        """Raises NotFound, also for somebody else's."""
        if not await self._end(actor, session_id, own_id(actor)):
            raise NotFound

    # For administrators. Each raises Forbidden for everybody else.

    async def page(
        self, actor: Actor, *, user_id: UserId | None = None, skip: int = 0, limit: int = 100
    ) -> Page[Session]:
        """Everybody's sessions, or one user's; the one used last first. Raises Invalid."""
        await self.gate.administers(actor)
        check_slice(skip, limit)
        async with self.store.autocommit() as db:
            return await db.sessions.page(
                user_id=user_id, skip=skip, limit=limit, now=self.clock.now()
            )

    async def end(self, actor: Actor, session_id: SessionId) -> None:
        """Anybody's. Raises NotFound."""
        await self.gate.administers(actor)
        if not await self._end(actor, session_id):
            raise NotFound

    async def end_all_of(self, actor: Actor, user_id: UserId) -> int:
        """How many there were. Raises NotFound where there is no such user."""
        await self.gate.administers(actor)
        async with self.store.autocommit() as db:
            await db.users.get(user_id)
        return await self._end_all(actor, EventName.SESSION_REVOKED, user_id)

    async def unlock(self, actor: Actor, user_id: UserId) -> User:
        """Forget the failures of strangers that keep the owner out. Raises NotFound."""
        await self.gate.administers(actor)
        async with self.store.transaction() as tx:
            user = await tx.users.get(user_id)
            now = self.clock.now()
            await tx.audit.add(NewEvent.by(actor, EventName.USER_UNLOCKED, now, user_id=user_id))
        await self.attempts.forget(self.pseudonyms.of(Email.parse(user.email).key))
        return user

    async def end_everybodys(self, actor: Actor) -> int:
        """How many there were, the actor's own among them."""
        await self.gate.administers(actor)
        return await self._end_all(actor, EventName.SESSION_REVOKED, None)

    # Logging in

    async def _find(self, key: str | None) -> User | None:
        async with self.store.autocommit() as db:
            return await db.users.find_by_email(key or "")

    async def _proved(
        self, user: User | None, key: str | None, password: str, origin: Origin
    ) -> Grant:
        """A session, if the password is right. One verification, whatever is wrong.

        Another only where the account was changed in between.
        """
        while await verified(self.hasher, password, user.password_hash if user else None):
            if user is None or not user.is_active:
                break
            if self.hasher.needs_rehash(user.password_hash):
                user = await self._rehashed(user, password)
            if grant := await self._opened(user, origin):
                return grant
            # Checking took its time, and the account was changed meanwhile, perhaps by another
            # login that has replaced a hash of the past.
            user = await self._find(key)
            if user is None:
                break
        raise InvalidCredentials

    async def _opened(self, user: User, origin: Origin) -> Grant | None:
        """None where what was proved is not what is asked for any more."""
        now = self.clock.now()
        session = Session.new(SessionId(uuid4()), user.id, now, self.idle, origin)
        token = self.refresh_tokens.new()
        actor = Actor(user.id, user.role, session.id, origin)
        event = NewEvent.by(actor, EventName.LOGIN_SUCCEEDED, now)
        async with self.store.autocommit() as db:
            opened = await db.sessions.open(
                session, self._kept(session, token), of=user, event=event
            )
        return self._grant(session, token, user) if opened else None

    async def _rehashed(self, user: User, password: str) -> User:
        """With a hash as they are made today, where that can be had now."""
        with suppress(Unavailable):  # next time, then
            old, new = user.password_hash, await self.hasher.hash(normalized_password(password))
            async with self.store.autocommit() as db:
                if await db.users.replace_password_hash(user.id, old, new):
                    return replace(user, password_hash=new)
        return user

    # Staying logged in

    async def _found(self, digest: bytes) -> tuple[Session, RefreshToken, User] | None:
        async with self.store.autocommit() as db:
            return await db.sessions.find_by_token(digest)

    async def _refreshed(
        self, presented: str, session: Session, token: RefreshToken, user: User, origin: Origin
    ) -> Grant | None:
        """None where what was found is so no more. Raises InvalidToken and ExpiredToken."""
        now = self.clock.now()
        use = token.use(now)
        objection = _objection(use, user)
        successor = None if objection else await self._successor(presented, token, use)
        if successor is None:
            await self._refuse(session, use, *(objection or _key_gone()), origin)
        elif use is Use.FIRST:
            session = session.used(now, self.idle, origin)
            async with self.store.autocommit() as db:
                if not await db.sessions.rotate(session, token, self._kept(session, successor)):
                    return None
        return self._grant(session, successor, user)

    async def _refuse(
        self,
        session: Session,
        use: Use,
        name: EventName,
        error: InvalidToken,
        reason: str,
        origin: Origin,
    ) -> NoReturn:
        """On record; and a replay ends the session."""
        event = NewEvent.of_anybody(
            origin,
            name,
            self.clock.now(),
            user_id=session.user_id,
            session_id=session.id,
            reason=reason,
        )
        if use is Use.REPLAY:
            async with self.store.transaction() as tx:
                if await tx.sessions.end(session.id):  # else somebody has, and recorded it
                    await tx.audit.add(event)
        else:
            await self.gate.record(event)
        raise error

    async def _successor(self, presented: str, token: RefreshToken, use: Use) -> str | None:
        """The next token; to a retry the one that was handed out, by whatever key it was made."""
        successors = self.refresh_tokens.successors(presented, token.nonce)
        if use is not Use.RETRY:
            return successors[0]
        for successor in successors:
            if await self._found(self.refresh_tokens.digest(successor)):
                return successor
        return None

    def _kept(self, session: Session, token: str) -> RefreshToken:
        return RefreshToken.new(
            session, self.refresh_tokens.digest(token), self.refresh_tokens.nonce()
        )

    def _grant(self, session: Session, refresh_token: str, user: User) -> Grant:
        claims = AccessClaims(user.id, session.id)
        return Grant(
            access_token=self.access_tokens.issue(claims, self.clock.now()),
            refresh_token=refresh_token,
            expires_in=int(self.access_tokens.lifetime),
            user=user,
        )

    # Ending sessions

    async def _end(self, actor: Actor, session_id: SessionId, of: UserId | None = None) -> bool:
        """Whether there was one."""
        async with self.store.transaction() as tx:
            user_id = await tx.sessions.end(session_id, of=of)
            if user_id is None:
                return False
            own = session_id == actor.session_id
            name = EventName.LOGOUT if own else EventName.SESSION_REVOKED
            now = self.clock.now()
            await tx.audit.add(
                NewEvent.by(actor, name, now, user_id=user_id, session_id=session_id)
            )
        return True

    async def _end_all(self, actor: Actor, name: EventName, user_id: UserId | None) -> int:
        async with self.store.transaction() as tx:
            ended = await tx.sessions.end_all(user_id)
            now = self.clock.now()
            await tx.audit.add(NewEvent.by(actor, name, now, user_id=user_id, sessions=ended))
        return ended


_Objection = tuple[EventName, InvalidToken, str]


def _objection(use: Use, user: User) -> _Objection | None:
    """What to record, what to answer, and why; None where nothing is against a refresh."""
    if use is Use.REPLAY:
        return EventName.REUSE_DETECTED, InvalidToken(), "used before"
    if not user.is_active:
        return EventName.REFRESH_FAILED, InvalidToken(), "inactive"
    if use is Use.EXPIRED:
        return EventName.REFRESH_FAILED, ExpiredToken(), "expired"
    return None


def _key_gone() -> _Objection:
    return EventName.REFRESH_FAILED, InvalidToken(), "key gone"


def _key(email: str) -> str | None:
    try:
        return Email.parse(email).key
    except Invalid:
        return None
