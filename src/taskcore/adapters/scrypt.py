"""Password hashes by scrypt, for a core without argon2."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from functools import partial

from taskcore.adapters.hashing import HashingThreads


@dataclass(frozen=True, slots=True)
class ScryptHasher:
    """The default cost is one of OWASP's: N=2^15, r=8, p=3, that is 32 MiB."""

    n: int = 2**15
    r: int = 8
    p: int = 3
    threads: HashingThreads = field(
        default_factory=HashingThreads, init=False, repr=False, compare=False
    )

    async def hash(self, password: str) -> str:
        salt = secrets.token_bytes(16)
        key = await self._key(password, salt, self.n, self.r, self.p)
        return f"scrypt.{self.n}.{self.r}.{self.p}.{salt.hex()}.{key.hex()}"

    async def verify(
        self,
        password: str,
        password_hash: str | None,
        *,
        as_typed: str | None = None,  # noqa: ARG002 - all its hashes are of normalised passwords
    ) -> bool:
        match = _SCRYPT.fullmatch(password_hash or "")
        n, r, p = map(int, match.groups()[:3]) if match else (0, 0, 0)
        if match is None or n * r > _MAX_SCRYPT_BLOCKS or p > _MAX_SCRYPT_PASSES:
            await self._key(password, bytes(16), self.n, self.r, self.p)
            return False
        try:
            key = await self._key(password, bytes.fromhex(match[4]), n, r, p)
        except ValueError:  # invalid cost
            return False
        return hmac.compare_digest(key, bytes.fromhex(match[5]))

    def needs_rehash(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"scrypt.{self.n}.{self.r}.{self.p}.")

    async def _key(self, password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
        return await self.threads.run(
            partial(hashlib.scrypt, password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2**28)
        )


_SCRYPT = re.compile(
    r"scrypt\.([0-9]{1,8})\.([0-9]{1,2})\.([0-9]{1,2})\.([0-9a-f]{32})\.([0-9a-f]{128})"
)
# The most that a stored hash may cost: 128 MiB, and some seconds.
_MAX_SCRYPT_BLOCKS, _MAX_SCRYPT_PASSES = 2**20, 16
