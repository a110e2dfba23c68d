"""Logging in with a password, and the rate limits on it.

How many attempts there are: `domain/rate_limits.py`; that an unknown account takes as long:
`password_verification.py`.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.emails import Email
from taskcore.domain.errors import (
    Invalid,
    InvalidCredentials,
    PasswordChangeRequired,
    Problem,
    Unavailable,
)
from taskcore.domain.origins import Origin
from taskcore.domain.passwords import new_password as checked_password
from taskcore.domain.passwords import normalized_password
from taskcore.domain.policies import Actor
from taskcore.domain.rate_limits import (
    LOGIN,
    LOGIN_ACCOUNT,
    LOGIN_EVERYBODY,
    LOGIN_FAILURES,
    LOGIN_IN_A_ROW,
    LOGIN_NETWORK,
)
from taskcore.domain.sessions import Session, SessionId
from taskcore.domain.users import StoredCredentials, User, UserId
from taskcore.ports import Claim, Clock, PasswordHasher, Pseudonyms, Repositories, Store
from taskcore.usecases.password_verification import verified
from taskcore.usecases.rate_limits import Gate, per_network
from taskcore.usecases.sessions.grants import Grant, Issuer


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """Counts attempts; some clients are exempt from some limits."""

    store: Store
    gate: Gate
    clock: Clock

    async def admit(self, account: str, key: str | None, origin: Origin) -> list[Claim]:
        """Count the attempt on the account's pseudonym and on the network. Raises TooMany.

        A network where the account has a session is familiar. An attempt from there may exceed the
        limits that other networks use up: on the account, and on all logins. Its own limits hold.
        """
        here = f"{account} {origin.network}"
        pair = Claim(LOGIN, here)
        of_account = _of_account(account)
        of_network = per_network(origin, LOGIN_FAILURES, LOGIN_NETWORK)
        overall = Claim(LOGIN_EVERYBODY, "")
        claims = [pair, *of_account, *of_network, overall]
        denial = await self.gate.limiter.acquire(*claims)
        shared = denial and denial.claim in {*of_account, overall}
        if shared and await self._is_familiar(key, origin):
            claims = [pair, Claim(LOGIN_IN_A_ROW, here), *of_network]
            denial = await self.gate.limiter.acquire(*claims)
        if denial:
            await self.gate.turn_away(origin, denial, account=account)
        return claims

    async def reset(self, account: str) -> None:
        await self.gate.succeeded(*_of_account(account))

    async def _is_familiar(self, key: str | None, origin: Origin) -> bool:
        async with self.store.autocommit() as db:
            user = await db.users.find_by_email(key or "")
            # An unknown account costs the same query, so that timing does not reveal it.
            user_id = UserId(0) if user is None else user.id
            sessions = await db.sessions.of_user(user_id, self.clock.now())
        return any(Origin(session.ip).network == origin.network for session in sessions)


@dataclass(frozen=True, slots=True)
class Logins:
    store: Store
    gate: Gate
    clock: Clock
    issuer: Issuer
    hasher: PasswordHasher
    attempts: LoginAttempts
    pseudonyms: Pseudonyms
    idle: timedelta
    """How long a session lives without a refresh."""
    failure_floor: timedelta
    """How long a failed login takes at least."""
    app_name: str

    async def log_in(
        self, email: str, password: str, new_password: str | None, origin: Origin
    ) -> Grant:
        """Raises InvalidCredentials, PasswordChangeRequired, Invalid, TooMany and Unavailable."""
        begun = self.clock.now()
        key = _key(email)
        account = self.pseudonyms.of(email if key is None else key)
        claims = await self.attempts.admit(account, key, origin)
        stored = None
        try:
            stored = await self._find(key)
            grant = await self._verified(stored, key, password, new_password, origin)
        except InvalidCredentials:
            event = NewAuditEvent.by(
                origin,
                AuditEventName.LOGIN_FAILED,
                self.clock.now(),
                user_id=stored.user.id if stored else None,
                account=account,  # a pseudonym: users type passwords into the wrong field
            )
            await self.gate.record(event)
            await self.clock.wait_until(begun + self.failure_floor)
            raise
        except Unavailable:  # the client has learned nothing about the password
            await self.gate.uncount(*claims)
            raise
        except (PasswordChangeRequired, Invalid):  # the password was right
            await self.gate.succeeded(*claims)
            raise
        await self.gate.succeeded(*claims)
        return grant

    async def reset_limits(self, user: User) -> None:
        await self.attempts.reset(self.pseudonyms.of(Email.parse(user.email).key))

    async def _find(self, key: str | None) -> StoredCredentials | None:
        async with self.store.autocommit() as db:
            return await db.users.find_credentials(key or "")

    async def _verified(
        self,
        stored: StoredCredentials | None,
        key: str | None,
        password: str,
        new_password: str | None,
        origin: Origin,
    ) -> Grant:
        """Raises InvalidCredentials, after exactly one verification whatever is wrong.

        Verifies again only if the account changes in between.
        """
        while await verified(self.hasher, password, stored, self.clock.now()):
            if stored is None or not stored.user.is_active:
                break
            if stored.is_one_time or new_password is not None:
                grant = await self._replaced(stored, password, new_password, origin)
            else:
                if self.hasher.needs_rehash(stored.password_hash):
                    stored = await self._rehashed(stored, password)
                grant = await self._opened(stored, origin)
            if grant:
                return grant
            # The account changed while the password was verified, perhaps because another login
            # has replaced an old hash.
            stored = await self._find(key)
            if stored is None:
                break
        raise InvalidCredentials

    async def _opened(self, stored: StoredCredentials, origin: Origin) -> Grant | None:
        """Open a session; None if the account has changed since it was read."""
        async with self.store.autocommit() as db:
            return await self._opened_in(db, stored, origin)

    async def _opened_in(
        self, db: Repositories, stored: StoredCredentials, origin: Origin
    ) -> Grant | None:
        user, now = stored.user, self.clock.now()
        session = Session.new(SessionId(uuid4()), user.id, now, self.idle, origin)
        token = self.issuer.refresh_tokens.new()
        kept = self.issuer.stored(session, token)
        actor = Actor(user.id, user.role, session.id, origin, user.time_zone)
        event = NewAuditEvent.by(actor, AuditEventName.LOGIN_SUCCEEDED, now)
        opened = await db.sessions.open(session, kept, of=stored, event=event)
        return self.issuer.grant(session, token, user) if opened else None

    async def _replaced(
        self, stored: StoredCredentials, password: str, new_password: str | None, origin: Origin
    ) -> Grant | None:
        """Open a session with a password that replaces the one-time password, or do neither.

        None if the account has changed since it was read.
        """
        if not stored.is_one_time:
            raise _refused("is for a login with a one-time password", "no_one_time_password")
        if new_password is None:
            raise PasswordChangeRequired
        user = stored.user
        known = (user.email, user.full_name, self.app_name)
        normal = checked_password(new_password, *known, field="new_password")
        if normal == normalized_password(password):
            raise _refused("must not be the one-time password", "password_unchanged")
        renewed = replace(stored, password_hash=await self.hasher.hash(normal))
        async with self.store.transaction() as tx:
            old, new = stored.password_hash, renewed.password_hash
            if not await tx.users.replace_password_hash(user.id, old, new):
                return None
            grant = await self._opened_in(tx, renewed, origin)
            if grant is None:  # deactivated meanwhile
                raise InvalidCredentials
            actor = Actor(user.id, user.role, origin=origin)
            name, now = AuditEventName.PASSWORD_CHANGED, self.clock.now()
            await tx.audit.add(NewAuditEvent.by(actor, name, now, sessions=0))
        return grant

    async def _rehashed(self, stored: StoredCredentials, password: str) -> StoredCredentials:
        """The account with a hash of today's kind; unchanged when the hasher is busy."""
        with suppress(Unavailable):  # the next login tries again
            old, new = stored.password_hash, await self.hasher.hash(normalized_password(password))
            async with self.store.autocommit() as db:
                if await db.users.replace_password_hash(stored.user.id, old, new):
                    return replace(stored, password_hash=new)
        return stored


def _of_account(account: str) -> list[Claim]:
    return [Claim(LOGIN_ACCOUNT, account), Claim(LOGIN_IN_A_ROW, account)]


def _refused(sentence: str, code: str) -> Invalid:
    return Invalid(Problem("new_password", sentence, code))


def _key(email: str) -> str | None:
    try:
        return Email.parse(email).key
    except Invalid:
        return None
