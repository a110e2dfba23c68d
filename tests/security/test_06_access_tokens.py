"""Access tokens, many forged with the servers' own key: rows JWT of docs/security.md."""

import base64
import hmac
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest

from taskcore.adapters.jwt import key_id
from taskcore.adapters.system import derived_key
from tests.api.served import exchange
from tests.security.site import V1, Account, Site, site
from tests.server.running import KEY, Api

SIGNS = derived_key(KEY.encode(), "access token")
NEXT_KEY = "zyxwvutsrq-9876543210-PONMLKJIHG-fedcba"
MISSING = object()
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def header_of(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def spelled(whole: Mapping[str, Any]) -> bytes:
    """As our own tokens are: nothing else in a header would be read at all."""
    return json.dumps(whole, separators=(",", ":"), sort_keys=True).encode()


def signed(header: bytes, payload: bytes, key: bytes = SIGNS, algorithm: str = "HS256") -> str:
    """By hand: PyJWT would not make the worst of them."""
    said = f"{segment(header)}.{segment(payload)}"
    return f"{said}.{segment(hmac.digest(key, said.encode(), f'sha{algorithm[2:]}'))}"


def forged(
    token: str,
    header: Mapping[str, Any] | None = None,
    payload: Mapping[str, Any] | None = None,
    **how: Any,
) -> str:
    """The same token with some things changed or MISSING, and signed again."""

    def changed(whole: Mapping[str, Any], changes: Mapping[str, Any] | None) -> bytes:
        kept = {**whole, **(changes or {})}
        return spelled({name: value for name, value in kept.items() if value is not MISSING})

    return signed(changed(header_of(token), header), changed(claims_of(token), payload), **how)


def said_to(site: Site, token: str, process: int = 0) -> tuple[int, str | None]:
    """The status and the code of a problem."""
    answer = site.ask("GET", "/auth/me", token=token, process=process)
    return answer.status, answer.json.get("code")


REFUSED = (401, "invalid_token")


def test_one_algorithm_is_taken(site: Site, ada: Account) -> None:
    """JWT-1: the one of the settings; whatever else a header names is refused, and no error."""
    assert said_to(site, forged(ada.access)) == (200, None)  # the forger knows his trade
    for algorithm in (
        *("none", "None", "nOnE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA"),
        *(MISSING, None, 256, True, ["HS256"], {"HS256": 1}, [["HS256"]], "HS256 ", "x" * 900),
    ):
        token = forged(ada.access, {"alg": algorithm})
        assert said_to(site, token) == REFUSED, algorithm
        for unsigned in ("", "AA"):
            assert said_to(site, f"{token.rpartition('.')[0]}.{unsigned}") == REFUSED, algorithm
    for algorithm in ("HS384", "HS512"):  # and rightly signed
        token = forged(ada.access, {"alg": algorithm}, algorithm=algorithm)
        assert said_to(site, token) == REFUSED, algorithm


def test_one_type_is_taken(site: Site, ada: Account) -> None:
    """JWT-2: at+jwt, in lower case."""
    for kind in ("JWT", "at+JWT", "rt+jwt", "application/at+jwt", "", MISSING, None, 1, ["at+jwt"]):
        assert said_to(site, forged(ada.access, {"typ": kind})) == REFUSED, kind


def test_every_claim_must_be_there_and_be_right(site: Site, ada: Account, bob: Account) -> None:
    """JWT-3: each of the eight is missing, null, of another type or of another value."""
    claims = claims_of(ada.access)
    wrong: dict[str, list[object]] = {
        "sub": [str(bob.id), ada.id, f"0{ada.id}", f"{ada.id} ", "0", "-1", str(2**63), "9" * 500],
        "sid": [str(uuid4()), claims_of(bob.access)["sid"], "x", claims["sid"][:-1]],
        "jti": [],  # any text is one
        "iss": ["Taskcore", "taskcore/", "https://taskcore.example"],
        "aud": ["Taskcore", ["taskcore"], ["taskcore", "other"]],
        "iat": [claims["iat"] + 3600, str(claims["iat"]), 10**400],
        "nbf": [claims["nbf"] + 3600, str(claims["nbf"]), 10**400],
        "exp": [str(claims["exp"]), float(claims["exp"]), 10**400, float("inf"), float("nan")],
    }
    assert set(wrong) == set(claims)
    for name, values in wrong.items():
        for value in (MISSING, None, True, 1.5, [], {}, {"a": 1}, *values):
            token = forged(ada.access, payload={name: value})
            assert said_to(site, token) == REFUSED, (name, value)


def test_a_token_lives_for_half_an_hour(site: Site, ada: Account) -> None:
    """JWT-4: 1800 seconds from iat, whatever exp would say; then it has expired."""
    granted = site.log_in(ada.email).json
    claims = claims_of(granted["access_token"])
    assert claims["exp"] - claims["iat"] == granted["expires_in"] == 1800
    longer = forged(ada.access, payload={"exp": claims_of(ada.access)["exp"] + 60})
    assert said_to(site, longer) == REFUSED

    def issued(at: int) -> str:
        return forged(ada.access, payload={"iat": at, "nbf": at, "exp": at + 1800})

    now = int(time.time())
    for at in (now - 1700, now + 4):  # clocks may differ by five seconds
        assert said_to(site, issued(at)) == (200, None)
    assert said_to(site, issued(now - 1806)) == (401, "token_expired")
    assert said_to(site, issued(now + 600)) == REFUSED


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("SECRET_KEY", "your-super-secret-key-change-in-production"),
        ("SECRET_KEY", "your-secret-key-min-32-chars"),
        ("SECRET_KEY", "kJ8sX2vQ9wLzR4tYb7NcMd1FhGp3Ae5"),  # 31
        ("SECRET_KEY", "abcdefg" * 9),
        ("SECRET_KEY", ""),
        ("SECRET_KEYS_OLD", "change-me-4Tq9Xw2Lz8Rv6Yb1Nc3Md5Fh7"),
    ],
)
def test_no_server_starts_with_a_key_that_can_be_guessed(
    site: Site, tmp_path: Path, variable: str, key: str
) -> None:
    """JWT-5: from a document, too short, too regular, or none; the log names it, never shows it."""
    settings = {"DATABASE_URL": site.apis[0].env["DATABASE_URL"], "SECRET_KEY": KEY}
    with Api(tmp_path, **settings | {variable: key}) as api:
        assert api.exit_code(within=20) == 78
        assert f"{variable} " in api.log
        assert not key or key not in api.log


