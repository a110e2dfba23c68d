"""Access tokens as signed JWTs (RFC 9068 profile, symmetric keys)."""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt

from taskcore.domain.errors import ExpiredToken, InvalidToken
from taskcore.domain.rules import MAX_ID
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims

ISSUER = "taskcore"
AUDIENCE = "taskcore"
_TYPE = "at+jwt"
_CLAIMS = ["sub", "sid", "jti", "iss", "aud", "iat", "nbf", "exp"]
_MAX_CHARACTERS = 2048
# Checked before anything is parsed: PyJWT itself takes a token with padding added, so one token
# would have many spellings.
_FORMAT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_USER_ID = re.compile(r"[1-9][0-9]{0,18}")
LEEWAY = 5  # seconds; machines that keep time by NTP differ by less


class JwtTokens:
    """The first key signs, all verify. A token names its key by a digest of that."""

    def __init__(self, *keys: bytes, algorithm: str = "HS256", lifetime: float = 1800.0) -> None:
        self.lifetime = lifetime
        self._keys = {key_id(key): key for key in keys}
        self._key_id, self._key = key_id(keys[0]), keys[0]
        self._algorithm = algorithm

    def issue(self, claims: AccessClaims, now: datetime) -> str:
        issued_at = int(now.timestamp())
        payload = {
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "jti": secrets.token_urlsafe(12),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + int(self.lifetime),
        }
        headers = {"typ": _TYPE, "kid": self._key_id}
        return jwt.encode(payload, self._key, self._algorithm, headers=headers)

    def read(self, token: str, now: datetime) -> AccessClaims:
        if len(token) > _MAX_CHARACTERS or not _FORMAT.fullmatch(token):
            raise InvalidToken
        try:
            named = jwt.get_unverified_header(token).get("kid")
            # What names no key of ours was signed by none. Looked up, never opened or fetched.
            key = self._keys.get(named) if isinstance(named, str) else None
            if key is None:
                raise InvalidToken
            decoded = jwt.decode_complete(
                token,
                key,
                # A list: with any other container PyJWT fails on a header whose `alg` is no text.
                algorithms=[self._algorithm],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Times are compared below, with the clock of this core.
                options={
                    "require": _CLAIMS,
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise InvalidToken from None
        header, payload = decoded["header"], decoded["payload"]
        if header.get("typ") != _TYPE:
            raise InvalidToken
        self._check_times(payload, now.astimezone(UTC).timestamp())
        return _claims(payload)

    def _check_times(self, payload: dict[str, Any], now: float) -> None:
        issued_at, not_before, expires_at = (payload[name] for name in ("iat", "nbf", "exp"))
        if not all(type(time) is int for time in (issued_at, not_before, expires_at)):
            raise InvalidToken
        if max(issued_at, not_before) > now + LEEWAY:
            raise InvalidToken
        if expires_at > issued_at + int(self.lifetime) + LEEWAY:
            raise InvalidToken
        if now >= expires_at + LEEWAY:
            raise ExpiredToken


def key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]


def _claims(payload: dict[str, Any]) -> AccessClaims:
    subject, session_id = payload["sub"], payload["sid"]
    if not isinstance(subject, str) or not _USER_ID.fullmatch(subject) or int(subject) > MAX_ID:
        raise InvalidToken
    if not isinstance(session_id, str):
        raise InvalidToken
    try:
        return AccessClaims(UserId(int(subject)), SessionId(UUID(session_id)))
    except ValueError:
        raise InvalidToken from None
