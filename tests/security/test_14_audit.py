"""Logs and the audit, over two server processes: rows LG and AU of docs/security.md."""

import base64
import hashlib
import json
import os
import pwd
import re
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from taskcli.main import exit_code
from taskcore import SYSTEM, AuditEventName, InvalidCredentials, Origin, TooMany
from taskcore.adapters.archive import Archive
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.keys import HmacPseudonyms, derived_key
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.memory.rate_limits import MemoryLimiter
from taskcore.adapters.scrypt import ScryptHasher
from tests.api.served import as_url, exchange
from tests.conftest import ManualClock, bound
from tests.guards import agree
from tests.processes import eventually
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, at_once, fresh_ip, site
from tests.server.running import KEY, Api

AGENT = "Browser/1.0"
ROWS = (
    "SELECT event, actor, actor_id, user_id, session_id::text, detail, ip, user_agent, request_id"
    " FROM audit_events"
)
# event, kind of actor, actor, whom it concerns, session, detail
Row = tuple[str, str, int | None, int | None, str | None, dict[str, Any]]


@pytest.fixture(scope="module")
def root(site: Site) -> Account:
    return site.join(role="admin")


@pytest.fixture(scope="module")
def other(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of its own, for what cannot be done to the one that all share."""
    with site(tmp_path_factory.mktemp("other"), database_url, processes=1) as found:
        yield found


def pseudonym(name: str) -> str:
    """The HMAC under a key derived from the servers' key, as they compute it."""
    return HmacPseudonyms(derived_key(KEY.encode(), "pseudonym")).of(name)


def done(
    site: Site, call: str, body: object = None, by: str | None = None, status: int = 204
) -> list[Row]:
    """Send a request and return the events that the audit has under its request id."""
    request_id, ip = uuid4().hex, fresh_ip()
    sent = {"X-Request-Id": request_id, "User-Agent": AGENT}
    method, path = call.split(" ", 1)
    answer = site.ask(method, path, body, token=by, ip=ip, headers=sent)
    assert answer.status == status, answer
    rows = site.sql(f"{ROWS} WHERE request_id = %s ORDER BY id", request_id)
    assert {row[6:] for row in rows} <= {(ip, AGENT, request_id)}
    return [row[:6] for row in rows]


def id_of(site: Site, email: str) -> int:
    return int(site.sql("SELECT id FROM users WHERE email = %s", email)[0][0])


def session_of(site: Site, account: Account) -> str:
    """The first one."""
    query = "SELECT id::text FROM sessions WHERE user_id = %s ORDER BY created_at LIMIT 1"
    return str(site.sql(query, account.id)[0][0])


def test_every_event_is_shown_here() -> None:
    """AU-1: every name of an event is provoked by a test below."""
    shown = re.findall(r'\("([a-z._]+)", "(?:user|system|anonymous)"', Path(__file__).read_text())
    names = {name.value for name in AuditEventName}
    agree(names, shown, "tests/security/test_14_audit.py", "add what causes the event")


def test_what_administrators_do_to_accounts_is_recorded(site: Site, root: Account) -> None:
    """AU-1: created, role or name changed, deactivated, reactivated, logged out, deleted."""
    by, me, session = root.access, root.id, session_of(site, root)
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
    rows = done(site, "POST /users", body, by, 201)
    ada = id_of(site, body["email"])
    assert rows == [("user.created", "user", me, ada, session, {"role": "user"})]

    def change(**fields: object) -> list[Row]:
        return done(site, f"PATCH /users/{ada}", fields, by, 200)

    role = {"old": "user", "new": "admin"}
    assert change(role="admin") == [("role.changed", "user", me, ada, session, role)]
    assert change(role="admin") == []
    assert change(full_name="Ada") == [("profile.changed", "user", me, ada, session, {})]
    assert change(time_zone="Asia/Tokyo") == [("profile.changed", "user", me, ada, session, {})]
    assert change(is_active=False) == [("user.deactivated", "user", me, ada, session, {})]
    assert change(is_active=True) == [("user.reactivated", "user", me, ada, session, {})]
    site.log_in(body["email"])
    rows = done(site, f"DELETE /users/{ada}/sessions", None, by)
    assert rows == [("session.revoked", "user", me, ada, session, {"sessions": 1})]
    rows = done(site, f"DELETE /users/{ada}", None, by)
    assert rows == [("user.deleted", "user", me, ada, session, {})]


def test_what_is_done_to_another_users_task_is_recorded(
    site: Site, root: Account, ada: Account
) -> None:
    """AU-1: changes, and ways into the trash and out; not without a change, nor for one's own."""
    me, session = root.id, session_of(site, root)
    task = site.ask("POST", "/tasks", {"title": "x"}, token=ada.access).json["id"]
    detail, body, there = {"task_id": task}, {"title": "y"}, f"/tasks/{task}"
    rows = done(site, f"PUT {there}", body, root.access, 200)
    assert rows == [("task.changed", "user", me, ada.id, session, detail)]
    assert done(site, f"PATCH {there}", body, root.access, 200) == []
    assert done(site, f"PATCH {there}", {"title": "z"}, ada.access, 200) == []
    rows = done(site, f"DELETE {there}", None, root.access)
    assert rows == [("task.deleted", "user", me, ada.id, session, detail)]
    rows = done(site, f"POST /trash/{task}/restore", None, root.access, 200)
    assert rows == [("task.restored", "user", me, ada.id, session, detail)]
    assert done(site, f"DELETE {there}", None, ada.access) == []
    rows = done(site, f"DELETE /trash/{task}", None, root.access)
    assert rows == [("task.purged", "user", me, ada.id, session, detail)]
    own = site.ask("POST", "/tasks", {"title": "x"}, token=root.access).json["id"]
    assert done(site, f"DELETE /tasks/{own}", None, root.access) == []


def test_registrations_and_logins_are_recorded(site: Site) -> None:
    """AU-1, AU-2: failed ones too, although their request is refused."""
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
    rows = done(site, "POST /auth/register", body, None, 201)
    ada = id_of(site, body["email"])
    assert rows == [("user.registered", "anonymous", None, ada, None, {})]
    rows = done(site, "POST /auth/login", body, None, 200)
    ((session,),) = site.sql("SELECT id::text FROM sessions WHERE user_id = %s", ada)
    assert rows == [("login.succeeded", "user", ada, ada, session, {})]
    account = {"account": pseudonym(body["email"])}
    failed = [("login.failed", "anonymous", None, ada, None, account)]
    assert done(site, "POST /auth/login", body | {"password": WRONG}, None, 401) == failed
    site.sql("UPDATE users SET is_active = false WHERE id = %s", ada)
    assert done(site, "POST /auth/login", body, None, 401) == failed


def test_an_unknown_address_is_not_recorded(site: Site) -> None:
    """AU-2: only a pseudonym, because users mistype passwords as addresses."""
    for typed in (WRONG, f"{uuid4().hex}@Example.org", "x" * 5000):
        name = typed.replace("@Example.org", "@example.org")
        body = {"email": typed, "password": WRONG}
        account = {"account": pseudonym(name)}
        for _ in range(2):
            rows = done(site, "POST /auth/login", body, None, 401)
            assert rows == [("login.failed", "anonymous", None, None, None, account)]
        everything = site.dump() + "".join(api.log for api in site.apis)
        # A digest without a key could be found by trying words.
        for kind in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            assert kind(name.encode()).hexdigest() not in everything
        assert typed not in everything


def test_unknown_tokens_are_recorded_once_in_five_minutes(site: Site) -> None:
    """AU-1: once for each network, whatever tokens it sends."""
    ip = fresh_ip()
    at_once(lambda n: site.refresh(f"tcr_{n}", ip=ip, process=n % 2), 20)
    rows = site.sql(f"{ROWS} WHERE ip = %s", ip)
    reason = {"reason": "unknown"}
    assert [row[:6] for row in rows] == [("refresh.failed", "anonymous", None, None, None, reason)]


def test_refreshes_that_fail_are_recorded(site: Site, ada: Account, bob: Account) -> None:
    """AU-1: unknown, expired and used before, which ends the session."""

    def refresh(token: str, status: int = 401) -> list[Row]:
        return done(site, "POST /auth/refresh", {"refresh_token": token}, None, status)

    hers, his = session_of(site, ada), session_of(site, bob)
    why = {"reason": "unknown"}
    assert refresh("tcr_x") == [("refresh.failed", "anonymous", None, None, None, why)]
    site.sql("UPDATE refresh_tokens SET expires_at = now() WHERE session_id = %s", his)
    why = {"reason": "expired"}
    assert refresh(bob.refresh) == [("refresh.failed", "anonymous", None, bob.id, his, why)]
    assert refresh(ada.refresh, 200) == []
    second = "UPDATE refresh_tokens SET superseded = true WHERE session_id = %s"
    site.sql(f"{second} AND used_at IS NOT NULL", hers)
    why = {"reason": "used before"}
    rows = refresh(ada.refresh)
    assert rows == [("session.reuse_detected", "anonymous", None, ada.id, hers, why)]


def test_ends_of_sessions_are_recorded(site: Site, ada: Account) -> None:
    """AU-1: another session of the user, the current one, and all at once."""
    me, session = ada.id, session_of(site, ada)
    site.log_in(ada.email)
    second = site.ask("GET", "/auth/sessions", token=ada.access).json["items"][0]["id"]
    rows = done(site, f"DELETE /auth/sessions/{second}", None, ada.access)
    assert rows == [("session.revoked", "user", me, me, second, {})]
    rows = done(site, "POST /auth/logout", None, ada.access)
    assert rows == [("logout", "user", me, me, session, {})]
    by = site.log_in(ada.email).json["access_token"]
    third = session_of(site, ada)
    rows = done(site, "POST /auth/logout-all", None, by)
    assert rows == [("logout", "user", me, me, third, {"sessions": 1})]


def test_proofs_of_a_password_are_recorded(site: Site, ada: Account) -> None:
    """AU-1: failed ones, the change of the password, and the end of the account."""
    by, me, session = ada.access, ada.id, session_of(site, ada)
    site.log_in(ada.email)
    failed: list[Row] = [("reauth.failed", "user", me, me, session, {})]
    change = {"current_password": WRONG, "new_password": PASSWORD}
    assert done(site, "POST /auth/password", change, by, 401) == failed
    assert done(site, "POST /auth/delete-account", {"password": WRONG}, by, 401) == failed
    change = {"current_password": PASSWORD, "new_password": WRONG}
    rows = done(site, "POST /auth/password", change, by)
    assert rows == [("password.changed", "user", me, me, session, {"sessions": 1})]
    rows = done(site, "POST /auth/delete-account", {"password": WRONG}, by)
    assert rows == [("user.deleted", "user", me, me, session, {})]


def test_a_set_password_is_recorded(site: Site, root: Account, ada: Account) -> None:
    """AU-1: by whom; of a one-time password until when, and that its owner has replaced it."""
    by, me, session = root.access, root.id, session_of(site, root)
    there = f"POST /users/{ada.id}/password"
    rows = done(site, there, {"password": WRONG}, by, 200)
    assert rows == [("password.changed", "user", me, ada.id, session, {"sessions": 1})]
    made = site.ask("POST", f"/users/{ada.id}/password", {"one_time": True}, token=by).json
    (detail,) = site.sql(
        "SELECT detail FROM audit_events WHERE user_id = %s ORDER BY id DESC LIMIT 1", ada.id
    )[0]
    assert detail == {"sessions": 0, "one_time_until": made["expires_at"].replace("Z", "+00:00")}
    body = {"email": ada.email, "password": made["one_time_password"]}
    assert done(site, "POST /auth/login", body, None, 403) == []
    rows = done(site, "POST /auth/login", body | {"new_password": PASSWORD}, None, 200)
    session = session_of(site, ada)
    assert rows == [
        ("login.succeeded", "user", ada.id, ada.id, session, {}),
        ("password.changed", "user", ada.id, ada.id, None, {"sessions": 0}),
    ]


def test_a_denial_is_recorded_ten_times_a_minute(site: Site, ada: Account, bob: Account) -> None:
    """AU-1: a client that is refused again and again cannot fill the disk."""
    me, session = ada.id, session_of(site, ada)
    for path, action in (
        ("/users", "administer"),
        (f"/tasks?owner_id={bob.id}", "list another's tasks"),
    ):
        rows = done(site, f"GET {path}", None, ada.access, 403)
        assert rows == [("authz.denied", "user", me, me, session, {"action": action})]
    answers = at_once(lambda n: site.ask("GET", "/users", token=bob.access, process=n % 2), 25)
    assert [answer.status for answer in answers] == [403] * 25
    assert site.events(bob.id).count("authz.denied") == 10
    assert site.events(ada.id).count("authz.denied") == 2


def test_a_limit_that_trips_is_recorded_once_in_five_minutes(site: Site, ada: Account) -> None:
    """AU-1: however often it is hit, on any process."""
    ip = fresh_ip()

    def recorded() -> list[Row]:
        answers = at_once(lambda n: site.log_in(ada.email, WRONG, ip=ip, process=n % 2), 20)
        assert {answer.status for answer in answers} >= {429}
        rows = site.sql(f"{ROWS} WHERE ip = %s AND event = 'ratelimit.tripped'", ip)
        return [row[:6] for row in rows]

    pseudonym = "SELECT detail ->> 'account' FROM audit_events WHERE ip = %s AND user_id = %s"
    first = recorded()
    ((account,), *_) = site.sql(pseudonym, ip, ada.id)  # by which failed logins name her too
    detail = {"limit": "login", "account": account}
    tripped = ("ratelimit.tripped", "anonymous", None, None, None, detail)
    assert first == [tripped]
    assert recorded() == [tripped]

    change = {"current_password": WRONG, "new_password": PASSWORD}
    for _ in range(7):
        site.ask("POST", "/auth/password", change, token=ada.access)
    rows = site.sql(f"{ROWS} WHERE actor_id = %s AND event = 'ratelimit.tripped'", ada.id)
    assert [row[:4] for row in rows] == [("ratelimit.tripped", "user", ada.id, ada.id)]


@pytest.mark.anyio
async def test_a_limit_that_trips_is_recorded_again_after_five_minutes(clock: ManualClock) -> None:
    """AU-1: what a process remembers of denials ends with them."""
    limiter = RememberingDenials(MemoryLimiter(clock), clock)
    core = bound(MemoryStore(), clock, ScryptHasher(n=2, r=1, p=1), limiter=limiter)
    for recorded in (1, 1, 2):
        for _ in range(20):
            with pytest.raises((InvalidCredentials, TooMany)):
                await core.sessions.log_in(
                    email="ada@example.org", password=WRONG, origin=Origin("192.0.2.1")
                )
        page = await core.audit.page(SYSTEM, event=AuditEventName.RATELIMIT_TRIPPED)
        assert page.total == recorded
        clock.advance(minutes=2.5)


def test_what_operators_do_is_recorded(other: Site) -> None:
    """AU-1: as the system's, with the operator's account name; the first administrator apart."""
    one, two = other.join(role="admin").id, other.join(role="admin").id
    other.taskcli("users", "set-role", str(two), "user")
    other.taskcli("sessions", "revoke", "--user", str(two), "--yes")
    other.taskcli("users", "unlock", str(two))
    rows = other.sql(f"{ROWS} WHERE actor = 'system' AND user_id IS NOT NULL ORDER BY id")
    name = pwd.getpwuid(os.getuid()).pw_name
    assert {row[6:] for row in rows} == {(None, f"cli:{name}", None)}
    made, role = {"role": "admin"}, {"old": "admin", "new": "user"}
    assert [row[:6] for row in rows] == [
        ("admin.bootstrap", "system", None, one, None, made),
        ("user.created", "system", None, two, None, made),
        ("role.changed", "system", None, two, None, role),
        ("session.revoked", "system", None, two, None, {"sessions": 1}),
        ("user.unlocked", "system", None, two, None, {}),
    ]


def key_name(token: str) -> str:
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=="))["kid"])


def test_another_key_is_recorded_when_a_server_starts_with_it(other: Site, tmp_path: Path) -> None:
    """AU-1: once, by an id from which the key cannot be found."""
    names = [key_name(other.join().access)]
    with ExitStack() as stack:
        for number, key in enumerate((KEY, KEY[::-1])):
            env = {"DATABASE_URL": as_url(other.conninfo), "SECRET_KEY": key}
            api = stack.enter_context(Api(tmp_path / str(number), **env))
            names.append(key_name(api.ready().register()))
    assert names[0] == names[1]
    rows = other.sql(f"{ROWS} WHERE event = 'config.key_rotated' ORDER BY id")
    assert [row[:6] for row in rows] == [
        ("config.key_rotated", "system", None, None, None, {"key_id": name, "before": before})
        for before, name in pairwise(["none", *names[1:]])
    ]


def test_a_backup_is_recorded(other: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AU-1: it is a copy of every row and of the key, made by whom the machine knows."""
    monkeypatch.setenv("DATABASE_URL", as_url(other.conninfo))
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("SECRET_KEYS_OLD", json.dumps([KEY[::-1]]))  # a server may have had it
    assert exit_code(["backup", str(tmp_path / "b.zip"), "--quiet"]) == 0
    ((*row, _, agent, _),) = other.sql(f"{ROWS} WHERE event = 'backup.made'")
    with Archive(tmp_path / "b.zip") as archive:
        made = archive.manifest
    detail = {"rows": made.rows, "revision": made.revision}
    assert tuple(row) == ("backup.made", "system", None, None, None, detail)
    assert agent.startswith("cli:")


def test_a_restore_is_recorded(
    other: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AU-1: the rows of another time are there since, put there by whom the machine knows."""
    monkeypatch.setenv("DATABASE_URL", as_url(other.conninfo))
    monkeypatch.setenv("SECRET_KEY", KEY)
    monkeypatch.setenv("SECRET_KEYS_OLD", json.dumps([KEY[::-1]]))  # a server may have had it
    file = str(tmp_path / "b.zip")
    assert exit_code(["backup", file, "--quiet"]) == 0
    assert exit_code(["restore", file, "--replace", "--yes", "--quiet"]) == 0
    ((*row, _, agent, _),) = other.sql(f"{ROWS} WHERE event = 'backup.restored'")
    with Archive(tmp_path / "b.zip") as archive:
        made = archive.manifest
    detail = {"rows": made.rows, "revision": made.revision, "made_at": made.at.isoformat()}
    assert tuple(row) == ("backup.restored", "system", None, None, None, detail)
    assert agent.startswith("cli:")


def test_what_is_on_record_stays(site: Site, ada: Account) -> None:
    """AU-3: no row is updated or deleted by accident, not even by a superuser."""
    before = site.sql(f"{ROWS} WHERE user_id = %s ORDER BY id", ada.id)
    changes = ("UPDATE audit_events SET ip = NULL", "DELETE FROM audit_events")
    for change in (*changes, "DELETE FROM audit_events WHERE id = 0", "TRUNCATE audit_events"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            site.sql(change)
    assert site.sql(f"{ROWS} WHERE user_id = %s ORDER BY id", ada.id) == before != []


def test_administrators_see_all_that_was_done(site: Site, root: Account, ada: Account) -> None:
    """AU-4: in pages, by user, event and moment; users are refused."""
    for token, status in ((None, 401), (ada.access, 403), (root.access, 200)):
        assert site.ask("GET", "/audit", token=token, process=1).status == status

    def page(query: str) -> dict[str, Any]:
        answer = site.ask("GET", f"/audit?user={ada.id}{query}", token=root.access)
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json
        return found

    everything = page("")["items"]
    names = ["authz.denied", "login.succeeded", "user.registered"]
    assert [item["event"] for item in everything] == names
    assert everything[0]["session_id"] == session_of(site, ada)
    assert everything[1]["ip"] == ada.ip
    for skip in range(3):
        found = page(f"&skip={skip}&limit=1")
        assert (found["items"], found["total"]) == (everything[skip : skip + 1], 3)
    assert page("&event=login.succeeded")["items"] == everything[1:2]
    assert page(f"&since={everything[1]['at']}")["items"] == everything[:2]
    for query in ("event=nothing", "since=yesterday", "user=0", "limit=101", "skip=-1"):
        assert site.ask("GET", f"/audit?{query}", token=root.access).status == 422


def test_people_see_what_was_done_to_them(site: Site, root: Account, ada: Account) -> None:
    """AU-4: their own actions and those of others, without the others' ids and addresses."""
    site.log_in(ada.email, WRONG, ip="203.0.113.7")
    site.ask("PATCH", f"/users/{ada.id}", {"role": "admin"}, token=root.access, ip="203.0.113.8")
    site.taskcli("users", "set-role", ada.email, "user")
    answer = site.ask("GET", "/auth/events", token=ada.access, process=1)
    items = answer.json["items"]
    assert [(i["event"], i["actor"], i["actor_id"], i["ip"]) for i in items] == [
        ("role.changed", "system", None, None),
        ("role.changed", "user", None, None),
        ("login.failed", "anonymous", None, "203.0.113.7"),
        ("login.succeeded", "user", ada.id, ada.ip),
        ("user.registered", "anonymous", None, ada.ip),
    ]
    for item in items[:2]:
        assert {item[name] for name in ("session_id", "user_agent", "request_id")} == {None}
    assert {item["user_id"] for item in items} == {ada.id}
    assert b"203.0.113.8" not in answer.body
    assert site.ask("GET", f"/auth/events?user={root.id}", token=ada.access).status == 422
    assert site.ask("GET", "/auth/events").status == 401


def test_operators_see_all_that_was_done(site: Site, ada: Account) -> None:
    """AU-4: `taskcli audit` as text and as JSON, removed users included."""
    site.ask("POST", "/auth/delete-account", {"password": PASSWORD}, token=ada.access)
    user = ("--user", str(ada.id))
    shown = site.taskcli("audit", *user)
    names = ["user.deleted", "login.succeeded", "user.registered"]
    assert re.findall(r"\t([a-z]+\.[a-z]+)\t", shown) == names
    assert shown.count(ada.ip) == 2
    chosen = (*user, "--event", "user.registered", "--json", "--since")
    everything = json.loads(site.taskcli("audit", *user, "--json"))["items"]
    assert [item["event"] for item in everything] == names
    (item,) = json.loads(site.taskcli("audit", *chosen, "2026-01-01"))["items"]
    assert (item["event"], item["user_id"], item["ip"]) == (names[2], ada.id, ada.ip)
    assert json.loads(site.taskcli("audit", *chosen, "2999-01-01"))["items"] == []


def test_an_error_of_the_database_says_nothing(other: Site) -> None:
    """LG-2: neither its text nor the refused row is in a response or a log."""
    ada = other.join()
    other.sql("ALTER TABLE tasks ADD CONSTRAINT raw_name CHECK (title <> 'raw-value')")
    task = other.ask("POST", "/tasks", {"title": "raw-value"}, token=ada.access)
    again = {"email": ada.email, "password": PASSWORD}
    taken = other.ask("POST", "/auth/register", again)
    assert (task.status, taken.status) == (422, 409)
    for word in ("raw-value", "raw_name", "violates", "Failing row", "DETAIL", ada.email, "_key"):
        assert word not in f"{task.body!r}{taken.body!r}{other.apis[0].log}"


def test_an_internal_error_is_logged_once_and_without_variables(other: Site) -> None:
    """LG-3: one line with the request id and the traceback, without the values."""
    ada, title = other.join(), f"raw-{uuid4().hex}"
    other.sql(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RAISE EXCEPTION ''out of order'' USING DETAIL = NEW.title; END'"
    )
    other.sql("CREATE TRIGGER broken BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION broken()")
    answer = other.ask("POST", "/tasks", {"title": title}, token=ada.access)
    other.sql("DROP TRIGGER broken ON tasks")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert b"order" not in answer.body
    lines = lines_of(other.apis[0], answer.json["request_id"])
    assert [(line["event"], line["level"]) for line in lines] == [
        ("request.failed", "error"),
        ("request", "info"),
    ]
    assert "SQLSTATE P0001" in lines[0]["exception"]
    assert "core.tasks.create" in lines[0]["exception"]
    for secret in (
        title,
        ada.access,
        ada.refresh,
        "out of order",
    ):  # LG-2: its text may hold the row
        assert secret not in other.apis[0].log


def lines_of(api: Api, request_id: str) -> list[dict[str, Any]]:
    """Those of one request, when it is through; and each line of the log is one object."""
    last = f'"event":"request","request_id":"{request_id}"'
    assert eventually(lambda: last in api.log, within=5)
    # Also at what only some take for the end of a line.
    lines = [json.loads(line) for line in api.log.splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]


def test_no_input_breaks_a_line_of_the_log(site: Site, root: Account) -> None:
    """LG-4: line ends, escapes and U+2028 in any input; request ids in our alphabet only."""
    api, evil = site.apis[0], 'x\r\n{"event":"forged"}\x1b[31m\u2028\u0085'
    site.log_in(evil, evil)
    site.ask("POST", "/auth/register", {"email": evil, "password": evil, "full_name": evil})
    site.ask("POST", "/tasks", {"title": evil, evil: evil}, token=root.access)
    path = f"{V1}/tasks/%0d%0a%1b[31m%e2%80%a8?limit=%0a".encode()
    agent = "Evil \u2028\u0085".encode()
    good = b"a.B_c-D9" * 8
    head = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: %s\r\n" % (path, agent)
    head += b"X-Forwarded-For: %s\r\nX-Request-Id: " % agent
    for sent in (good, good + b"x", b"a b", b"%0a", b'"', b"a\tb", "\u2028".encode(), b"\x85", b""):
        (reply,) = exchange(api.port, head + sent + b"\r\n\r\n")
        found = reply.headers["x-request-id"]
        assert re.fullmatch("[A-Za-z0-9._-]{1,64}", found)
        assert (found.encode() == sent) is (sent == good)
        assert [line["status"] for line in lines_of(api, found)] == [401]
    assert "forged" not in api.log
    site.log_in(root.email, WRONG, headers={"User-Agent": "one\ttwo\x85three"})
    newest = site.ask("GET", "/audit?event=login.failed&limit=1", token=root.access).json
    assert newest["items"][0]["user_agent"] == "one two three"


def test_the_access_log_has_no_query_and_no_body(site: Site, ada: Account) -> None:
    """LG-5: one line a request, with its route and no input."""
    api, canary = site.apis[1], uuid4().hex
    for method, path, body in (
        ("GET", f"/tasks?limit=1&token={canary}", None),
        ("GET", f"/tasks/{canary}", None),
        ("GET", f"/{canary}", None),
        ("POST", "/tasks", {"title": canary}),
        ("PATCH", "/auth/me", {"full_name": canary}),
    ):
        answer = site.ask(method, path, body, token=ada.access, process=1)
        lines = lines_of(api, answer.headers["x-request-id"])
        (line,) = [line for line in lines if line["event"] == "request"]
        assert set(line) == {
            *("event", "level", "timestamp", "request_id"),
            *("method", "route", "status", "duration_ms", "user_id", "client"),
        }
        assert "?" not in line["route"]
    assert canary not in api.log
