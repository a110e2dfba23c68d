"""Having an account, and managing other people's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from taskcore.domain.errors import InvalidCredentials, LastAdmin
from taskcore.domain.policies import Actor, authorize_accounts, own_id
from taskcore.domain.rules import Email, Refusals, check_slice, normalized_password, only
from taskcore.domain.users import NewUser, ProfileChanges, Role, User, UserChanges, UserId
from taskcore.ports import Clock, Page, PasswordHasher, Store
from taskcore.usecases.passwords import verified


@dataclass(frozen=True, slots=True)
class Accounts:
    store: Store
    hasher: PasswordHasher
    clock: Clock

    async def register(self, *, email: str, password: str, full_name: str | None = None) -> User:
        """Anybody may; the role is always `user`. Raises Invalid, EmailTaken, Unavailable."""
        draft, password_hash = await self._drafted(email, password, full_name, Role.USER)
        async with self.store.autocommit() as db:
            return await db.users.add(draft, password_hash)

    async def me(self, actor: Actor) -> User:
        async with self.store.autocommit() as db:
            return await db.users.get(own_id(actor))

    async def change_profile(self, actor: Actor, **changes: Unpack[ProfileChanges]) -> User:
        """What `changes` does not name stays as it is. Raises Invalid."""
        only(changes, ProfileChanges)
        async with self.store.transaction() as tx:
            user = await tx.users.lock(own_id(actor))
            edited = user.edited(self.clock.now(), **changes)
            return user if edited is user else await tx.users.save(edited)

    async def delete_own(self, actor: Actor, *, password: str) -> None:
        """Raises InvalidCredentials when the password is wrong, and LastAdmin."""
        async with self.store.autocommit() as db:
            user = await db.users.get(own_id(actor))
        if not await verified(self.hasher, password, user.password_hash):
            raise InvalidCredentials("The password is wrong")
        async with self.store.transaction() as tx:
            _keep_an_admin(await tx.users.lock_admins(), without=user.id)
            await tx.users.remove(user.id)

    # For administrators. Each raises Forbidden for everybody else.

    async def create(
        self,
        actor: Actor,
        *,
        email: str,
        password: str,
        full_name: str | None = None,
        role: Role = Role.USER,
    ) -> User:
        """Raises Invalid, EmailTaken, Unavailable."""
        authorize_accounts(actor)
        draft, password_hash = await self._drafted(email, password, full_name, role)
        async with self.store.transaction() as tx:
            # Hashing takes its time: meanwhile somebody may have ended the actor's rights.
            authorize_accounts(actor, await tx.users.lock_admins())
            return await tx.users.add(draft, password_hash)

    async def get(self, actor: Actor, user_id: UserId) -> User:
        """Raises NotFound."""
        authorize_accounts(actor)
        async with self.store.autocommit() as db:
            return await db.users.get(user_id)

    async def find(self, actor: Actor, email: str) -> User | None:
        """By address; raises Invalid where it is none."""
        authorize_accounts(actor)
        async with self.store.autocommit() as db:
            return await db.users.find_by_email(Email.parse(email).key)

    async def page(
        self,
        actor: Actor,
        *,
        skip: int = 0,
        limit: int = 100,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
    ) -> Page[User]:
        """Newest first. Raises Invalid."""
        authorize_accounts(actor)
        check_slice(skip, limit)
        key = None if email is None else Email.parse(email).key
        async with self.store.autocommit() as db:
            return await db.users.page(
                skip=skip, limit=limit, email=key, role=role, is_active=is_active
            )

    async def change(self, actor: Actor, user_id: UserId, **changes: Unpack[UserChanges]) -> User:
        """Deactivating ends the user's sessions.

        Raises NotFound, Invalid, and LastAdmin when no active administrator would be left.
        """
        authorize_accounts(actor)
        async with self.store.transaction() as tx:
            # The administrators are locked before the user: one order for everybody.
            admins = await tx.users.lock_admins()
            authorize_accounts(actor, admins)
            user = await tx.users.lock(user_id)
            edited = user.edited(self.clock.now(), **changes)
            if not edited.is_active_admin:
                _keep_an_admin(admins, without=user_id)
            if not edited.is_active:
                await tx.sessions.end_all(user_id)
            return user if edited is user else await tx.users.save(edited)

    async def delete(self, actor: Actor, user_id: UserId) -> None:
        """With all tasks and sessions. Raises NotFound and LastAdmin."""
        authorize_accounts(actor)
        async with self.store.transaction() as tx:
            admins = await tx.users.lock_admins()
            authorize_accounts(actor, admins)
            _keep_an_admin(admins, without=user_id)
            await tx.users.remove(user_id)

    async def _drafted(
        self, email: str, password: str, full_name: str | None, role: Role
    ) -> tuple[NewUser, str]:
        """An account that keeps every rule, and the hash of its password. Raises Invalid."""
        refusals = Refusals()
        with refusals:
            draft = User.new(email, self.clock.now(), full_name=full_name, role=role)
        with refusals:
            normal = normalized_password(password)
        refusals.raise_all()
        return draft, await self.hasher.hash(normal)


def _keep_an_admin(admins: Sequence[UserId], *, without: UserId) -> None:
    if list(admins) == [without]:
        raise LastAdmin
