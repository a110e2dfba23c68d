"""Sessions: logging in, refreshing, authenticating, listing and ending them."""

from collections.abc import Sequence
from dataclasses import dataclass

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.errors import InvalidToken, NotFound
from taskcore.domain.origins import NOWHERE, Origin
from taskcore.domain.pages import DEFAULT_LIMIT, check_slice
from taskcore.domain.policies import Actor, own_id
from taskcore.domain.sessions import Session, SessionId, SessionPosition
from taskcore.domain.tasks import TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import AccessTokens, Clock, Page, ReadAhead, Store
from taskcore.usecases.change_followers import Wake
from taskcore.usecases.rate_limits import Gate
from taskcore.usecases.sessions.authentication import authenticated
from taskcore.usecases.sessions.grants import Grant
from taskcore.usecases.sessions.logins import Logins
from taskcore.usecases.sessions.refreshes import Refreshes

__all__ = ["Grant", "Sessions"]


# How many sessions one transaction ends. A session that is refreshed each half hour for a month has
# 1440 tokens, which are removed with it.
_SESSIONS_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Sessions:
    """Logging in and out, refreshing, and who an access token speaks for."""

    store: Store
    gate: Gate
    clock: Clock
    access_tokens: AccessTokens
    logins: Logins
    refreshes: Refreshes
    wake: Wake

    async def log_in(
        self,
        *,
        email: str,
        password: str,
        new_password: str | None = None,
        origin: Origin = NOWHERE,
    ) -> Grant:
        """Open a session. Raises InvalidCredentials, TooMany and Unavailable.

        A one-time password opens none but with a `new_password`, which replaces it: raises
        PasswordChangeRequired without one, and Invalid for one that breaks a rule, or that comes
        with a password which is no one-time password.

        An unknown address, a wrong password and a deactivated account cannot be told apart, neither
        by the error nor by the time it takes. An attempt counts before the password is verified.
        """
        return await self.logins.log_in(email, password, new_password, origin)

    async def refresh(self, *, refresh_token: str, origin: Origin = NOWHERE) -> Grant:
        """Exchange a refresh token for a new pair of tokens.

        The same token sent again within seconds returns the same successor; sent later, it ends
        the session. Raises InvalidToken, ExpiredToken, TooMany and Unavailable.
        """
        return await self.refreshes.refresh(refresh_token, origin)

    async def authenticate(
        self,
        access_token: str,
        *,
        origin: Origin = NOWHERE,
        task_id: TaskId | None = None,
        first_page: int | None = None,
    ) -> Actor:
        """The actor of an access token, with their current role.

        With the id of the task that the request is about, PostgreSQL reads both at once. The next
        look at that task, in the same `asyncio` task, shows it as it was here. So it does with
        the first page of the actor's own tasks, the newest first, for which `first_page` is the
        limit.

        Raises InvalidToken and ExpiredToken, also when the session has ended or the account was
        deactivated since the token was issued.
        """
        now = self.clock.now()
        return await authenticated(
            self.store,
            self.access_tokens,
            access_token,
            now,
            origin,
            None
            if task_id is None and first_page is None
            else ReadAhead(task_id, first_page=first_page),
        )

    async def log_out(self, actor: Actor) -> None:
        """End the actor's current session. Raises InvalidToken when it has ended already."""
        if actor.session_id is None or not await self._end(actor, actor.session_id, actor.user_id):
            raise InvalidToken

    async def log_out_everywhere(self, actor: Actor) -> int:
        """End all sessions of the actor, the current one too. Returns how many."""
        return await self._end_all(actor, AuditEventName.LOGOUT, own_id(actor))

    async def own(self, actor: Actor) -> Sequence[Session]:
        """The actor's sessions, most recently used first."""
        async with self.store.autocommit() as db:
            return await db.sessions.of_user(own_id(actor), self.clock.now())

    async def end_own(self, actor: Actor, session_id: SessionId) -> None:
        """End one of the actor's sessions. Raises NotFound, also for another user's."""
        if not await self._end(actor, session_id, own_id(actor)):
            raise NotFound

    # For administrators. Each raises Forbidden for other users.

    async def page(
        self,
        actor: Actor,
        *,
        user_id: UserId | None = None,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        after: SessionPosition | None = None,
    ) -> Page[Session]:
        """All sessions, or one user's; most recently used first. Raises Invalid.

        To read on, pass the last session's `position` as `after`.
        """
        await self.gate.administers(actor)
        check_slice(skip, limit)
        async with self.store.autocommit(actor.user_id) as db:
            return await db.sessions.page(
                user_id=user_id, skip=skip, limit=limit, now=self.clock.now(), after=after
            )

    async def end(self, actor: Actor, session_id: SessionId) -> None:
        """End any user's session. Raises NotFound."""
        await self.gate.administers(actor)
        if not await self._end(actor, session_id):
            raise NotFound

    async def end_all_of(self, actor: Actor, user_id: UserId) -> int:
        """End all sessions of a user. Returns how many. Raises NotFound for an unknown user."""
        await self.gate.administers(actor)
        async with self.store.autocommit() as db:
            await db.users.get(user_id)
        return await self._end_all(actor, AuditEventName.SESSION_REVOKED, user_id)

    async def end_everybodys(self, actor: Actor) -> int:
        """End all sessions of all users, the actor's own too. Returns how many.

        Runs in short transactions; an interrupted call has ended some of the sessions.
        """
        await self.gate.administers(actor)
        total = 0
        while True:
            async with self.store.transaction() as tx:
                ended = await tx.sessions.end_some(_SESSIONS_AT_ONCE)
                if ended or not total:
                    name, now = AuditEventName.SESSION_REVOKED, self.clock.now()
                    await tx.audit.add(NewAuditEvent.by(actor, name, now, sessions=ended))
            total += ended
            if not ended:
                return total

    async def unlock(self, actor: Actor, user_id: UserId) -> User:
        """Reset the login limits of an account after failures by others. Raises NotFound."""
        await self.gate.administers(actor)
        async with self.store.transaction(actor.user_id) as tx:
            user = await tx.users.get(user_id)
            name, now = AuditEventName.USER_UNLOCKED, self.clock.now()
            await tx.audit.add(NewAuditEvent.by(actor, name, now, user_id=user_id))
        await self.logins.reset_limits(user)
        return user

    async def _end(self, actor: Actor, session_id: SessionId, of: UserId | None = None) -> bool:
        """Returns False when there is no such session."""
        async with self.store.transaction() as tx:
            user_id = await tx.sessions.end(session_id, of=of)
            if user_id is None:
                return False
            is_current = session_id == actor.session_id
            name = AuditEventName.LOGOUT if is_current else AuditEventName.SESSION_REVOKED
            now = self.clock.now()
            await tx.audit.add(
                NewAuditEvent.by(actor, name, now, user_id=user_id, session_id=session_id)
            )
        self.wake(user_id)
        return True

    async def _end_all(self, actor: Actor, name: AuditEventName, user_id: UserId) -> int:
        async with self.store.transaction() as tx:
            ended = await tx.sessions.end_all(user_id)
            now = self.clock.now()
            await tx.audit.add(NewAuditEvent.by(actor, name, now, user_id=user_id, sessions=ended))
        self.wake(user_id)
        return ended
