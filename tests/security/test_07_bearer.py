"""How credentials are sent, and how they are refused: rows BR of docs/security.md."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest

from taskcore.adapters.jwt import key_id
from taskcore.adapters.keys import derived_key
from tests.api.served import Reply, exchange
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, on_missing_things
from tests.server.running import KEY, Answer

SIGNS = derived_key(KEY.encode(), "access token")
PUBLIC = {("POST", "/auth/register"), ("POST", "/auth/login"), ("POST", "/auth/refresh")}
REALM = 'Bearer realm="taskcore"'
BAD_TOKEN = f'{REALM}, error="invalid_token"'


@pytest.fixture(scope="module")
def operations(site: Site) -> list[tuple[str, str]]:
    """Every documented operation, on missing things."""
    document = site.ask("GET", "/openapi.json").json
    return [
        (method.upper(), on_missing_things(path))
        for path, methods in document["paths"].items()
        for method in methods
    ]


def raw(site: Site, target: str, *lines: str) -> Reply:
    """A read with headers that http.client would not send."""
    head = [f"GET {V1}{target} HTTP/1.1", "Host: api.test", "Connection: close", *lines]
    (answer,) = exchange(site.apis[0].port, "\r\n".join([*head, "", ""]).encode("latin-1"))
    return answer


def refused(answer: Answer | Reply) -> tuple[int, str, str]:
    return answer.status, answer.json["code"], answer.headers["www-authenticate"]


def test_every_operation_challenges_a_client_without_a_good_token(
    site: Site, operations: list[tuple[str, str]]
) -> None:
    """BR-1: all but three; the challenge names an error only if the client sent a token."""
    assert set(operations) >= PUBLIC | {("GET", "/tasks"), ("DELETE", f"/users/{2**62}")}
    for method, path in set(operations) - PUBLIC:
        without = site.ask(method, path)
        assert refused(without) == (401, "unauthenticated", REALM), path
        with_bad = site.ask(method, path, token="a.b.c")
        assert refused(with_bad) == (401, "invalid_token", BAD_TOKEN), path
        if method == "GET":
            for token, challenge in ((None, REALM), ("a.b.c", BAD_TOKEN)):
                head = site.ask("HEAD", path, token=token)
                assert (head.status, head.headers["www-authenticate"]) == (401, challenge)


def test_each_401_has_a_challenge(site: Site, ada: Account) -> None:
    """BR-1: at login and refresh, for an ended session and for an expired token."""
    assert refused(site.log_in(ada.email, WRONG)) == (401, "invalid_credentials", REALM)
    assert refused(site.refresh("tcr_x")) == (401, "invalid_token", BAD_TOKEN)
    body = {"current_password": WRONG, "new_password": PASSWORD}
    answer = site.ask("POST", "/auth/password", body, token=ada.access)
    assert refused(answer) == (401, "invalid_credentials", REALM)
    site.ask("POST", "/auth/logout", token=ada.access)
    answer = site.ask("POST", "/auth/logout", token=ada.access)
    assert refused(answer) == (401, "invalid_token", BAD_TOKEN)
    answer = site.ask("GET", "/auth/me", token=forged(ada, iat=1, nbf=1, exp=1801))
    described = f'{BAD_TOKEN}, error_description="The token has expired"'
    assert refused(answer) == (401, "token_expired", described)


def test_the_scheme_is_written_in_any_case_and_one_credential_follows(
    site: Site, ada: Account
) -> None:
    """BR-3: Bearer, spaces and one token; everything else is none, or a bad one."""
    for scheme in ("Bearer", "bearer", "BEARER", "bEaReR", "Bearer ", "bearer" + " " * 20):
        assert raw(site, "/auth/me", f"Authorization: {scheme} {ada.access}").status == 200
    for value in (
        *("", "Basic dXNlcjpwYXNz", f"Basic {ada.access}", ada.access, f"Token {ada.access}"),
        *(f"Bearer:{ada.access}", f"Bearer\t{ada.access}", f"Bearer,{ada.access}", "Negotiate"),
    ):
        answer = raw(site, "/auth/me", f"Authorization: {value}")
        assert refused(answer) == (401, "unauthenticated", REALM), value
    for value in (
        *("Bearer", "Bearer ", "Bearer   ", f"Bearer {ada.access} x", "Bearer null"),
        *(f"Bearer {ada.access},Bearer {ada.access}", f'Bearer "{ada.access}"', "Bearer \xff"),
        *(f"Bearer x {ada.access}", f"Bearer Bearer {ada.access}", f"Bearer token={ada.access}"),
    ):
        answer = raw(site, "/auth/me", f"Authorization: {value}")
        assert refused(answer) == (401, "invalid_token", BAD_TOKEN), value


def test_two_credentials_are_one_too_many(site: Site, ada: Account, bob: Account) -> None:
    """BR-3: two headers are a 400, also on public operations and when they are equal."""
    mine = f"Authorization: Bearer {ada.access}"
    for other in (mine, f"authorization: Bearer {bob.access}", "Authorization: Basic eDp5"):
        for first, second in ((mine, other), (other, mine)):
            for path in ("/auth/me", "/tasks", "/users", "/openapi.json"):
                answer = raw(site, path, first, second)
                assert (answer.status, answer.json["code"]) == (400, "several_credentials")


def test_a_token_in_an_address_or_a_body_opens_nothing(
    site: Site, ada: Account, bob: Account, operations: list[tuple[str, str]]
) -> None:
    """BR-4: neither a query nor a form is read, with or without a header."""
    for method, path in set(operations) - PUBLIC:
        for name in ("access_token", "token", "bearer", "authorization"):
            answer = site.ask(method, f"{path}?{name}={ada.access}", {name: ada.access})
            assert refused(answer) == (401, "unauthenticated", REALM), path
    form = f"access_token={ada.access}".encode()
    request = (
        f"POST {V1}/auth/logout HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(form)}\r\n\r\n"
    ).encode()
    (reply,) = exchange(site.apis[0].port, request + form)
    assert refused(reply) == (401, "unauthenticated", REALM)
    for header in ("Proxy-Authorization: Bearer", "X-Access-Token:", "Cookie: access_token="):
        assert raw(site, "/auth/me", f"{header} {ada.access}").status == 401, header
    both = site.ask("GET", f"/auth/me?access_token={bob.access}", token=ada.access)
    assert (both.status, both.json["errors"][0]["code"]) == (422, "unknown_parameter")


def forged(account: Account, key: bytes = SIGNS, kid: str = key_id(SIGNS), **claims: Any) -> str:
    """Signed as the server would, with other claims."""
    payload = jwt.decode(account.access, options={"verify_signature": False}) | claims
    return jwt.encode(payload, key, "HS256", headers={"typ": "at+jwt", "kid": kid})


def bad_tokens(site: Site, root: Account) -> Iterator[tuple[str, str]]:
    """What is wrong with each, and the token."""
    ada, left, banned, gone = (site.join() for _ in range(4))
    head, body, signature = ada.access.split(".")
    yield "no token", "x"
    yield "a refresh token", ada.refresh
    yield "no signature", f"{head}.{body}."
    yield "a wrong signature", f"{head}.{body}.{signature[::-1]}"
    yield "another key", forged(ada, key=KEY.encode() * 2)
    yield "an unknown key", forged(ada, kid="0" * 16)
    yield "another audience", forged(ada, aud="elsewhere")
    yield "another issuer", forged(ada, iss="elsewhere")
    yield "of tomorrow", forged(ada, iat=2**33, nbf=2**33, exp=2**33 + 1800)
    yield "an unknown session", forged(ada, sid=str(uuid4()))
    yield "an unknown user", forged(ada, sub=str(2**62))
    yield "another user", forged(ada, sub=str(root.id))
    site.ask("POST", "/auth/logout", token=left.access)
    yield "a session that has ended", left.access
    site.ask("PATCH", f"/users/{banned.id}", {"is_active": False}, token=root.access)
    yield "an account that is off", banned.access
    site.ask("DELETE", f"/users/{gone.id}", token=root.access)
    yield "an account that was deleted", gone.access


def whole(answer: Answer) -> tuple[int, dict[str, str], dict[str, Any]]:
    """All that a client sees, but for what each answer has of its own."""
    own = {"x-request-id", "date"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status, headers, json.loads(answer.body) | {"request_id": ""}


def test_a_refusal_does_not_say_what_was_wrong(site: Site, root: Account) -> None:
    """BR-5: every cause gets the same response, except for an expired token."""
    answers = {
        why: whole(site.ask("GET", "/tasks", token=token)) for why, token in bad_tokens(site, root)
    }
    first = answers["no token"]
    assert (first[0], first[2]["code"]) == (401, "invalid_token")
    for why, answer in answers.items():
        assert answer == first, why
    expired = whole(site.ask("GET", "/tasks", token=forged(root, iat=1, nbf=1, exp=1801)))
    assert (expired[0], expired[2]["code"]) == (401, "token_expired")


def test_no_cache_keeps_a_token_or_a_private_response(
    site: Site, root: Account, operations: list[tuple[str, str]]
) -> None:
    """BR-6: no-store on tokens, on what is read with one, and on every refusal."""
    reads = {path for method, path in operations if method == "GET" and str(2**62) not in path}
    reads = {path for path in reads if "?" not in path}  # a stream would not end
    own = {"/auth/me", "/auth/sessions", "/auth/events"}
    assert reads >= own | {"/tasks", "/users", "/audit"}
    granted = site.log_in(root.email)
    answers = [granted, site.refresh(granted.json["refresh_token"])]
    answers += [
        site.ask(method, path, token=root.access) for path in reads for method in ("GET", "HEAD")
    ]
    assert {answer.status for answer in answers} == {200}
    answers += [site.ask(method, path, {}) for method, path in operations]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "Origin"
