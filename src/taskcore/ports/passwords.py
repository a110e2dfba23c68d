"""Hashing passwords."""

from typing import Protocol


class PasswordHasher(Protocol):
    """Slow on purpose. Never call it while a transaction is open."""

    async def hash(self, password: str) -> str:
        """Raises Unavailable when the queue is full."""

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        """Whether the hash was made from the password.

        A hash of None takes as long as a wrong password, so that timing does not reveal which
        accounts exist. An unreadable hash counts as a wrong password. Hash formats that predate
        the normalisation of passwords are also compared with `as_typed`, the password before
        normalisation. Raises Unavailable.
        """

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash has another format or strength than new ones get."""
