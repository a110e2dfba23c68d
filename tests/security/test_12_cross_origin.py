"""Other web sites in a user's browser: rows CO and CS of docs/security.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from tests.api.served import exchange
from tests.security.site import NOWHERE, V1, WRONG, Account, Site, on_missing_things, refused
from tests.server.running import KEY, Answer

OURS = "http://localhost:3000"  # what CORS_ORIGINS is where it is not set
STRANGERS = [
    *("*", "null", "", "http://localhost", "https://localhost:3000", "http://localhost:30001"),
    *(f"{OURS}.evil.example", f"{OURS}/", f"{OURS}@evil.example", f"{OURS}, {OURS}", f"{OURS} x"),
    *("HTTP://LOCALHOST:3000", "http://LocalHost:3000", f"http://evil.example/{OURS}", "file://"),
    *("http://evil-localhost:3000", "http://x.localhost:3000", "http://127.0.0.1:3000"),
]


class Operation(NamedTuple):
    method: str
    path: str
    takes_body: bool


@pytest.fixture(scope="module")
def operations(site: Site) -> list[Operation]:
    """Every documented operation, on missing things."""
    document = site.ask("GET", "/openapi.json").json
    return [
        Operation(
            method.upper(),
            on_missing_things(path),
            "requestBody" in operation,
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.fixture
def faults(site: Site) -> Iterator[None]:
    """Two titles that the database cannot bear: a mistake of ours, and a table that is not there.

    They are looked up as the name of a type and of a table.
    """
    site.sql(
        "ALTER TABLE tasks ADD CONSTRAINT faults CHECK (CASE title"
        " WHEN 'fault' THEN title::regtype IS NULL WHEN 'away' THEN title::regclass IS NULL"
        " ELSE true END)"
    )
    yield
    site.sql("ALTER TABLE tasks DROP CONSTRAINT faults")


def answers(site: Site, account: Account, origin: str) -> dict[int, Answer]:
    """To a page of that origin: one of each kind, by status."""
    headers = {"Origin": origin}

    def ask(method: str, path: str, body: Any = None, token: str | None = account.access) -> Answer:
        return site.ask(method, path, body, token=token, headers=headers)

    ip = account.ip
    guesses = [site.log_in(account.email, WRONG, ip=ip, headers=headers) for _ in range(6)]
    found = [
        *(ask("GET", "/tasks"), ask("GET", "/tasks", token=None), ask("GET", "/users")),
        *(ask("GET", "/nowhere"), ask("PUT", "/tasks"), ask("OPTIONS", "/tasks")),
        *(ask("POST", "/tasks", {"title": title}) for title in ("x", "", "fault", "away")),
        *(ask("POST", "/tasks", {"title": "x" * 70_000}), ask("POST", "/auth/refresh", {"a": 1})),
        site.ask("POST", "/auth/login", {}, headers=headers | {"Content-Type": "text/plain"}),
        site.ask("GET", "/tasks", headers=headers | {"X-Filling": "x" * 20_000}),
        guesses[-1],
    ]
    return {answer.status: answer for answer in found}


KINDS = {200, 201, 204, 401, 403, 404, 405, 413, 415, 422, 429, 431, 500, 503}


@pytest.mark.usefixtures("faults")
def test_our_own_pages_may_read_every_answer(site: Site, ada: Account) -> None:
    """CO-1, CO-2: the origin itself and never a star, also on errors; no credentials; Vary."""
    found = answers(site, ada, OURS)
    assert set(found) == KINDS
    for status, answer in found.items():
        headers = answer.headers
        assert headers["access-control-allow-origin"] == OURS, status
        assert "access-control-allow-credentials" not in headers
        assert headers["vary"] == "Origin"
        exposed = set(headers["access-control-expose-headers"].split(", "))
        assert {"Retry-After", "X-Request-Id", "ETag", "Location"} <= exposed


@pytest.mark.usefixtures("faults")
def test_no_other_page_may_read_any_answer(site: Site, ada: Account) -> None:
    """CO-1: not even an error; and the answer varies by origin, so that no cache mixes them up."""
    found = answers(site, ada, "https://evil.example")
    assert set(found) == KINDS
    for status, answer in found.items():
        assert not [name for name in answer.headers if name.startswith("access-control")], status
        assert answer.headers["vary"] == "Origin"


def test_an_origin_that_looks_like_ours_is_not(site: Site, ada: Account) -> None:
    """CO-1: scheme, host and port are compared whole; `null`, prefixes and suffixes are refused."""
    for origin in STRANGERS:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for method, path in (("GET", "/tasks"), ("OPTIONS", "/tasks"), ("OPTIONS", "/auth/login")):
            for token in (ada.access, None):
                answer = site.ask(method, path, token=token, headers=headers)
                told = [name for name in answer.headers if name.startswith("access-control")]
                assert not told, origin


def test_a_preflight_names_what_a_page_may_send(site: Site, operations: list[Operation]) -> None:
    """CO-1: on every path, with no token, and nothing is done by it."""
    for method, path, _ in operations:
        asked = {
            "Origin": OURS,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        headers = site.ask("OPTIONS", path, headers=asked).headers
        assert headers["access-control-allow-origin"] == OURS
        assert method in headers["access-control-allow-methods"].split(", ")
        allowed = headers["access-control-allow-headers"].split(", ")
        assert {"Authorization", "Content-Type", "If-Match"} <= set(allowed)
        assert "access-control-allow-credentials" not in headers
        assert "*" not in "".join(headers.values())


@pytest.mark.parametrize(
    "origins", ["*", '["*"]', "null", "http://*.example.org", f"{OURS}/", "localhost:3000"]
)
def test_no_server_starts_that_would_trust_every_origin(tmp_path: Path, origins: str) -> None:
    """CO-1: a wildcard or a malformed origin is named at the start."""
    settings = {"DATABASE_URL": NOWHERE, "SECRET_KEY": KEY, "CORS_ORIGINS": origins}
    assert "CORS_ORIGINS" in refused(tmp_path, "serve", **settings)


def test_no_cookie_is_set_or_read(site: Site, operations: list[Operation]) -> None:
    """CS-1: not by the login either; cookies alone give no access."""
    eve, root = site.join(), site.join(role="admin")
    cookie = {"Cookie": f"access_token={root.access}; session={root.refresh}; csrftoken=x"}
    for granted in (site.log_in(eve.email), site.refresh(eve.refresh)):
        assert (granted.status, "set-cookie" in granted.headers) == (200, False)
    public = {"/auth/login", "/auth/refresh", "/auth/register"}
    for method, path, _ in operations:
        answer = site.ask(method, path, {}, headers=cookie)
        assert path in public or answer.status == 401, (method, path)
        assert "set-cookie" not in answer.headers
    for method, path in (("GET", "/auth/me"), ("GET", "/users"), ("POST", "/auth/logout")):
        answer = site.ask(method, path, token=eve.access, headers=cookie)
        assert "set-cookie" not in answer.headers
        assert answer.status == {"/auth/me": 200, "/users": 403, "/auth/logout": 204}[path]
    for page in ("/docs", "/redoc", "/openapi.json", "/nowhere"):
        assert "set-cookie" not in site.ask("GET", page).headers
    assert site.me(root.access) == 200


def test_reading_changes_nothing(site: Site, root: Account, operations: list[Operation]) -> None:
    """CS-1: no row changes by GET, HEAD and OPTIONS of every path."""
    task = site.ask("POST", "/tasks", {"title": "x"}, token=root.access).json["id"]
    before = site.dump()
    for template in {operation.path for operation in operations}:
        known = task if template.startswith("/tasks") else root.id
        for path in (template, template.replace(str(2**62), str(known))):
            for method in ("GET", "HEAD", "OPTIONS"):
                for query in ("", "?_method=DELETE", "?method=POST&title=x&role=admin"):
                    override = {"X-HTTP-Method-Override": "DELETE"}
                    answer = site.ask(method, path + query, token=root.access, headers=override)
                    assert answer.status in {200, 204, 404, 405, 422}, (method, path)
    assert site.dump() == before


def test_what_a_form_can_send_changes_nothing(
    site: Site, root: Account, operations: list[Operation]
) -> None:
    """CS-1: no type that a page can send without a preflight is taken, and no body without one."""
    before = site.dump()
    body = b'{"title":"x","email":"%s@example.org","password":"x"}' % uuid4().hex.encode()
    simple = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    writes = [(method, path) for method, path, takes_body in operations if takes_body]
    assert {("POST", "/tasks"), ("POST", "/auth/login"), ("PATCH", "/auth/me")} <= set(writes)
    for method, path in writes:
        for name in (*(f"Content-Type: {media_type}" for media_type in simple), "X-None: x"):
            lines = [f"{method} {V1}{path} HTTP/1.1", "Host: api.test", "Connection: close", name]
            lines += [f"Origin: {OURS}", f"Authorization: Bearer {root.access}"]
            head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()
            (answer,) = exchange(site.apis[0].port, head + body)
            assert answer.status == 415, (method, path, name)
    assert site.dump() == before
