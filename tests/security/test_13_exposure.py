"""What responses reveal, and their headers for browsers: rows HD of docs/security.md."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.api.people import HEADERS
from tests.api.served import Reply, exchange
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, fresh_ip, site
from tests.server.running import KEY, Answer, Api

HSTS = "max-age=31536000; includeSubDomains"
OVER_TLS = {"X-Forwarded-Proto": "https"}
NAME = "api.example.org"


@pytest.fixture(scope="module")
def closed(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that trusts no proxy, has one name and no documentation, and is being debugged."""
    settings = {"TRUSTED_PROXIES": "", "ALLOWED_HOSTS": f"{NAME}, [::1], 127.0.0.1"}
    settings |= {"DOCS_ENABLED": "off", "DEBUG": "on"}
    folder = tmp_path_factory.mktemp("closed")
    with site(folder, database_url, processes=1, **settings) as found:
        yield found


def damaged(site: Site) -> None:
    """Two titles that the database cannot bear: a mistake of ours, and a table that is not there.

    They are looked up as the name of a type and of a table.
    """
    site.sql(
        "ALTER TABLE tasks ADD CONSTRAINT faults CHECK (CASE title"
        " WHEN 'fault' THEN title::regtype IS NULL WHEN 'away' THEN title::regclass IS NULL"
        " ELSE true END)"
    )


@pytest.fixture
def _faults(site: Site) -> Iterator[None]:
    damaged(site)
    yield
    site.sql("ALTER TABLE tasks DROP CONSTRAINT faults")


def sound(answer: Answer | Reply, **others: str) -> None:
    for name, value in (HEADERS | others).items():
        assert answer.headers.get(name) == value, (name, answer)
    assert "x-request-id" in answer.headers
    assert not {"set-cookie", "x-powered-by"} & answer.headers.keys()


@pytest.mark.usefixtures("_faults")
def test_every_kind_of_refusal_answers_with_the_headers(site: Site, ada: Account) -> None:
    """HD-1: from 400 to 503, and what has no body, and what lies outside of the API."""

    def ask(method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return site.ask(method, path, body, token=ada.access, headers=OVER_TLS | headers)

    task = ask("POST", "/tasks", {"title": "x"}).json["id"]
    taken = {"email": ada.email, "password": PASSWORD}
    answers = [
        *(ask("GET", "/users"), ask("GET", "/nowhere"), ask("HEAD", "/tasks")),
        *(ask("PUT", "/tasks"), ask("OPTIONS", "/tasks"), ask("POST", "/auth/register", taken)),
        ask("GET", f"/tasks/{task}", **{"If-None-Match": "*"}),
        ask("PUT", f"/tasks/{task}", {}, **{"If-Match": '"9"'}),
        ask("POST", "/tasks", {}, **{"Content-Type": "text/plain"}),
        ask("GET", "/tasks", **{"X-Filling": "x" * 20_000}),
        *(ask("POST", "/tasks", {"title": title}) for title in ("", "x" * 70_000, "fault", "away")),
        *(site.log_in(ada.email, WRONG, ip=ada.ip, headers=OVER_TLS) for _ in range(6)),
    ]
    outside = ("/livez", "/readyz", "/", "/metrics")
    answers += [site.apis[0].call("GET", path, headers=OVER_TLS) for path in outside]
    for answer in answers:
        sound(answer, **{"strict-transport-security": HSTS})
    assert {answer.status for answer in answers} == {
        *(200, 204, 304, 307, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 431, 500, 503),
    }
    twice = "Authorization: x\r\nAuthorization: x\r\nConnection: close\r\n\r\n"
    raw = f"GET {V1}/tasks HTTP/1.1\r\nHost: x\r\n{twice}".encode()
    (reply,) = exchange(site.apis[0].port, raw)
    assert reply.status == 400
    sound(reply)


def test_hsts_is_sent_only_if_a_trusted_proxy_reports_tls(site: Site, closed: Site) -> None:
    """HD-1: the last value of X-Forwarded-Proto counts, and only from a trusted proxy."""

    def is_bound(site: Site, proto: str | None) -> bool:
        headers = {} if proto is None else {"X-Forwarded-Proto": proto}
        return "strict-transport-security" in site.ask("GET", "/tasks", headers=headers).headers

    for proto, bound in (
        *((None, False), ("", False), ("http", False), ("https, http", False), ("httpsx", False)),
        *(("https", True), ("http, https", True), ("http,https", True)),
    ):
        assert is_bound(site, proto) is bound, proto
        assert not is_bound(closed, proto), proto


def test_the_documentation_has_a_policy_of_its_own(site: Site) -> None:
    """HD-2: scripts of ours alone, none inline, nothing from elsewhere, and in no frame."""
    revalidated = {"cache-control": "no-cache"}  # it is public, and the same for everybody
    for page in ("/docs", "/redoc"):
        answer = site.ask("GET", page)
        policy = answer.headers["content-security-policy"]
        sound(answer, **revalidated, **{"content-security-policy": policy})
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
        assert (rules["script-src"], "//" in policy) == ("'self'", False)
        assert answer.body.count(b"<script ") == answer.body.count(b"<script src=") > 0
    sound(site.ask("GET", "/openapi.json"), **revalidated)


def test_documentation_that_is_off_is_not_there(site: Site, closed: Site) -> None:
    """HD-2: neither the pages nor the document nor what they load; all else is."""
    page = site.ask("GET", "/docs").body.decode()
    (script,) = re.findall(r'"(docs/assets/swagger-ui-bundle[^"]*)"', page)
    assert site.ask("GET", f"/{script}").status == 200
    for path in ("/docs", "/docs/", "/redoc", "/openapi.json", f"/{script}", "/schema"):
        answer = closed.ask("GET", path)
        assert (answer.status, answer.json["code"]) == (404, "not_found"), path
    assert closed.apis[0].call("GET", "/").status == 404
    assert closed.ask("GET", "/tasks").status == 401


def test_an_internal_error_reveals_nothing_even_with_debug_on(closed: Site) -> None:
    """HD-2: no traceback, path, statement or version; the log has them under the request id."""
    damaged(closed)
    answer = closed.ask("POST", "/tasks", {"title": "fault"}, token=closed.join().access)
    assert (answer.status, answer.json) == (
        500,
        {
            "type": "urn:taskcore:problem:internal_error",
            "title": "Internal Server Error",
            "status": 500,
            "detail": "Something went wrong on our side; the request id helps to find it",
            "code": "internal_error",
            "request_id": answer.headers["x-request-id"],
        },
    )
    lines = map(json.loads, closed.apis[0].log.splitlines())
    (logged,) = (line for line in lines if line["event"] == "request.failed")
    assert logged["request_id"] == answer.headers["x-request-id"]
    assert "UndefinedObject" in str(logged)


def test_debug_is_refused_on_an_address_that_others_reach(site: Site, tmp_path: Path) -> None:
    """HD-2: DEBUG starts only on a loopback address."""
    settings = {"DATABASE_URL": site.apis[0].env["DATABASE_URL"], "SECRET_KEY": KEY}
    with Api(tmp_path, **settings, DEBUG="on", SERVER_HOST="0.0.0.0") as api:  # noqa: S104 - that
        assert api.exit_code(within=20) == 78
        assert "DEBUG " in api.log


def test_an_unknown_method_is_refused_and_no_version_is_shown(site: Site, ada: Account) -> None:
    """HD-3: TRACE echoes nothing; a refusal lists the allowed methods."""
    secret = {"X-Canary": "canary-trace"}
    for path, allow in (("/tasks", "GET, HEAD, OPTIONS, POST"), ("/auth/login", "OPTIONS, POST")):
        for method in ("TRACE", "TRACK", "CONNECT", "PROPFIND", "BREW", "get"):
            answer = site.ask(method, path, token=ada.access, headers=secret)
            assert (answer.status, answer.headers["allow"]) == (405, allow), method
            assert b"canary" not in answer.body
    for path in ("/tasks", "/nowhere", "/docs"):
        headers = site.ask("GET", path, token=ada.access).headers
        assert not re.search("[0-9]", headers.get("server", ""))
        assert not {"x-powered-by", "via"} & headers.keys()


def test_health_is_one_word_and_liveness_needs_no_database(closed: Site) -> None:
    """HD-4: readyz answers 503 without the database and does not name its address."""
    api, names = closed.apis[0], conninfo_to_dict(closed.conninfo)
    alive = (200, {"status": "ok"})

    def told(path: str) -> tuple[int, Any]:
        answer = api.call("GET", path)
        return answer.status, answer.json

    def allow(connections: str) -> None:
        admin = make_conninfo(closed.conninfo, dbname="postgres")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(str(names["dbname"])), sql.SQL(connections)
                )
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                (names["dbname"],),
            )

    assert told("/livez") == told("/readyz") == alive
    allow("false")
    try:
        status, problem = told("/readyz")
        assert (status, problem["code"]) == (503, "unavailable")
        for name in ("dbname", "host", "user"):
            assert str(names[name]) not in json.dumps(problem)
        assert told("/livez") == alive
    finally:
        allow("true")
    api.ready()
    assert told("/readyz") == alive


