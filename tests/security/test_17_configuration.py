"""Secrets, settings, the command line, and the database's role: rows SC of docs/security.md."""

import ast
import gzip
import json
import os
import pwd
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from taskcli.main import commands
from taskcore import Misconfigured, Settings, UserId, open_core
from taskcore.adapters.clock import SystemClock
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.jwt import JwtTokens
from taskcore.adapters.postgres import PostgresLimiter, upgrade
from taskcore.adapters.tokens import OpaqueRefreshTokens
from taskcore.domain.sessions import SessionId
from taskcore.ports import AccessClaims
from tests.api.served import as_url, exchange
from tests.cli import programs
from tests.cli.in_process import run
from tests.cli.programs import Result
from tests.cli.test_help import leaves
from tests.postgres.servers import server
from tests.security.site import PASSWORD, V1, WRONG, Account, Site, fresh_ip, refused
from tests.server.running import KEY, Api, command, free_port

ROOT = Path(__file__).parents[2]


# Settings


def either_way(*arguments: str, env: Mapping[str, str], cwd: Path) -> Result:
    """A server runs as a process of its own, because it replaces the standard streams."""
    if arguments == ("serve",):  # not on the port of a server that runs beside the tests
        return programs.run(*arguments, env={"SERVER_PORT": str(free_port()), **env}, cwd=cwd)
    return run(*arguments, env=env, cwd=cwd)


def test_a_secret_may_come_from_a_private_file(site: Site, ada: Account, tmp_path: Path) -> None:
    """SC-1: without its line end; a file that others can read too is a warning, and a finding."""
    key, url = tmp_path / "key", tmp_path / "url"
    key.write_text(f"{KEY}\n")
    url.write_text(f"{as_url(site.conninfo)}\n")
    key.chmod(0o640)
    url.chmod(0o600)
    files = {"SECRET_KEY_FILE": str(key), "DATABASE_URL_FILE": str(url)}
    with Api(tmp_path, **files) as api:
        # It is the same database and the same key, to the byte.
        assert api.ready().call("GET", f"{V1}/auth/me", token=ada.access).status == 200
        assert "SECRET_KEY_FILE can be read by others" in api.log
        assert "DATABASE_URL_FILE can" not in api.log
        doctor = run("doctor", env=api.env, cwd=tmp_path)
        assert doctor.code == 0  # containers mount their secrets so
        assert "settings\tSECRET_KEY_FILE can be read by others" in doctor.out
        key.chmod(0o600)
        assert "read by others" not in run("doctor", env=api.env, cwd=tmp_path).out


