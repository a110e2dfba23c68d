"""Managing one's own account and, for administrators, those of others.

Who may do so, and that one active administrator is left: `domain/policies.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from taskcore.domain import one_time
from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.emails import Email
from taskcore.domain.errors import InvalidCredentials, Unavailable
from taskcore.domain.one_time import OneTimePassword
from taskcore.domain.origins import NOWHERE, Origin
from taskcore.domain.pages import DEFAULT_LIMIT, check_slice
from taskcore.domain.passwords import new_password as checked_password
from taskcore.domain.policies import (
    Actor,
    authorize_accounts,
    authorize_password_of,
    keep_an_admin,
    own_id,
)
from taskcore.domain.rate_limits import (
    CHANGE_PASSWORD,
    DELETE_ACCOUNT,
    REAUTH,
    REAUTH_NETWORK,
    REGISTER,
    Limit,
)
from taskcore.domain.refusals import Refusals, only
from taskcore.domain.users import (
    DEFAULT_TIME_ZONE,
    NewUser,
    ProfileChanges,
    Role,
    StoredCredentials,
    User,
    UserChanges,
    UserId,
)
from taskcore.ports import Claim, Clock, Page, PasswordHasher, Store
from taskcore.usecases.change_followers import Wake
from taskcore.usecases.password_verification import verified
from taskcore.usecases.rate_limits import Gate, per_network

if TYPE_CHECKING:  # it imports asyncio: `import taskcore` would take twice as long with it
    from taskcore.lanes import Lane


@dataclass(frozen=True, slots=True)
class Accounts:
    """Users: one's own account, and what administrators do with all.

    Transactions take turns by actor, so that the many requests of one do not hold the connections
    that wait for one row. A change of one's password and a deletion do not. Of one's own account
    they are limited, and must succeed while a thief of the access token sends requests; and an
    administrator whose deletion waits for the writes of the account can go on.
    """

    store: Store
    hasher: PasswordHasher
    gate: Gate
    clock: Clock
    wake: Wake
    app_name: str
    at_once: int
    """The deletion of an account with more tasks leaves the tasks to Housekeeping."""
    passwords: "Lane"
    """Each user verifies one password at a time. Of changes at once one succeeds: the others would
    verify the old password, and then the new one."""

    async def register(
        self,
        *,
        email: str,
        password: str,
        full_name: str | None = None,
        time_zone: str = DEFAULT_TIME_ZONE,
        origin: Origin = NOWHERE,
    ) -> User:
        """Create an account for an anonymous client, with the role `user`.

        Raises Invalid, EmailTaken, TooMany and Unavailable.
        """
        await self.gate.admit(origin, *per_network(origin, REGISTER))
        new, password_hash = await self._new_user(
            password, email=email, full_name=full_name, role=Role.USER, time_zone=time_zone
        )
        async with self.store.transaction() as tx:
            user = await tx.users.add(new, password_hash)
            name, now = AuditEventName.USER_REGISTERED, user.created_at
            await tx.audit.add(NewAuditEvent.by(origin, name, now, user_id=user.id))
            return user

    async def me(self, actor: Actor) -> User:
        async with self.store.autocommit() as db:
            return await db.users.get(own_id(actor))

    async def change_profile(self, actor: Actor, **changes: Unpack[ProfileChanges]) -> User:
        """Fields that `changes` leaves out stay as they are. Raises Invalid."""
        only(changes, ProfileChanges)
        async with self.store.transaction(actor.user_id) as tx:
            user = await tx.users.lock(own_id(actor))
            edited = user.edited(self.clock.now(), **changes)
            return user if edited is user else await tx.users.save(edited)

    async def change_password(
        self, actor: Actor, *, current_password: str, new_password: str
    ) -> None:
        """Ends all sessions except the actor's current one.

        Raises Invalid, InvalidCredentials when the current password is wrong, TooMany and
        Unavailable.
        """
        claims = await self._admit(actor, CHANGE_PASSWORD)
        async with self.passwords.turn(own_id(actor)):
            stored = await self._verified(actor, current_password, claims)
            known = (stored.user.email, stored.user.full_name, self.app_name)
            normal = checked_password(new_password, *known, field="new_password")
            new_hash = await self.hasher.hash(normal)
            while not await self._replaced(actor, stored, new_hash):
                # The hash has changed since it was verified: by a login that renewed an old hash,
                # by an administrator, or in another process. Verify again.
                stored = await self._verified(actor, current_password)
        self.wake(stored.user.id)

    async def delete_own(self, actor: Actor, *, password: str) -> None:
        """Raises InvalidCredentials when the password is wrong, LastAdmin, TooMany, Unavailable."""
        claims = await self._admit(actor, DELETE_ACCOUNT)
        async with self.passwords.turn(own_id(actor)):
            user = (await self._verified(actor, password, claims)).user
        async with self.store.transaction() as tx:
            await tx.users.lock_tasks(user.id)
            keep_an_admin(await tx.users.lock_admins(), without=user.id)
            await tx.users.remove(user.id, at_once=self.at_once)
            await tx.audit.add(
                NewAuditEvent.by(actor, AuditEventName.USER_DELETED, self.clock.now())
            )
        self.wake(user.id)

    # For administrators. Each raises Forbidden for other users.

    async def create(
        self,
        actor: Actor,
        *,
        email: str,
        password: str,
        full_name: str | None = None,
        role: Role = Role.USER,
        time_zone: str = DEFAULT_TIME_ZONE,
    ) -> User:
        """Raises Invalid, EmailTaken, Unavailable."""
        await self.gate.administers(actor)
        new, password_hash = await self._new_user(
            password, email=email, full_name=full_name, role=role, time_zone=time_zone
        )
        async with self.store.transaction(actor.user_id) as tx:
            # Authorize again: the actor may have lost their rights while the hash was made.
            admins = await tx.users.lock_admins()
            authorize_accounts(actor, admins)
            user = await tx.users.add(new, password_hash)
            is_first = user.is_active_admin and not admins
            name = AuditEventName.ADMIN_BOOTSTRAP if is_first else AuditEventName.USER_CREATED
            now = user.created_at
            await tx.audit.add(NewAuditEvent.by(actor, name, now, user_id=user.id, role=user.role))
            return user

    async def get(self, actor: Actor, user_id: UserId) -> User:
        """Raises NotFound."""
        await self.gate.administers(actor)
        async with self.store.autocommit() as db:
            return await db.users.get(user_id)

    async def find(self, actor: Actor, email: str) -> User | None:
        """The user with that e-mail address. Raises Invalid for a malformed one."""
        await self.gate.administers(actor)
        async with self.store.autocommit() as db:
            return await db.users.find_by_email(Email.parse(email).key)

    async def page(
        self,
        actor: Actor,
        *,
        skip: int = 0,
        limit: int = DEFAULT_LIMIT,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
        after: UserId | None = None,
    ) -> Page[User]:
        """Users, newest first. Raises Invalid. To read on, pass the last user's id as `after`."""
        await self.gate.administers(actor)
        check_slice(skip, limit)
        key = None if email is None else Email.parse(email).key
        async with self.store.autocommit(actor.user_id, may_lag=True) as db:
            return await db.users.page(
                skip=skip, limit=limit, email=key, role=role, is_active=is_active, after=after
            )

    async def change(self, actor: Actor, user_id: UserId, **changes: Unpack[UserChanges]) -> User:
        """Change an account; deactivating it ends its sessions.

        Raises NotFound, Invalid, and LastAdmin when no active administrator would be left.
        """
        await self.gate.administers(actor)
        async with self.store.transaction(actor.user_id) as tx:
            # Lock the administrators before the user: one order everywhere prevents deadlocks.
            admins = await tx.users.lock_admins()
            authorize_accounts(actor, admins)
            user = await tx.users.lock(user_id)
            now = self.clock.now()
            edited = user.edited(now, **changes)
            if not edited.is_active_admin:
                keep_an_admin(admins, without=user_id)
            if not edited.is_active:
                await tx.sessions.end_all(user_id)
            if edited is user:
                return user
            saved = await tx.users.save(edited)
            await tx.audit.add(*_events(actor, user, saved))
        self.wake(user_id)
        return saved

    async def set_password(self, actor: Actor, user_id: UserId, *, password: str) -> int:
        """Give an account another password; all its sessions end. Returns how many.

        Raises NotFound, Invalid, Unavailable, and Forbidden for one's own, which
        `change_password` changes.
        """
        return await self._set_password(actor, user_id, password)

    async def set_one_time_password(self, actor: Actor, user_id: UserId) -> OneTimePassword:
        """As `set_password`, with a random one that its owner replaces at the first login.

        It can be used for 24 hours, and is returned here alone.
        """
        made = one_time.new(self.clock.now())
        await self._set_password(actor, user_id, made.password, made.expires_at)
        return made

    async def delete(self, actor: Actor, user_id: UserId) -> None:
        """Delete an account: it, its tasks and its sessions are gone for every reader at once.

        Raises NotFound and LastAdmin.
        """
        await self.gate.administers(actor)
        async with self.store.transaction() as tx:
            await tx.users.lock_tasks(user_id)
            admins = await tx.users.lock_admins()
            authorize_accounts(actor, admins)
            keep_an_admin(admins, without=user_id)
            await tx.users.remove(user_id, at_once=self.at_once)
            name, now = AuditEventName.USER_DELETED, self.clock.now()
            await tx.audit.add(NewAuditEvent.by(actor, name, now, user_id=user_id))
        self.wake(user_id)

    async def _set_password(
        self, actor: Actor, user_id: UserId, password: str, expires_at: datetime | None = None
    ) -> int:
        await self.gate.administers(actor)
        authorize_password_of(actor, user_id)
        # Before the account is read: with an idempotency key that begins a transaction.
        new_hash = await self.hasher.hash(checked_password(password, self.app_name))
        detail: dict[str, Any] = {}
        if expires_at is not None:
            new_hash = one_time.marked(new_hash, expires_at)
            detail["one_time_until"] = expires_at.isoformat()
        async with self.store.transaction(actor.user_id) as tx:
            authorize_accounts(actor, await tx.users.lock_admins())
            await tx.users.lock(user_id)
            stored = await tx.users.get_credentials(user_id)
            checked_password(password, stored.user.email, stored.user.full_name)
            await tx.users.replace_password_hash(user_id, stored.password_hash, new_hash)
            ended = await tx.sessions.end_all(user_id)
            name, now = AuditEventName.PASSWORD_CHANGED, self.clock.now()
            await tx.audit.add(
                NewAuditEvent.by(actor, name, now, user_id=user_id, sessions=ended, **detail)
            )
        self.wake(user_id)
        return ended

    async def _admit(self, actor: Actor, limit: Limit) -> tuple[Claim, ...]:
        """Raises TooMany."""
        user_id = str(own_id(actor))
        of_network = per_network(actor.origin, REAUTH_NETWORK)
        claims = (Claim(limit, user_id), Claim(REAUTH, user_id), *of_network)
        await self.gate.admit(actor, *claims)
        return claims

    async def _verified(
        self, actor: Actor, password: str, claims: tuple[Claim, ...] = ()
    ) -> StoredCredentials:
        """The actor's account, if the password is right. Raises InvalidCredentials, Unavailable.

        Uncounts the claims if the password could not be compared.
        """
        now = self.clock.now()
        try:
            async with self.store.autocommit() as db:
                stored = await db.users.get_credentials(own_id(actor))
            is_right = await verified(self.hasher, password, stored, now)
        except Unavailable:
            await self.gate.uncount(*claims)
            raise
        if not is_right:
            name = AuditEventName.REAUTH_FAILED
            await self.gate.record(NewAuditEvent.by(actor, name, now))
            raise InvalidCredentials("The password is wrong")
        await self.gate.succeeded(Claim(REAUTH, str(stored.user.id)))
        return stored

    async def _replaced(self, actor: Actor, stored: StoredCredentials, new_hash: str) -> bool:
        """False if the password has changed since `stored` was read."""
        user_id = stored.user.id
        async with self.store.transaction() as tx:
            if not await tx.users.replace_password_hash(user_id, stored.password_hash, new_hash):
                return False
            ended = await tx.sessions.end_all(user_id, but=actor.session_id)
            name, now = AuditEventName.PASSWORD_CHANGED, self.clock.now()
            await tx.audit.add(NewAuditEvent.by(actor, name, now, sessions=ended))
        return True

    async def _new_user(
        self, password: str, *, email: str, full_name: str | None, role: Role, time_zone: str
    ) -> tuple[NewUser, str]:
        """A valid new account and the hash of its password. Raises Invalid."""
        refusals = Refusals()
        with refusals:
            new = User.new(
                email, self.clock.now(), full_name=full_name, role=role, time_zone=time_zone
            )
        with refusals:
            normal = checked_password(password, email, full_name, self.app_name)
        refusals.raise_all()
        return new, await self.hasher.hash(normal)


def _events(actor: Actor, before: User, after: User) -> Iterator[NewAuditEvent]:
    """What an administrator changed in an account. Names and zones are not recorded."""
    now, user_id = after.updated_at, after.id
    if before.role is not after.role:
        old, new = before.role.value, after.role.value
        yield NewAuditEvent.by(
            actor, AuditEventName.ROLE_CHANGED, now, user_id=user_id, old=old, new=new
        )
    if before.is_active != after.is_active:
        name = (
            AuditEventName.USER_REACTIVATED if after.is_active else AuditEventName.USER_DEACTIVATED
        )
        yield NewAuditEvent.by(actor, name, now, user_id=user_id)
    if (before.full_name, before.time_zone) != (after.full_name, after.time_zone):
        yield NewAuditEvent.by(actor, AuditEventName.PROFILE_CHANGED, now, user_id=user_id)