@pytest.fixture(scope="module")
def steps(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for each of the four steps of changing the key, and one of another algorithm."""
    folder = tmp_path_factory.mktemp("steps")
    later = (
        {"SECRET_KEY": KEY, "SECRET_KEYS_OLD": NEXT_KEY},
        {"SECRET_KEY": NEXT_KEY, "SECRET_KEYS_OLD": json.dumps([KEY])},
        {"SECRET_KEY": NEXT_KEY},
        {"SECRET_KEY": KEY, "ALGORITHM": "HS512"},
    )
    with site(folder, database_url, processes=1) as first, ExitStack() as stack:
        url = first.apis[0].env["DATABASE_URL"]
        started = [
            stack.enter_context(Api(folder / f"later-{number}", DATABASE_URL=url, **keys))
            for number, keys in enumerate(later)
        ]
        yield Site((*first.apis, *(api.ready() for api in started)), first.conninfo)


def test_the_key_changes_while_people_are_logged_in(steps: Site) -> None:
    """JWT-6: the first key signs, each verifies; the tokens of one that is taken away end."""
    old, new = (key_id(derived_key(key.encode(), "access token")) for key in (KEY, NEXT_KEY))
    eve = steps.join()
    for step, kid in enumerate((old, old, new, new)):
        token = steps.log_in(eve.email, process=step).json["access_token"]
        assert header_of(token)["kid"] == kid
        takers = [200, 200, 200, 401] if kid == old else [401, 200, 200, 200]
        assert [steps.me(token, process=other) for other in range(4)] == takers


def test_a_refresh_survives_the_change_of_the_key(steps: Site) -> None:
    """JWT-6: sent again to the next step, or the one before, it brings the same successor."""
    eve = steps.join()
    for one, other in ((0, 1), (1, 2), (2, 1), (2, 3), (3, 2)):
        token = steps.log_in(eve.email, process=one).json["refresh_token"]
        first, again = (steps.refresh(token, process=step) for step in (one, other))
        assert (first.status, again.status) == (200, 200)
        assert first.json["refresh_token"] == again.json["refresh_token"]
        assert steps.me(again.json["access_token"], process=other) == 200
        # And the session outlives the key that it was opened under.
        assert steps.refresh(again.json["refresh_token"], process=3).status == 200


def test_servers_of_two_algorithms_take_no_token_of_each_other(steps: Site) -> None:
    """JWT-1: also with the same key."""
    eve = steps.join()
    for own, other, algorithm in ((0, 4, "HS256"), (4, 0, "HS512")):
        token = steps.log_in(eve.email, process=own).json["access_token"]
        assert header_of(token)["alg"] == algorithm
        assert [steps.me(token, process=step) for step in (own, other)] == [200, 401]


def test_a_key_is_looked_up_by_its_name_and_nothing_else(site: Site, ada: Account) -> None:
    """JWT-6: a name that is none of ours is refused, whatever it might mean elsewhere."""
    kid = header_of(ada.access)["kid"]
    for name in (
        *("", "../../etc/passwd", "/dev/null", "' OR 1=1 --", "\x00", "k" * 1000, "k" * 10_000),
        *(kid.upper(), kid + " ", MISSING, None, 1, True, [kid], {"kid": kid}),
    ):
        for key in (SIGNS, b"", b"\x00"):
            assert said_to(site, forged(ada.access, {"kid": name}, key=key)) == REFUSED, name


def test_keys_that_a_token_brings_along_are_not_fetched_or_used(site: Site, ada: Account) -> None:
    """JWT-7: jku, x5u, jwk and x5c are nothing to us, and what is `crit` we do not understand."""
    own = b"of the attacker, and long enough for that"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        there = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        for header in (
            {"jku": there},
            {"x5u": there},
            {"x5c": [segment(own)]},
            {"jwk": {"kty": "oct", "k": segment(own), "kid": header_of(ada.access)["kid"]}},
        ):
            assert said_to(site, forged(ada.access, header, key=own)) == REFUSED
            assert said_to(site, forged(ada.access, header)) == REFUSED
        with pytest.raises(BlockingIOError):
            listener.accept()
    for critical in (["exp"], ["b64"], ["x"], [], "exp", None):
        assert said_to(site, forged(ada.access, {"crit": critical, "x": 1})) == REFUSED


def test_a_token_has_one_spelling_and_a_largest_size(site: Site, ada: Account) -> None:
    """JWT-8: padding, other alphabets, nesting and length are refused before they are parsed."""
    for spelling in (
        *(f"{ada.access}=", f"{ada.access}==", ada.access.replace(".", "=.", 1)),
        *(f"{ada.access}.", f".{ada.access}", f"{ada.access}.e30", ada.access.rpartition(".")[0]),
        *(ada.access.replace(".", ". "), f"{ada.access}%3D", f'"{ada.access}"', "...", "a.b.c"),
    ):
        assert said_to(site, spelling) == REFUSED, spelling
    assert said_to(site, forged(ada.access, payload={"note": "x" * 100})) == (200, None)
    assert said_to(site, forged(ada.access, payload={"note": "x" * 2000})) == REFUSED
    for depth in (10, 200, 1000):
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            deep = opened * depth + b"1" + closed * depth
            whole = spelled(header_of(ada.access))
            assert said_to(site, signed(deep, b"{}")) == REFUSED
            assert said_to(site, signed(whole, deep)) == REFUSED
    line = f"GET {V1}/auth/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
    for sent, statuses in (("x" * 100_000, {431}), ("\xff.\xfe.\xfd", {401})):
        raw = f"{line}{sent}\r\n\r\n".encode("latin-1")
        (answer,) = exchange(site.apis[0].port, raw)
        assert answer.status in statuses


def test_a_token_says_nothing_of_rights(site: Site, ada: Account, root: Account) -> None:
    """JWT-9: what is signed into it makes nobody an administrator; what is changed counts now."""
    asserted = {"role": "admin", "is_active": True, "scope": "admin:*", "user_id": root.id}
    token = forged(ada.access, payload=asserted)
    there = f"/users/{ada.id}"
    assert site.ask("GET", "/users", token=token).status == 403
    for role, status in (("admin", 200), ("user", 403)):
        site.ask("PATCH", there, {"role": role}, token=root.access)
        assert site.ask("GET", "/users", token=ada.access, process=1).status == status
    site.ask("PATCH", there, {"is_active": False}, token=root.access)
    for good in (token, ada.access):
        assert said_to(site, good, process=1) == REFUSED


def test_a_token_says_nothing_of_its_owner(site: Site, ada: Account) -> None:
    """JWT-10: these claims and no others; neither name nor address nor role is in any."""
    assert header_of(ada.access) == {"alg": "HS256", "typ": "at+jwt", "kid": key_id(SIGNS)}
    claims = claims_of(ada.access)
    assert set(claims) == {"sub", "sid", "jti", "iss", "aud", "iat", "nbf", "exp"}
    assert [claims[name] for name in ("sub", "iss", "aud")] == [str(ada.id), "taskcore", "taskcore"]
    assert all(type(claims[name]) is int for name in ("iat", "nbf", "exp"))
    ((session_id,),) = site.sql("SELECT id FROM sessions WHERE user_id = %s", ada.id)
    assert claims["sid"] == str(session_id)
    again = claims_of(site.log_in(ada.email).json["access_token"])
    assert {again["jti"], again["sid"]}.isdisjoint(claims.values())


def test_no_character_of_a_token_can_be_changed(site: Site, ada: Account, bob: Account) -> None:
    """JWT-11: each character in turn, each end cut off, and parts of two good tokens."""
    with site.apis[0].client() as client:

        def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return client.call("GET", f"{V1}/auth/me", headers=headers).status

        assert status(ada.access) == 200
        for place, character in enumerate(ada.access):
            # The lowest bit of six, also of the last character, where it says nothing.
            other = "A" if character == "." else ALPHABET[ALPHABET.index(character) ^ 1]
            assert status(ada.access[:place] + other + ada.access[place + 1 :]) == 401, place
            assert status(ada.access[:place]) == 401
        mine, theirs = ada.access.split("."), bob.access.split(".")
        for parts in ((mine[0], theirs[1], mine[2]), (mine[0], mine[1], theirs[2])):
            assert status(".".join(parts)) == 401


def test_a_key_for_one_purpose_is_no_key_for_another(site: Site, ada: Account) -> None:
    """JWT-12: neither the secret itself nor a key derived for something else signs a token."""
    purposes = ("refresh token", "rate limit", "pseudonym", "")
    others = [KEY.encode(), *(derived_key(KEY.encode(), purpose) for purpose in purposes)]
    assert len({SIGNS, *others}) == 6
    for key in others:
        for header in ({}, {"kid": key_id(key)}):
            assert said_to(site, forged(ada.access, header, key=key)) == REFUSED