def test_an_env_file_of_another_account_gives_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SC-1: nor does a link that it has planted, or a file that every account may write to."""
    file, mine = tmp_path / ".env", tmp_path / "mine"
    own = stranger = os.geteuid()
    for each in (file, mine):
        each.write_text("APP_NAME=planted")
    if own == 0:
        stranger = 4711
        os.chown(file, stranger, -1)
    else:  # nothing can be given away, so this account is the other one
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    for _ in range(2):
        said = refused(tmp_path, "config", "show")
        assert f"{file} belongs to uid {stranger}, and this process runs as" in said
        file.unlink()
        file.symlink_to(mine)
        if own == 0:
            os.chown(file, stranger, -1, follow_symlinks=False)
    monkeypatch.undo()
    os.chown(file, own, -1, follow_symlinks=False)
    assert Settings.load(tmp_path).app_name == "planted"
    mine.chmod(0o666)
    said = refused(tmp_path, "config", "show")
    assert f"every account may write to {file}: read it, then run `chmod o-w {file}`" in said


def test_a_wrong_secret_file_stops_the_start(tmp_path: Path) -> None:
    """SC-1: an empty one, a missing one, and one beside the variable."""
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.write_text("\n")
    full.write_text(KEY)
    for name in ("SECRET_KEY", "DATABASE_URL"):
        for file, value in ((empty, ""), (tmp_path / "none", ""), (full, f"postgresql://{KEY}")):
            said = refused(tmp_path, "serve", **{f"{name}_FILE": str(file), name: value})
            assert f"{name}_FILE" in said
            assert KEY not in said
    assert "both set" in refused(tmp_path, "serve", SECRET_KEY=KEY, SECRET_KEY_FILE=str(full))


def test_no_value_of_a_secret_is_ever_printed(tmp_path: Path) -> None:
    """SC-2: not by `config show`, a refused start, or a database that is away."""
    password = WRONG.replace(" ", "%20").replace(":", "%3A")
    url = f"postgresql://me:{password}@127.0.0.1:1/tasks"
    good = {"DATABASE_URL": url, "SECRET_KEY": KEY, "SECRET_KEYS_OLD": KEY[::-1]}
    bad = {"DATABASE_URL": f"mysql://me:{password}@h/d", "SECRET_KEY": WRONG}
    unreadable = {"DATABASE_URL": f"{url} {password}", "SECRET_KEY": KEY}
    said = ""
    for arguments, env, code in (
        (("config", "show"), good, 0),
        (("config", "show", "--json"), good, 0),
        (("serve",), good, 69),
        (("doctor",), good, 1),
        (("serve",), bad, 78),
        (("users", "list"), unreadable, 78),
    ):
        own = {"LOG_LEVEL": "DEBUG", "SERVER_PORT": str(free_port())}
        done = either_way(*arguments, env=own | env, cwd=tmp_path)
        assert done.code == code, done.err
        said += done.out + done.err
    assert "(set, not shown)" in said
    said += f"{Settings.from_env(good)!r} {Settings.from_env(good)}"
    for secret in (WRONG, password, KEY, KEY[::-1], "wrong horse"):
        assert secret not in said


PLACEHOLDER = "your-super-secret-key-change-in-production"
PRINTED = (  # by tutorials and templates
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "a-string-secret-at-least-256-bits-long",
    "your_jwt_secret_key_your_jwt_secret_key",
    "replace-me-with-32-bytes-or-more-xx",
    "django-insecure-4f8h3k2l9s7d6f5g4h3j2k1l",
    "supersecretkeysupersecretkeysupersecret",
)
REGULAR = "abcdefg" * 8
UNSAFE = [
    *({"SECRET_KEY": key} for key in (PLACEHOLDER, WRONG, REGULAR, *PRINTED)),
    *({"SECRET_KEYS_OLD": f"{KEY},{key}"} for key in (PLACEHOLDER, WRONG, REGULAR)),
    *({"CORS_ORIGINS": value} for value in ("*", '["*"]', "https://*.example.org")),
    *({"TRUSTED_PROXIES": value} for value in ("*", "0.0.0.0/0", "10.0.0.1,::/0")),
    *({"DEBUG": "on", "SERVER_HOST": host} for host in ("0.0.0.0", "::", "a.example.org")),  # noqa: S104 - refused
]


@pytest.mark.parametrize("unsafe", UNSAFE, ids=str)
def test_each_unsafe_setting_is_refused(unsafe: dict[str, str]) -> None:
    """SC-3: by its name; no setting allows it."""
    with pytest.raises(Misconfigured) as refusal:
        Settings.from_env({"SECRET_KEY": KEY} | unsafe)
    (problem,) = refusal.value.problems
    assert problem.startswith(next(iter(unsafe)))
    assert not any(value in problem for value in unsafe.values() if len(value) > 3)


def test_all_that_is_unsafe_is_named_when_a_server_starts(tmp_path: Path) -> None:
    """SC-3: together, with exit code 78 and no value; DEBUG may be on for loopback addresses."""
    everything = {name: value for unsafe in UNSAFE for name, value in unsafe.items()}
    said = refused(tmp_path, "serve", **everything)
    for name in ("SECRET_KEY ", "SECRET_KEYS_OLD ", "CORS_ORIGINS ", "TRUSTED_PROXIES ", "DEBUG "):
        assert name in said
    assert not any(value in said for value in everything.values() if len(value) > 3)
    assert Settings.from_env({"DEBUG": "on", "SERVER_HOST": "localhost"}).debug


@pytest.mark.anyio
async def test_limits_are_those_that_all_processes_share(site: Site, tmp_path: Path) -> None:
    """SC-3: by default; no setting chooses limits for each process alone."""
    env = {"DATABASE_URL": as_url(site.conninfo), "SECRET_KEY": KEY, "DATA_DIR": str(tmp_path)}
    async with open_core(Settings.from_env(env)) as core:
        limiter = core.gate.limiter
        assert isinstance(limiter, RememberingDenials)
        assert isinstance(limiter._limiter, PostgresLimiter)


# Secrets in what we hand out, and in the code

SECRETS = [
    re.compile(pattern.encode())
    for pattern in (
        r"tcr_[A-Za-z0-9_-]{43}",
        r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{20}",
        r"\b(?:AKIA[0-9A-Z]{16}|gh[opsu]_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{60})",
    )
]


def tracked() -> Iterator[Path]:
    """The files of this checkout; of an unpacked distribution all that came with it."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],  # noqa: S607 - from PATH
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        yield from (ROOT / name for name in done.stdout.decode().split("\0") if name)
    else:
        folders = ("src", "migrations", "tests", "docs", "deploy", "tools")
        yield from (path for folder in folders for path in (ROOT / folder).rglob("*.*"))


