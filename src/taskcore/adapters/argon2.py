"""Password hashes: creates argon2id, verifies argon2id and old bcrypt hashes.

Verifying takes as long when there is no account.
"""

import asyncio
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import bcrypt
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from taskcore.domain.errors import Unavailable
from taskcore.ports import Measures

Result = TypeVar("Result")
_log = logging.getLogger(__name__)

# OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane. About 28 ms on a 2024 core.
MEMORY_KIB = 19456
PASSES = 2
LANES = 1
# Waiting hashes per thread. 64 take some 2 s; users do not wait longer.
QUEUE = 64
# The most that a stored hash may cost; a tampered one could exhaust the machine.
_MAX_MEMORY_KIB, _MAX_PASSES, _MAX_LANES, _MAX_BCRYPT_COST = 131072, 10, 16, 15
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,3})(?:\$[A-Za-z0-9+/]+){2}"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
BCRYPT = "$2"  # the prefix of every revision
_BCRYPT_BYTES = 72  # bcrypt ignores the rest


class Argon2Hasher:
    """Hashes in threads of its own: argon2 releases the GIL, so the event loop keeps running.

    The number of threads bounds the hashes that run at once, even when callers are cancelled. A
    semaphore would be released on cancellation while the hash still runs.
    """

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
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="argon2")
        self._queue = QUEUE * self._threads if queue is None else queue
        self._waiting = 0  # those that run too
        self._refused = 0
        # Has today's parameters, so that an unknown address takes as long as a wrong password.
        self._decoy = self._argon2.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(
        self, password: str, password_hash: str | None, *, as_typed: str | None = None
    ) -> bool:
        if password_hash is not None and not _is_readable(password_hash):
            _log.warning("a stored password hash is damaged, or costs more than is allowed")
        # The passwords of bcrypt hashes were not normalised.
        spellings = dict.fromkeys((as_typed or password, password))
        return await self._run(lambda: self._verify(password, password_hash, spellings))

    def needs_rehash(self, password_hash: str) -> bool:
        return not _ARGON2.fullmatch(password_hash) or self._argon2.check_needs_rehash(
            password_hash
        )

    def measures(self) -> Measures:
        running = min(self._waiting, self._threads)
        return {
            "hashing:running": running,
            "hashing:waiting": self._waiting - running,
            "hashing_refused": self._refused,
        }

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

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

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._threads + self._queue:
            self._refused += 1
            raise Unavailable("Too many logins at once; try again")
        self._waiting += 1
        future = self._pool.submit(work)
        # Count until the work is done: a cancelled caller leaves before that.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: self._done(loop))
        return await asyncio.wrap_future(future)

    def _done(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._decrement)

    def _decrement(self) -> None:
        self._waiting -= 1


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
