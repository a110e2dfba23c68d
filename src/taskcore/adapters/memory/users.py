"""Users in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from taskcore.adapters.memory.tables import Access, existing, page_of
from taskcore.domain.errors import EmailTaken
from taskcore.domain.users import NewUser, Role, StoredCredentials, User, UserId
from taskcore.ports import TASKS_AT_ONCE, Page


@dataclass(slots=True)
class MemoryUsers:
    _access: Access

    async def get(self, user_id: UserId) -> User:
        async with self._access() as tables:
            return existing(tables.users.get(user_id))

    lock = get  # one transaction runs at a time

    async def find_by_email(self, key: str) -> User | None:
        async with self._access() as tables:
            return tables.users[tables.emails[key]] if key in tables.emails else None

    async def get_credentials(self, user_id: UserId) -> StoredCredentials:
        async with self._access() as tables:
            user = existing(tables.users.get(user_id))
            return StoredCredentials(user, tables.password_hashes[user.id])

    async def find_credentials(self, key: str) -> StoredCredentials | None:
        user = await self.find_by_email(key)
        return None if user is None else await self.get_credentials(user.id)

    async def lock_admins(self) -> Sequence[UserId]:
        async with self._access() as tables:
            return sorted(user.id for user in tables.users.values() if user.is_active_admin)

    async def page(
        self,
        *,
        skip: int,
        limit: int,
        email: str | None = None,
        role: Role | None = None,
        is_active: bool | None = None,
        after: UserId | None = None,
    ) -> Page[User]:
        async with self._access() as tables:
            matching = [
                user
                for user in tables.users.values()
                if (email is None or tables.emails.get(email) == user.id)
                and role in {None, user.role}
                and is_active in {None, user.is_active}
            ]
        return page_of(matching, attrgetter("id"), skip=skip, limit=limit, after=after)

    async def add(self, user: NewUser, password_hash: str) -> User:
        async with self._access() as tables:
            if user.email.key in tables.emails:
                raise EmailTaken
            added = user.stored_as(UserId(next(tables.ids.users)))
            tables.users[added.id] = added
            tables.password_hashes[added.id] = password_hash
            tables.emails[user.email.key] = added.id
            return added

    async def save(self, user: User) -> User:
        async with self._access() as tables:
            existing(tables.users.get(user.id))
            tables.users[user.id] = user
            return user

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        async with self._access() as tables:
            if tables.password_hashes.get(user_id) != old:
                return False
            tables.password_hashes[user_id] = new
            return True

    async def count_hashes(self, prefix: str) -> int:
        async with self._access() as tables:
            return sum(each.startswith(prefix) for each in tables.password_hashes.values())

    async def lock_tasks(self, user_id: UserId) -> None:
        """Nothing to do: a transaction of this store runs alone."""

    async def remove(self, user_id: UserId, *, at_once: int = TASKS_AT_ONCE) -> None:  # noqa: ARG002 - removes all
        async with self._access() as tables:
            tables.remove_account(user_id)