def test_no_file_of_the_repository_holds_a_secret() -> None:
    """SC-4: nothing shaped like a token of ours or a private key, in packed files too."""
    claims = AccessClaims(UserId(1), SessionId(uuid4()))
    access = JwtTokens(KEY.encode()).issue(claims, SystemClock().now())
    pem = "-----BEGIN {}PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
    for secret in (access, OpaqueRefreshTokens(()).new(), pem.format(""), pem.format("RSA ")):
        assert any(pattern.search(secret.encode()) for pattern in SECRETS), secret
    files = [path for path in tracked() if path.is_file()]
    assert len(files) > 200
    for path in files:
        assert not re.search(r"\.(env|pem|key|p12|pyc)$|^id_|\.data/", path.name), path
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        assert not any(pattern.search(content) for pattern in SECRETS), path


_SECRET = re.compile("digest|signature|secret|hash|password|token|pseudonym")
COMPARED = {
    # Typed twice by the same person.
    "run(_typed('The same again:')) != password",
    # The operator's backup and key, and two passwords of one request that has proved one of them.
    "Keys.of(settings).present == secret",
    "digest_of(secret) != self.manifest.key",
    "normal == normalized_password(password)",
    # Two states of one row: neither comes from a request.
    "tables.password_hashes[user.id] != of.password_hash",
    "users.c.hashed_password == sa.bindparam('old')",
    "users.c.hashed_password == sa.bindparam('password_hash')",
    # Looked up by the database, by the digest of what was sent: its timing tells of that alone.
    "refresh_tokens.c.digest == sa.bindparam('digest')",
    "refresh_tokens.c.digest == sa.bindparam('used', type_=sa.LargeBinary)",
    "refresh_tokens.c.digest != sa.bindparam('used', type_=sa.LargeBinary)",
}


def last_name(node: ast.expr) -> str:
    """`digest` of `row.digest`, `_signature` of `self._signature(said).encode()`."""
    while isinstance(node, ast.Call):
        spelled = isinstance(node.func, ast.Attribute) and node.func.attr in {"encode", "hex"}
        node = node.func.value if spelled and isinstance(node.func, ast.Attribute) else node.func
    return ast.unparse(node).rpartition(".")[2]


def test_no_secret_is_compared_character_by_character() -> None:
    """SC-5: no value of a request is compared with `==`; digests made here go to compare_digest."""
    compared, safely = set(), 0
    suites = ROOT / "src/taskcore/testing"  # they compare what they have made themselves
    for path in (ROOT / "src").rglob("*.py"):
        if path.is_relative_to(suites):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                names = map(last_name, (node.left, *node.comparators))
                compared |= {ast.unparse(node)} if any(map(_SECRET.search, names)) else set()
            elif isinstance(node, ast.Attribute) and node.attr == "compare_digest":
                safely += 1
    assert compared == COMPARED
    assert safely == 3


