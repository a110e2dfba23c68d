"""Users in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from taskcore.adapters.memory.tables import Access, existing, page_of
from taskcore.domain.errors import EmailTaken
from taskcore.domain.users import NewUser, Role, User, UserId
from taskcore.ports import Page


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
        before: UserId | None = None,
    ) -> Page[User]:
        async with self._access() as tables:
            matching = [
                user
                for user in tables.users.values()
                if (email is None or tables.emails.get(email) == user.id)
                and role in {None, user.role}
                and is_active in {None, user.is_active}
            ]
        return page_of(matching, attrgetter("id"), skip=skip, limit=limit, before=before)

    async def add(self, user: NewUser, password_hash: str) -> User:
        async with self._access() as tables:
            if user.email.key in tables.emails:
                raise EmailTaken
            added = user.stored_as(UserId(next(tables.ids.users)), password_hash)
            tables.users[added.id] = added
            tables.emails[user.email.key] = added.id
            return added

    async def save(self, user: User) -> User:
        async with self._access() as tables:
            stored = existing(tables.users.get(user.id))
            saved = replace(user, password_hash=stored.password_hash)
            tables.users[user.id] = saved
            return saved

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        async with self._access() as tables:
            user = tables.users.get(user_id)
            if user is None or user.password_hash != old:
                return False
            tables.users[user_id] = replace(user, password_hash=new)
            return True

    async def count_hashes(self, prefix: str) -> int:
        async with self._access() as tables:
            return sum(user.password_hash.startswith(prefix) for user in tables.users.values())

    async def remove(self, user_id: UserId) -> None:
        async with self._access() as tables:
            tables.remove_account(user_id)