def test_a_server_answers_to_its_own_name_alone(closed: Site) -> None:
    """HD-5: another Host is refused first; X-Forwarded-Host changes nothing."""
    for host in (NAME, NAME.upper(), f"{NAME}:8443", "[::1]", "[::1]:8000"):
        assert closed.ask("GET", "/tasks", headers={"Host": host}).status == 401, host
    for host in (
        *("evil.example", f"{NAME}.evil.example", f"evil.{NAME}", f"{NAME}@evil.example", "[::2]"),
        *(
            f"{NAME}.",
            f"{NAME}:80:80",
            f"{NAME}/",
            f"x{NAME}",
            "127.0.0.2",
            f"evil.example, {NAME}",
        ),
    ):
        for method, path in (("GET", "/tasks"), ("POST", "/auth/login"), ("OPTIONS", "/tasks")):
            headers = {"Host": host, "X-Forwarded-Host": NAME, "Forwarded": f"host={NAME}"}
            answer = closed.ask(method, path, headers=headers)
            assert (answer.status, answer.json["code"]) == (400, "unknown_host"), host
            assert b"evil" not in answer.body
    for path in ("/livez", "/readyz"):  # who asks these knows an address, not a name
        assert closed.apis[0].call("GET", path).status == 200


def test_no_url_is_built_from_the_host_header(site: Site, ada: Account) -> None:
    """HD-5: also without ALLOWED_HOSTS Location is relative, and no body repeats the Host."""
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "81"}
    made = site.ask("POST", "/tasks", {"title": "x"}, token=ada.access, headers=evil)
    there = urljoin(f"{V1}/tasks", made.headers["location"])
    assert (made.status, there) == (201, f"{V1}/tasks/{made.json['id']}")
    for path in ("/docs/", "/docs", "/openapi.json", "/tasks", "/nowhere"):
        answer = site.ask("GET", path, token=ada.access, headers=evil, ip=fresh_ip())
        assert "evil" not in f"{answer.headers}{answer.body!r}", path