def test_a_secret_outside_of_ascii_is_a_wrong_secret(site: Site, ada: Account) -> None:
    """SC-5: text that compare_digest does not take is refused like any other."""
    for text in ("\u00e9" * 43, "tcr_" + "\u00e9" * 43, ada.refresh + "\u00e9", "\U0001f600"):
        assert site.refresh(text).status == 401
        assert site.log_in(ada.email, text).status == 401
        head = f"GET {V1}/auth/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        sent = f"{head}Authorization: Bearer {text}\r\n\r\n".encode()
        (reply,) = exchange(site.apis[0].port, sent)
        assert reply.status == 401


# The command line


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """SC-6: every user of the machine can read arguments; a password comes by prompt or stdin."""
    app, named = commands(), set()
    for path in leaves(app):
        found = app
        for name in path:
            found = found[name]
        for argument in found.assemble_argument_collection():
            named |= {name for name in argument.names if re.search("pass|secret|token|key", name)}
    assert named == {"--password-stdin", "--idempotency-key"}  # the latter is no secret


def test_operators_are_bound_by_the_same_rules_and_are_named(site: Site) -> None:
    """SC-6: the command line refuses what HTTP refuses, and the audit says who typed it."""
    email = f"{os.urandom(8).hex()}@example.org"
    body = {"email": email, "password": "short"}
    answer = site.ask("POST", "/auth/register", body, ip=fresh_ip())
    words = ("users", "create", "--email", email, "--password-stdin")
    done = site.terminal(*words, stdin="short\n")
    assert (answer.status, done.code) == (422, 65)
    assert answer.json["errors"][0]["detail"] in done.err
    account = site.join(role="admin")
    query = "SELECT actor, user_agent FROM audit_events WHERE user_id = %s ORDER BY id LIMIT 1"
    name = pwd.getpwuid(os.getuid()).pw_name
    assert site.sql(query, account.id) == [("system", f"cli:{name}")]


def test_a_server_shows_no_secret_to_the_machine(site: Site, tmp_path: Path) -> None:
    """SC-6: not among its arguments, and its files are private to its account."""
    for api in site.apis:
        for pid in (api.process.pid, *api.workers):
            assert "serve" in command(pid)
            assert KEY not in command(pid)
    with Api(tmp_path) as api:  # with a database and a key of its own
        api.ready()
        kept = [api.data_dir, *api.data_dir.glob("*"), api.data_dir / "secret.key"]
        assert len(kept) > 2
        assert [path for path in kept if path.stat().st_mode & 0o077] == []


# The database's role

GRANTS = """
GRANT USAGE ON SCHEMA public TO taskcore_app;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON users, tasks, trash, task_words, streams, sessions, refresh_tokens, rate_limits,
       idempotency_keys, idempotency_usage, events
    TO taskcore_app;
GRANT SELECT, INSERT, UPDATE ON totals TO taskcore_app;
GRANT USAGE ON SEQUENCE tasks_id_seq TO taskcore_app;
GRANT SELECT, INSERT ON audit_events TO taskcore_app;
GRANT SELECT ON epochs, alembic_version TO taskcore_app;
"""
DENIED = (
    "DROP TABLE tasks",
    "ALTER TABLE users ADD COLUMN x int",
    "CREATE TABLE x (y int)",
    "UPDATE audit_events SET ip = NULL",
    "DELETE FROM audit_events",
    "TRUNCATE audit_events",
    "ALTER TABLE audit_events DISABLE TRIGGER ALL",
    "DROP FUNCTION audit_events_stay()",
    "SET session_replication_role = replica",
    "UPDATE alembic_version SET version_num = '0001'",
    "COPY users TO PROGRAM 'cat'",
    "CREATE ROLE x",
    "SET ROLE taskcore_owner",
)


