"""Clock, tokens, keys and password hashes, with the standard library alone."""

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
    """A key of 64 bytes for one purpose, independent of the keys for other purposes.

    One step of HKDF-Expand (RFC 5869) with SHA-512, which suffices for 64 bytes.
    """
    return hmac.digest(secret, purpose.encode() + b"\x01", hashlib.sha512)


@dataclass(frozen=True, slots=True)
class OpaqueRefreshTokens:
    """`tcr_` and 256 random bits. The prefix lets secret scanners recognise a leaked token."""

    keys: tuple[bytes, ...] = field(repr=False)
    """The current one first."""

    def new(self) -> str:
        return _encoded(secrets.token_bytes(32))

    def nonce(self) -> bytes:
        return secrets.token_bytes(16)

    def successors(self, token: str, nonce: bytes) -> tuple[str, ...]:
        message = token.encode() + b"\x00" + nonce
        return tuple(_encoded(hmac.digest(key, message, hashlib.sha256)) for key in self.keys)

    def digest(self, token: str) -> bytes:
        # 256 random bits need no salt and no slow hash. Tokens issued here always encode.
        return hashlib.sha256(token.encode(errors="replace")).digest()


def _encoded(secret: bytes) -> str:
    return "tcr_" + urlsafe_b64encode(secret).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class HmacPseudonyms:
    key: bytes = field(repr=False)

    def of(self, name: str) -> str:
        # 128 bits: enough to avoid collisions, short enough to read.
        return hmac.digest(self.key, name.encode(errors="replace"), hashlib.sha256)[:16].hex()


@dataclass(frozen=True, slots=True)
class SignedAccessTokens:
    """Claims and their HMAC-SHA256, for a core without a JWT library."""

    key: bytes = field(repr=False)
    lifetime: float = 1800.0

    def issue(self, claims: AccessClaims, now: datetime) -> str:
        expires_at = int(now.timestamp() + self.lifetime)
        payload = f"{claims.user_id}.{claims.session_id}.{expires_at}"
        return f"{payload}.{self._signature(payload)}"

    def read(self, token: str, now: datetime) -> AccessClaims:
        payload, _, signature = token.rpartition(".")
        expected = self._signature(payload).encode()
        if not hmac.compare_digest(expected, signature.encode(errors="replace")):
            raise InvalidToken
        user_id, session_id, expires_at = payload.split(".")
        if now.timestamp() >= int(expires_at):
            raise ExpiredToken
        return AccessClaims(UserId(int(user_id)), SessionId(UUID(session_id)))

    def _signature(self, payload: str) -> str:
        return hmac.digest(self.key, payload.encode(errors="replace"), hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class ScryptHasher:
    """Password hashes for a core without argon2.

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
        return await asyncio.to_thread(
            hashlib.scrypt, password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2**28
        )


_SCRYPT = re.compile(
    r"scrypt\.([0-9]{1,8})\.([0-9]{1,2})\.([0-9]{1,2})\.([0-9a-f]{32})\.([0-9a-f]{128})"
)
# The most that a stored hash may cost: 128 MiB, and some seconds.
_MAX_SCRYPT_BLOCKS, _MAX_SCRYPT_PASSES = 2**20, 16


def generated_secret(file: Path) -> bytes:
    """The key in `file`, created with 64 random hexadecimal digits if it does not exist.

    Raises Misconfigured if it cannot be created or read, or if other users can read it.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _create(file, secrets.token_hex(32))
        status, folder = file.stat(), file.parent.stat()
        if status.st_mode & 0o077:
            raise Misconfigured([f"{file} can be read by others; run `chmod 600 {file}`"])
        if status.st_uid not in {os.geteuid(), folder.st_uid}:
            raise Misconfigured([f"{file} belongs to another user, who may have put it there"])
        secret = file.read_bytes().strip()
    except OSError as error:
        raise Misconfigured([f"{file} cannot be used: {error.strerror}"]) from None
    if len(secret) < _SECRET_BYTES:
        raise Misconfigured([f"{file} is damaged; restore it, or delete it to end all sessions"])
    return secret


_SECRET_BYTES = 32


def _create(file: Path, text: str) -> None:
    """Atomic, and never replaces a file: all processes must get the same key."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            if os.geteuid() == 0:  # the service that owns the folder must be able to read the file
                folder = file.parent.stat()
                os.fchown(stream.fileno(), folder.st_uid, folder.st_gid)
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
