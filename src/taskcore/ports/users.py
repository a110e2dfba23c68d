"""Storing users."""

from collections.abc import Sequence
from typing import Protocol

from taskcore.domain.users import NewUser, Role, StoredCredentials, User, UserId
from taskcore.ports.leftovers import TASKS_AT_ONCE
from taskcore.ports.pages import Page


class UserRepository(Protocol):
    async def get(self, user_id: UserId) -> User:
        """Raises NotFound."""

    async def find_by_email(self, key: str) -> User | None:
        """The user whose address has this key (`Email.key`)."""

    async def get_credentials(self, user_id: UserId) -> StoredCredentials:
        """Raises NotFound."""

    async def find_credentials(self, key: str) -> StoredCredentials | None:
        """As `find_by_email`, with the password hash."""

    async def lock(self, user_id: UserId) -> User:
        """As `get`, and locks the user against other writers until the transaction ends."""

    async def lock_admins(self) -> Sequence[UserId]:
        """The active administrators, locked until the transaction ends.

        Only one transaction at a time holds this lock, so two of them cannot deadlock.
        """

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
        """Users, newest first. `email` is the key of an Email and must match exactly.

        With `after`, only accounts older than that one, which may be deleted by now.
        """

    async def add(self, user: NewUser, password_hash: str) -> User:
        """Raises EmailTaken."""

    async def save(self, user: User) -> User:
        """Store an edited user; the password hash stays. Raises NotFound."""

    async def replace_password_hash(self, user_id: UserId, old: str, new: str) -> bool:
        """Returns False, and changes nothing, unless `old` is the stored hash."""

    async def count_hashes(self, prefix: str) -> int:
        """How many password hashes start with the prefix."""

    async def lock_tasks(self, user_id: UserId) -> None:
        """Lock an account that is to be removed against every other write to its tasks.

        Call it before `lock_admins`: it may wait for such a write, and would make every other
        administrator wait too. Does nothing if there is no such account.
        """

    async def remove(self, user_id: UserId, *, at_once: int = TASKS_AT_ONCE) -> None:
        """The user, their tasks and their sessions are gone for every reader.

        Another account may have the address at once. If there are more than `at_once` tasks, some
        may stay stored as leftovers. Raises NotFound.
        """
