"""Refresh tokens, and access tokens for a core without a JWT library."""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from taskcore.domain.errors import ExpiredToken, InvalidToken
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims


@dataclass(frozen=True, slots=True)
class OpaqueRefreshTokens:
    """`tcr_` and 256 random bits. The prefix lets secret scanners recognise a leaked token."""

    keys: tuple[bytes, ...] = field(repr=False)
    """The current key first."""

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
class SignedAccessTokens:
    """Access tokens that consist of the claims and their HMAC-SHA256."""

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
        return AccessClaims(UserId(int(user_id)), SessionId(UUID(session_id)), int(expires_at))

    def _signature(self, payload: str) -> str:
        return hmac.digest(self.key, payload.encode(errors="replace"), hashlib.sha256).hex()
