"""Clock, random secrets and keys from the standard library."""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from taskcore.domain.errors import ExpiredToken, InvalidToken, Misconfigured
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait_until(self, moment: datetime) -> None:
        await asyncio.sleep((moment - self.now()).total_seconds())


def derived_key(secret: bytes, purpose: str) -> bytes:
    """A key of 64 bytes for one purpose. Keys of different purposes tell nothing of each other.

    One step of HKDF-Expand (RFC 5869) with SHA-512, which is all that 64 bytes take.
    """
    return hmac.digest(secret, purpose.encode() + b"\x01", hashlib.sha512)


@dataclass(frozen=True, slots=True)
class OpaqueRefreshTokens:
    """`tcr_` and 256 bits. The prefix lets secret scanners recognise a leaked one."""

    keys: tuple[bytes, ...] = field(repr=False)
    """The present one first."""

    def new(self) -> str:
        return _spelled(secrets.token_bytes(32))

    def nonce(self) -> bytes:
        return secrets.token_bytes(16)

    def successors(self, token: str, nonce: bytes) -> tuple[str, ...]:
        said = token.encode() + b"\x00" + nonce
        return tuple(_spelled(hmac.digest(key, said, hashlib.sha256)) for key in self.keys)

    def digest(self, token: str) -> bytes:
        # 256 random bits need no salt and no slow hash. What cannot be encoded was never issued.
        return hashlib.sha256(token.encode(errors="replace")).digest()


def _spelled(secret: bytes) -> str:
    return "tcr_" + urlsafe_b64encode(secret).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class HmacPseudonyms:
    key: bytes = field(repr=False)

    def of(self, name: str) -> str:
        # 128 bits: too many to meet by chance, few enough to read.
        return hmac.digest(self.key, name.encode(errors="replace"), hashlib.sha256)[:16].hex()


@dataclass(frozen=True, slots=True)
class SignedAccessTokens:
    """Claims and their HMAC-SHA256, for a core that runs without a JWT library."""

    key: bytes = field(repr=False)
    lifetime: float = 1800.0

    def issue(self, claims: AccessClaims, now: datetime) -> str:
        expires_at = int(now.timestamp() + self.lifetime)
        said = f"{claims.user_id}.{claims.session_id}.{expires_at}"
        return f"{said}.{self._signature(said)}"

    def read(self, token: str, now: datetime) -> AccessClaims:
        said, _, signature = token.rpartition(".")
        # What cannot be encoded was never issued.
        given = signature.encode(errors="replace")
        if not hmac.compare_digest(self._signature(said).encode(), given):
            raise InvalidToken
        user_id, session_id, expires_at = said.split(".")
        if now.timestamp() >= int(expires_at):
            raise ExpiredToken
        return AccessClaims(UserId(int(user_id)), SessionId(UUID(session_id)))

    def _signature(self, said: str) -> str:
        return hmac.digest(self.key, said.encode(errors="replace"), hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class ScryptHasher:
    """Password hashes from the standard library, for a core that runs without argon2.

    The default cost is one of OWASP's: N=2^15, r=8, p=3, that is 32 MiB.
    """

    n: int = 2**15
    r: int = 8
    p: int = 3

    async def hash(self, password: str) -> str:
        salt = secrets.token_bytes(16)
        key = await self._key(password, salt, self.n, self.r, self.p)
        return f"scrypt.{self.n}.{self.r}.{self.p}.{salt.hex()}.{key.hex()}"

    async def verify(
        self,
        password: str,
        password_hash: str | None,
        *,
        as_typed: str | None = None,  # noqa: ARG002 - there are no hashes of the past
    ) -> bool:
        match = _SCRYPT.fullmatch(password_hash or "")
        n, r, p = map(int, match.groups()[:3]) if match else (0, 0, 0)
        if match is None or n * r > _MAX_SCRYPT_BLOCKS or p > _MAX_SCRYPT_PASSES:
            await self._key(password, bytes(16), self.n, self.r, self.p)
            return False
        try:
            found = await self._key(password, bytes.fromhex(match[4]), n, r, p)
        except ValueError:  # no such cost exists
            return False
        return hmac.compare_digest(found, bytes.fromhex(match[5]))

    def needs_rehash(self, password_hash: str) -> bool:
        return not password_hash.startswith(f"scrypt.{self.n}.{self.r}.{self.p}.")

    async def _key(self, password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
        return await asyncio.to_thread(
            hashlib.scrypt, password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2**28
        )


_SCRYPT = re.compile(
    r"scrypt\.([0-9]{1,8})\.([0-9]{1,2})\.([0-9]{1,2})\.([0-9a-f]{32})\.([0-9a-f]{128})"
)
# What a stored hash may ask of this machine: 128 MiB, and some seconds.
_MAX_SCRYPT_BLOCKS, _MAX_SCRYPT_PASSES = 2**20, 16


def generated_secret(file: Path) -> bytes:
    """A random key of 64 hexadecimal digits, made once; readable by its owner alone.

    Raises Misconfigured where it cannot be made, or others can read it.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file, secrets.token_hex(32))
        status, folder = file.stat(), file.parent.stat()
        if status.st_mode & 0o077:
            raise Misconfigured([f"{file} can be read by others; run `chmod 600 {file}`"])
        if status.st_uid not in {os.geteuid(), folder.st_uid}:
            raise Misconfigured([f"{file} belongs to somebody else, who may have put it there"])
        secret = file.read_bytes().strip()
    except OSError as error:
        raise Misconfigured([f"{file} cannot be used: {error.strerror}"]) from None
    if len(secret) < _SECRET_BYTES:
        raise Misconfigured([f"{file} is damaged; restore it, or delete it to log everybody out"])
    return secret


_SECRET_BYTES = 32


def _create(file: Path, text: str) -> None:
    """Whole or not at all, and never over another process's: everybody must get the same key."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            if os.geteuid() == 0:  # for a service that owns the folder: it must be able to read it
                folder = file.parent.stat()
                os.fchown(stream.fileno(), folder.st_uid, folder.st_gid)
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
