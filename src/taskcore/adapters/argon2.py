"""Password hashes: creates argon2id, verifies argon2id and old bcrypt hashes.

Verifying takes as long when there is no account.
"""

import logging
import re
import secrets
from collections.abc import Iterable
from typing import Self

import bcrypt
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from taskcore.adapters.hashing import HashingThreads
from taskcore.ports import Measures

_log = logging.getLogger(__name__)

# OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane. About 28 ms on a 2024 core.
MEMORY_KIB = 19456
PASSES = 2
LANES = 1
# The most that a stored hash may cost; a tampered one could exhaust the machine.
_MAX_MEMORY_KIB, _MAX_PASSES, _MAX_LANES, _MAX_BCRYPT_COST = 131072, 10, 16, 15
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})(?:\$[A-Za-z0-9+/]+){2}"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
BCRYPT = "$2"  # the prefix of every revision
_BCRYPT_BYTES = 72  # bcrypt ignores the rest


class Argon2Hasher:
    """Hashes in threads of its own, for which clients take turns."""

    def __init__(
        self,
        *,
        memory_kib: int = MEMORY_KIB,
        passes: int = PASSES,
        threads: int | None = None,
        queue: int | None = None,
    ) -> None:
        self._argon2 = PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=LANES, type=Type.ID
        )
        self.threads = HashingThreads(threads, queue=queue)
        # Has today's parameters, so that an unknown address takes as long as a wrong password.
        self._decoy = self._argon2.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self.threads.run(lambda: self._argon2.hash(password))

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        if password_hash is not None and not _is_readable(password_hash):
            _log.warning("a stored password hash is damaged, or costs more than is allowed")
        # The passwords of bcrypt hashes were not normalised.
        spellings = dict.fromkeys((as_typed or password, password))
        return await self.threads.run(lambda: self._verify(password, password_hash, spellings))

    def needs_rehash(self, password_hash: str) -> bool:
        return not _ARGON2.fullmatch(password_hash) or self._argon2.check_needs_rehash(
            password_hash
        )

    def measures(self) -> Measures:
        return self.threads.measures()

    def close(self) -> None:
        self.threads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _verify(self, password: str, password_hash: str | None, spellings: Iterable[str]) -> bool:
        if password_hash and _is_bounded_bcrypt(password_hash):
            return any(_matches_bcrypt(password_hash, spelling) for spelling in spellings)
        if password_hash is None or not _is_bounded_argon2(password_hash):
            self._matches(self._decoy, password)
            return False
        return self._matches(password_hash, password)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._argon2.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _matches_bcrypt(password_hash: str, password: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], password_hash.encode())
    except ValueError:
        return False


def _is_bounded_argon2(password_hash: str) -> bool:
    match = _ARGON2.fullmatch(password_hash)
    if match is None:
        return False
    memory, passes, lanes = map(int, match.groups())
    return memory <= _MAX_MEMORY_KIB and passes <= _MAX_PASSES and lanes <= _MAX_LANES


def _is_bounded_bcrypt(password_hash: str) -> bool:
    match = _BCRYPT.fullmatch(password_hash)
    return match is not None and int(match[1]) <= _MAX_BCRYPT_COST


def _is_readable(password_hash: str) -> bool:
    return _is_bounded_argon2(password_hash) or _is_bounded_bcrypt(password_hash)