def test_a_server_needs_no_rights_over_its_database(tmp_path: Path) -> None:
    """SC-7, AU-3: everything works for a role that owns nothing and can only add to the audit."""
    with server() as postgres:
        as_role = postgres.conninfo.replace("postgres@/postgres", "{}@/taskcore").format
        with psycopg.connect(postgres.conninfo, autocommit=True) as superuser:
            superuser.execute("CREATE ROLE taskcore_owner LOGIN")
            superuser.execute("CREATE ROLE taskcore_app LOGIN")
            superuser.execute("CREATE DATABASE taskcore OWNER taskcore_owner")
        upgrade(as_role("taskcore_owner"))
        with psycopg.connect(as_role("taskcore_owner"), autocommit=True) as owner:
            owner.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            owner.execute(GRANTS)
        url = as_role("taskcore_app")
        env = {"DATABASE_URL": url, "SECRET_KEY": KEY, "TRUSTED_PROXIES": "127.0.0.1"}
        with Api(tmp_path, **env, RATE_LIMITS="on") as api:
            lived(Site((api.ready(),), url))
        with psycopg.connect(as_role("taskcore_owner"), autocommit=True) as owner:
            owner.execute("REVOKE INSERT ON audit_events FROM taskcore_app")
            for arguments in (("doctor",), ("serve",), ("users", "list")):
                told = either_way(*arguments, env=env, cwd=tmp_path)
                assert told.code == 78, arguments
                assert "docs/security.md has the grants" in told.out + told.err
            owner.execute(GRANTS)
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in DENIED:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
        with psycopg.connect(as_role("taskcore_owner")) as owner:
            assert owner.execute("SELECT count(*) > 9 FROM audit_events").fetchone() == (True,)


def lived(site: Site) -> None:
    """Use every operation once."""
    root, ada = site.join(role="admin"), site.join()
    task = site.ask("POST", "/tasks", {"title": "x"}, token=ada.access).json["id"]
    session = site.ask("GET", "/auth/sessions", token=ada.access).json["items"][0]["id"]
    password = {"current_password": PASSWORD, "new_password": WRONG}
    there = f"/users/{ada.id}"
    for method, path, body, who in (
        ("GET", f"/tasks/{task}", None, ada),
        ("PATCH", f"/tasks/{task}", {"title": "y"}, ada),
        ("GET", "/tasks", None, ada),
        ("PATCH", "/auth/me", {"full_name": "Ada"}, ada),
        ("POST", "/auth/password", password, ada),
        ("GET", "/auth/events", None, ada),
        ("DELETE", f"/tasks/{task}", None, ada),
        ("POST", "/auth/refresh", {"refresh_token": ada.refresh}, ada),
        ("POST", "/auth/refresh", {"refresh_token": ada.refresh}, ada),
        ("DELETE", f"/auth/sessions/{session}", None, ada),
        ("GET", there, None, root),
        ("PATCH", there, {"role": "admin", "is_active": False}, root),
        ("DELETE", f"{there}/sessions", None, root),
        ("GET", f"/audit?user={ada.id}", None, root),
        ("DELETE", there, None, root),
        ("POST", "/auth/logout-all", None, root),
    ):
        answer = site.ask(method, path, body, token=who.access)
        assert answer.status in {200, 204}, (path, answer)
    ip = fresh_ip()
    statuses = {site.log_in(root.email, WRONG, ip=ip).status for _ in range(6)}
    assert statuses == {401, 429}
    assert json.loads(site.taskcli("users", "list", "--json"))["total"] == 1


def test_the_role_of_the_embedded_database_is_no_superuser(database_url: str) -> None:
    """SC-7: it owns its tables, and cannot reach beyond the database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rights = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication FROM pg_roles"
        own = connection.execute(f"{rights} WHERE rolname = current_user")
        assert own.fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY users TO PROGRAM 'cat'")
