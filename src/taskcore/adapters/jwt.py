"""Access tokens as signed JWTs (RFC 9068 profile, symmetric keys)."""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Literal
from uuid import UUID

import jwt
import msgspec
from jwt.utils import base64url_decode, base64url_encode
from msgspec import Meta, Struct

from taskcore.domain.errors import ExpiredToken, InvalidToken
from taskcore.domain.ids import MAX_ID
from taskcore.domain.sessions import SessionId
from taskcore.domain.users import UserId
from taskcore.ports import AccessClaims

ISSUER = "taskcore"
AUDIENCE = "taskcore"
_TYPE = "at+jwt"
_MAX_CHARACTERS = 2048
_CACHED = 1024  # tokens; ours have some 400 characters
LEEWAY = 5  # seconds; more than NTP leaves between two machines


class _Payload(Struct):
    """The claims of a token; each is required."""

    sub: Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,18}\Z")]
    sid: UUID
    jti: str
    iss: Literal["taskcore"]
    aud: Literal["taskcore"]
    iat: int
    nbf: int
    exp: int


_payload = msgspec.json.Decoder(_Payload).decode


class JwtTokens:
    """The first key signs, all keys verify. `kid` is a digest of the key.

    Header and signature must equal the text that `issue` would write. So a client cannot choose the
    algorithm or the key, nothing is parsed before the signature is verified, and each token has
    exactly one spelling.
    """

    def __init__(self, *keys: bytes, algorithm: str = "HS256", lifetime: float = 1800.0) -> None:
        self.lifetime = lifetime
        self._algorithm = algorithm
        self._key, self._header = keys[0], _header(keys[0], algorithm)
        self._keys = {self._first_segment(key): key for key in keys}
        self._hmac = jwt.get_algorithm_by_name(algorithm)
        # A signature stays valid, so it is verified once. `read` checks the times on every request,
        # and its caller the session.
        self._signed = lru_cache(maxsize=_CACHED)(self._verified)

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
        return jwt.encode(payload, self._key, self._algorithm, headers=self._header)

    def read(self, token: str, now: datetime) -> AccessClaims:
        payload = self._signed(token)
        if (user_id := int(payload.sub)) > MAX_ID:
            raise InvalidToken
        self._check_times(payload, now.astimezone(UTC).timestamp())
        return AccessClaims(UserId(user_id), SessionId(payload.sid), payload.exp + LEEWAY)

    def _verified(self, token: str) -> "_Payload":
        signed, _, signature = token.rpartition(".")
        header, _, claims = signed.partition(".")
        key = self._keys.get(header)
        if key is None or len(token) > _MAX_CHARACTERS:
            raise InvalidToken
        expected = base64url_encode(self._hmac.sign(signed.encode(errors="replace"), key))
        if not hmac.compare_digest(expected, signature.encode(errors="replace")):
            raise InvalidToken
        try:
            return _payload(base64url_decode(claims))
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise InvalidToken from None

    def _first_segment(self, key: bytes) -> str:
        headers = _header(key, self._algorithm)
        return jwt.encode({}, key, self._algorithm, headers=headers).partition(".")[0]

    def _check_times(self, payload: "_Payload", now: float) -> None:
        if max(payload.iat, payload.nbf) > now + LEEWAY:
            raise InvalidToken
        if payload.exp > payload.iat + int(self.lifetime) + LEEWAY:
            raise InvalidToken
        if now >= payload.exp + LEEWAY:
            raise ExpiredToken


def key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]


def _header(key: bytes, algorithm: str) -> dict[str, str]:
    return {"typ": _TYPE, "alg": algorithm, "kid": key_id(key)}
