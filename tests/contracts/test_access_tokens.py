"""The contract of `ports.AccessTokens`, on every kind; then what JWTs must refuse besides.

Most rows JWT of docs/security.md are proved here.
"""

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest

from taskcore.adapters.jwt import LEEWAY, JwtTokens, key_id
from taskcore.adapters.tokens import OpaqueRefreshTokens, SignedAccessTokens
from taskcore.domain.errors import ExpiredToken, InvalidToken
from taskcore.domain.ids import MAX_ID
from taskcore.ports import AccessTokens
from taskcore.testing.contracts import AccessTokenContract
from taskcore.testing.contracts.access_tokens import CLAIMS, refused
from taskcore.testing.contracts.stored import NOW

KEY = bytes(range(64))
KINDS: dict[str, AccessTokens] = {
    "jwt": JwtTokens(KEY),
    "jwt-384": JwtTokens(KEY, algorithm="HS384"),
    "jwt-512": JwtTokens(KEY, algorithm="HS512"),
    "signed": SignedAccessTokens(KEY),
}
OTHER_KEY = bytes(64)
OTHERS: dict[str, AccessTokens] = {
    "jwt": JwtTokens(OTHER_KEY),
    "jwt-384": JwtTokens(OTHER_KEY, algorithm="HS384"),
    "jwt-512": JwtTokens(OTHER_KEY, algorithm="HS512"),
    "signed": SignedAccessTokens(OTHER_KEY),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokens(kind: str) -> AccessTokens:
    return KINDS[kind]


@pytest.fixture
def others(kind: str) -> AccessTokens:
    return OTHERS[kind]


class TestAccessTokens(AccessTokenContract):
    """On the fixtures `tokens` and `others`: each of our kinds in turn."""


def test_our_tokens_live_for_half_an_hour(tokens: AccessTokens) -> None:
    """JWT-4: unless a setting says otherwise."""
    assert tokens.lifetime == 1800


def test_a_token_of_another_kind_is_not_valid(kind: str) -> None:
    for other, tokens in KINDS.items():
        assert refused(KINDS[kind], tokens.issue(CLAIMS, NOW)) is (other != kind)
    assert refused(KINDS[kind], OpaqueRefreshTokens((KEY,)).new())


# The tests below sign with the right key: everything else about a token must be checked too.

JWT = JwtTokens(KEY)
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
HEADER = {"typ": "at+jwt", "alg": "HS256", "kid": key_id(KEY)}
ISSUED = int(NOW.timestamp())
PAYLOAD = {
    "sub": "7",
    "sid": str(CLAIMS.session_id),
    "jti": "0123456789abcdef",
    "iss": "taskcore",
    "aud": "taskcore",
    "iat": ISSUED,
    "nbf": ISSUED,
    "exp": ISSUED + 1800,
}
MISSING = object()


def spelled(whole: object) -> bytes:
    """Spelled as in our own tokens; a header spelled otherwise is refused unread."""
    return json.dumps(whole, separators=(",", ":"), sort_keys=True).encode()


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(header: bytes, payload: bytes, algorithm: str = "HS256", key: bytes = KEY) -> str:
    said = f"{segment(header)}.{segment(payload)}"
    return f"{said}.{segment(hmac.digest(key, said.encode(), HASHES[algorithm]))}"


def forged(
    header: Mapping[str, Any] | None = None, payload: Mapping[str, Any] | None = None
) -> str:
    def changed(whole: Mapping[str, Any], changes: Mapping[str, Any] | None) -> bytes:
        kept = {**whole, **(changes or {})}
        return spelled({k: v for k, v in kept.items() if v is not MISSING})

    return signed(changed(HEADER, header), changed(PAYLOAD, payload))


def test_the_helper_of_these_tests_forges_a_good_token() -> None:
    assert JWT.read(forged(), NOW) == CLAIMS


def test_a_token_says_who_and_where_and_nothing_about_rights() -> None:
    """JWT-9, JWT-10: eight claims; no name, address or role, and a forged role is not read."""
    token = JWT.issue(CLAIMS, NOW)
    payload = jwt.decode(token, options={"verify_signature": False})
    assert set(payload) == set(PAYLOAD)
    assert {**payload, "jti": PAYLOAD["jti"]} == PAYLOAD
    assert jwt.get_unverified_header(token) == HEADER
    again = jwt.decode(JWT.issue(CLAIMS, NOW), options={"verify_signature": False})
    assert payload["jti"] != again["jti"]
    rights = {"role": "admin", "is_active": True, "scope": "admin:*", "user_id": 1}
    assert JWT.read(forged(payload=rights), NOW) == CLAIMS


@pytest.mark.parametrize(
    "algorithm",
    [
        *("none", "None", "nOnE", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA"),
        *(MISSING, None, 256, True, ["HS256"], {"HS256": 1}, [["HS256"]], "HS256\x00", "HS256 "),
    ],
)
def test_one_algorithm_is_taken(algorithm: object) -> None:
    """JWT-1: the configured one; any other, `none` included, is refused, signed or not."""
    token = forged({"alg": algorithm})
    assert refused(JWT, token)
    assert refused(JWT, token.rpartition(".")[0] + ".")
    if algorithm in ("HS384", "HS512"):
        head, body = (spelled(part) for part in ({**HEADER, "alg": algorithm}, PAYLOAD))
        assert refused(JWT, signed(head, body, str(algorithm)))


@pytest.mark.parametrize(
    "typ",
    [
        *("JWT", "jwt", "at+JWT", "AT+JWT", "rt+jwt", "at+jwt ", "application/at+jwt", ""),
        *(MISSING, None, 1, ["at+jwt"], {}),
    ],
)
def test_one_type_is_taken(typ: object) -> None:
    """JWT-2: at+jwt, in lower case."""
    assert refused(JWT, forged({"typ": typ}))


@pytest.mark.parametrize(
    "kid",
    [
        *("", "../../etc/passwd", "/dev/null", "' OR 1=1 --", "\x00", "k" * 900, "0" * 16),
        *(key_id(OTHER_KEY), key_id(KEY).upper(), key_id(KEY) + " "),
        *(MISSING, None, 1, True, [key_id(KEY)], {"kid": key_id(KEY)}),
    ],
)
def test_one_key_is_known(kid: object) -> None:
    """JWT-6: a key is looked up by its id alone; an unknown id is refused, whatever signed."""
    assert refused(JWT, forged({"kid": kid}))
    head = spelled({k: v for k, v in {**HEADER, "kid": kid}.items() if v is not MISSING})
    for key in (OTHER_KEY, b"", b"\x00"):
        assert refused(JWT, signed(head, spelled(PAYLOAD), key=key))


def test_keys_that_a_token_brings_along_are_not_fetched_or_used() -> None:
    """JWT-7: jku, x5u, jwk and x5c are ignored, and what is `crit` is refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for header in (
            {"jku": url},
            {"x5u": url},
            {"x5c": ["MIIB"]},
            {"jwk": {"kty": "oct", "k": segment(OTHER_KEY), "kid": key_id(KEY)}},
        ):
            head = spelled({**HEADER, **header})
            for key in (KEY, OTHER_KEY):
                assert refused(JWT, signed(head, spelled(PAYLOAD), key=key))
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["x"], [], "exp", None])
def test_a_token_with_critical_headers_is_refused(crit: object) -> None:
    assert refused(JWT, forged({"crit": crit, "x": 1}))


def test_a_payload_outside_of_the_token_is_refused() -> None:
    assert refused(JWT, forged({"b64": False, "crit": ["b64"]}))


@pytest.mark.parametrize("claim", PAYLOAD)
@pytest.mark.parametrize("value", [MISSING, None, True, [], {}, "", "x", -1, 1.5, [7], {"a": 1}])
def test_every_claim_must_be_there_and_be_right(claim: str, value: object) -> None:
    """JWT-3: each of the eight missing, null and of another type."""
    token = forged(payload={claim: value})
    if (claim, value) == ("exp", -1):
        with pytest.raises(ExpiredToken):
            JWT.read(token, NOW)
    elif (claim, value) in [("jti", ""), ("jti", "x"), ("nbf", -1)]:
        assert JWT.read(token, NOW) == CLAIMS  # any text is an id, any past moment has passed
    else:
        assert refused(JWT, token)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(("sub", text) for text in ("0", "-7", "+7", " 7", "7 ", "07", "7.0", "1e3", "0x7")),
        *(("sub", text) for text in ("\u0667", str(MAX_ID + 1), "9" * 500, "admin", "7_0")),
        ("sub", 7),
        *(("sid", text) for text in ("7", "x" * 36, "0" * 31, "zz" * 16)),
        ("sid", 12345678901234567890123456789012),
        *(("iss", text) for text in ("Taskcore", "taskcore ", "taskcore/", "evil")),
        *(("aud", text) for text in ("Taskcore", "other")),
        ("aud", ["taskcore"]),
        ("aud", ["taskcore", "other"]),
        ("iat", str(ISSUED)),
        ("nbf", str(ISSUED)),
        ("exp", str(ISSUED + 1800)),
        ("exp", float(ISSUED + 1800)),
        ("exp", 10**400),
        ("exp", ISSUED + 1800 + LEEWAY + 1),
        ("exp", float("inf")),
        ("exp", float("nan")),
        ("iat", ISSUED + LEEWAY + 1),
        ("nbf", ISSUED + LEEWAY + 1),
        ("nbf", 10**400),
        ("iat", float("nan")),
        ("iat", -(10**400)),
    ],
)
def test_a_claim_of_the_wrong_value_is_refused(claim: str, value: object) -> None:
    """JWT-3: other spellings, issuers, audiences and moments."""
    assert refused(JWT, forged(payload={claim: value}))


@pytest.mark.parametrize("exp", [ISSUED - LEEWAY, ISSUED - 10**9, -(10**400), 0, -1])
def test_a_token_whose_time_is_over_says_so(exp: int) -> None:
    with pytest.raises(ExpiredToken):
        JWT.read(forged(payload={"exp": exp, "iat": min(exp, ISSUED) - 60}), NOW)


def test_clocks_may_differ_by_a_few_seconds() -> None:
    for seconds in (-LEEWAY, 0, 1800 + LEEWAY - 1):
        token = JWT.issue(CLAIMS, NOW)
        assert JWT.read(token, NOW + timedelta(seconds=seconds)) == CLAIMS
    early = NOW - timedelta(seconds=LEEWAY + 2)
    with pytest.raises(InvalidToken):
        JWT.read(JWT.issue(CLAIMS, NOW), early)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"7", b'"x"', b"{", b"\xff", b"{}"])
def test_a_token_of_something_else_than_objects_is_refused(content: bytes) -> None:
    whole = spelled(HEADER), spelled(PAYLOAD)
    assert refused(JWT, signed(content, whole[1]))
    assert refused(JWT, signed(whole[0], content))
    assert refused(JWT, signed(content, content))


@pytest.mark.parametrize("depth", [10, 200, 600, 100_000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_refused_without_an_error(depth: int, brackets: tuple[bytes, bytes]) -> None:
    """JWT-8: in the header and in the payload."""
    deep = brackets[0] * depth + b"1" + brackets[1] * depth
    assert refused(JWT, signed(deep, spelled(PAYLOAD)))
    assert refused(JWT, signed(spelled(HEADER), deep))


def test_a_token_that_is_too_long_is_refused_however_good() -> None:
    """JWT-8: before it is parsed."""
    assert JWT.read(forged(payload={"note": "x" * 100}), NOW) == CLAIMS
    assert refused(JWT, forged(payload={"note": "x" * 2000}))


def test_doubled_claims_do_not_confuse() -> None:
    doubled = spelled(PAYLOAD).replace(b'"sub":"7"', b'"sub":"8","sub":"7"')
    assert b'"8"' in doubled
    token = signed(spelled(HEADER), doubled)
    assert JWT.read(token, NOW).user_id == 7  # the last one, as PyJWT reads it


def test_the_key_does_not_show() -> None:
    for tokens in (*KINDS.values(), OpaqueRefreshTokens((KEY,))):
        assert repr(KEY) not in repr(tokens)
        assert "key" not in repr(tokens)
