"""Settings: every variable, its file, its default, and what is said of a bad one."""

import copy
import json
import os
import pickle
import secrets
from dataclasses import asdict, fields
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskcore.domain.errors import Misconfigured
from taskcore.environment import environment
from taskcore.settings import Secret, Settings

KEY = "kXr7-Jq2vZ_93mWfTnB8yLdHcPaGsEuQ"  # 32 bytes
URL = "postgresql://me:hunter2@db.example.org:5432/tasks"


def settings(**env: str) -> Settings:
    return Settings.from_env(env)


def refusal(**env: str) -> Misconfigured:
    with pytest.raises(Misconfigured) as raised:
        Settings.from_env(env)
    return raised.value


def test_nothing_need_be_set() -> None:
    found = settings(XDG_DATA_HOME="/data")
    assert found.database_url is None
    assert found.secret_key is None
    assert found == Settings(
        database_url=None,
        secret_key=None,
        data_dir=found.data_dir,
        algorithm="HS256",
        access_token_lifetime=timedelta(minutes=30),
        refresh_token_lifetime=timedelta(days=7),
        app_name="Task Management API",
        app_version="1.0.0",
        debug=False,
        cors_origins=("http://localhost:3000",),
        server_host="127.0.0.1",
        server_port=8000,
        workers=1,
        log_level="INFO",
        log_format=None,
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("DATABASE_URL", URL, "database_url", Secret(URL)),
        ("DATABASE_URL", "postgres://me@h/d", "database_url", Secret("postgresql://me@h/d")),
        (
            "DATABASE_URL",
            "postgresql+psycopg://me@h/d",
            "database_url",
            Secret("postgresql://me@h/d"),
        ),
        ("DATABASE_URL", f" {URL} ", "database_url", Secret(URL)),
        ("DATABASE_POOLER", "on", "database_pooler", True),
        ("DATABASE_POOL_SIZE", "20", "database_pool_size", 20),
        ("SECRET_KEY", KEY, "secret_key", Secret(KEY)),
        ("ALGORITHM", "HS512", "algorithm", "HS512"),
        ("ALGORITHM", "hs384", "algorithm", "HS384"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "5", "access_token_lifetime", timedelta(minutes=5)),
        ("REFRESH_TOKEN_EXPIRE_DAYS", "30", "refresh_token_lifetime", timedelta(days=30)),
        ("APP_NAME", "My tasks", "app_name", "My tasks"),
        ("APP_VERSION", "2.0", "app_version", "2.0"),
        ("DEBUG", "True", "debug", True),
        ("DEBUG", "1", "debug", True),
        ("DEBUG", "False", "debug", False),
        ("DEBUG", "off", "debug", False),
        ("CORS_ORIGINS", '["https://a.org", "http://b.org:8080"]', "cors_origins", None),
        ("CORS_ORIGINS", "https://a.org, http://b.org:8080", "cors_origins", None),
        ("CORS_ORIGINS", "https://a.org,http://b.org:8080,", "cors_origins", None),
        ("CORS_ORIGINS", "[]", "cors_origins", ()),
        ("CORS_ORIGINS", "http://[::1]:3000", "cors_origins", ("http://[::1]:3000",)),
        ("CORS_HEADERS", "X-Tenant, b3", "cors_headers", ("X-Tenant", "b3")),
        ("CORS_HEADERS", '["X-Tenant"]', "cors_headers", ("X-Tenant",)),
        ("SERVER_HOST", "0.0.0.0", "server_host", "0.0.0.0"),  # noqa: S104 - what containers set
        ("SERVER_PORT", "65535", "server_port", 65535),
        ("DATA_DIR", "/srv/tasks", "data_dir", Path("/srv/tasks")),
        ("WORKERS", "4", "workers", 4),
        ("DRAIN_SECONDS", "10", "drain", timedelta(seconds=10)),
        ("METRICS_ADDRESS", "127.0.0.1:9100", "metrics_address", "127.0.0.1:9100"),
        ("METRICS_ADDRESS", "[::1]:9100", "metrics_address", "[::1]:9100"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318", "otlp_endpoint", "http://a:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a/x", "otlp_endpoint", "http://a/x"),
        ("OTEL_TRACES_EXPORTER", "otlp", "otlp_endpoint", "http://localhost:4318"),
        ("OTEL_SERVICE_NAME", "tasks", "otlp_endpoint", None),
        ("SENTRY_DSN", "https://key@a/1", "sentry_dsn", Secret("https://key@a/1")),
        ("LOG_LEVEL", "warning", "log_level", "WARNING"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("LOG_FORMAT", "console", "log_format", "console"),
        ("TASKCLI_AS", "ada@example.org", "acts_as", "ada@example.org"),
    ],
)
def test_every_variable_is_read(name: str, text: str, field: str, value: object) -> None:
    if name == "CORS_ORIGINS" and value is None:
        value = ("https://a.org", "http://b.org:8080")
    found = settings(**({"SECRET_KEY": KEY} | {name: text}))
    assert getattr(found, field) == value
    others = settings(SECRET_KEY=KEY)
    for other in fields(Settings):
        if other.name not in {field, "data_dir"} and name != "DEBUG":
            assert getattr(found, other.name) == getattr(others, other.name)


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("TRUSTED_PROXIES", "::ffff:127.0.0.1", "trusted_proxies", (ip_network("127.0.0.1"),)),
        ("TRUSTED_PROXIES", "::ffff:10.0.0.0/104", "trusted_proxies", (ip_network("10.0.0.0/8"),)),
        ("CORS_ORIGINS", "https://a.org:443", "cors_origins", ("https://a.org",)),
        ("CORS_ORIGINS", "http://a.org:80", "cors_origins", ("http://a.org",)),
        ("CORS_ORIGINS", "http://a.org:443", "cors_origins", ("http://a.org:443",)),
        ("CORS_ORIGINS", "http://a.org:08080", "cors_origins", ("http://a.org:8080",)),
        ("CORS_ORIGINS", "http://[0:0::1]:80", "cors_origins", ("http://[::1]",)),
        ("CORS_ORIGINS", "http://[::ffff:1.2.3.4]", "cors_origins", ("http://[::ffff:102:304]",)),
        ("ALLOWED_HOSTS", "[0:0::1], A.org", "allowed_hosts", ("[::1]", "a.org")),
    ],
)
def test_addresses_are_spelled_as_in_requests(
    name: str, text: str, field: str, value: object
) -> None:
    assert getattr(settings(**{name: text}), field) == value


def test_all_ipv4_addresses_are_no_trusted_proxies_however_they_are_written() -> None:
    assert "TRUSTED_PROXIES" in refusal(TRUSTED_PROXIES="::ffff:0:0/96").problems[0]


@pytest.mark.parametrize("off", [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}])
def test_traces_are_off_by_the_standard_variables(off: dict[str, str]) -> None:
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}
    assert settings(**on).otlp_endpoint
    assert settings(**on, **off).otlp_endpoint is None


def test_debug_makes_the_log_speak_unless_told_otherwise() -> None:
    assert settings(DEBUG="True").log_level == "DEBUG"
    assert settings(DEBUG="True", LOG_LEVEL="ERROR").log_level == "ERROR"


def test_an_empty_variable_counts_as_not_set() -> None:
    names = [*Settings(None, None, Path()).shown(), "SECRET_KEY_FILE", "DATABASE_URL_FILE"]
    for empty in ("", "  "):
        assert settings(**dict.fromkeys(names, empty)) == settings()


BAD = {
    "DATABASE_URL": ["mysql://me:hunter2@h/d", "hunter2", "sqlite:///hunter2.db", "hunter2\udcff"],
    "SECRET_KEY": ["hunter2", "hunter2" * 9, "k" * 31 + "hunter2"[:0], KEY + "\udcff"],
    "ALGORITHM": ["none", "RS256", "HS1", "HS256,HS512"],
    "ACCESS_TOKEN_EXPIRE_MINUTES": ["0", "-1", "1441", "1.5", "x", "\u0665", "1_0", "9" * 5000],
    "REFRESH_TOKEN_EXPIRE_DAYS": ["0", "31", "7d", "+7"],
    "DEBUG": ["maybe", "2", "truee"],
    "CORS_ORIGINS": [
        *("*", "null", '["*"]', "https://*.a.org", "https://a.org/", "https://a.org/x", "a.org"),
        *("ftp://a.org", "https://a.org:99999", "https://a.org:0", '["https://a.org"', "[1]"),
        *("https://me@a.org", "https://a.org?x", "HTTPS://A.ORG", "https://", "[" * 99999),
        *("http://127.1", "http://[::g]", "http://[fe80::1%25eth0]", "http://1.2.3.4.5"),
        *('[["https://a.org"]]', "https://a.org\nhttps://b.org", '{"a": 1}'),
    ],
    "CORS_HEADERS": ["*", "X-A,*", "X A", "X-A:", "X-\u00e9", "X-A\r\nX-B", '["X-A"', "[1, 2]x"],
    "SERVER_PORT": ["0", "65536", "http", "-8000", "80 80"],
    "WORKERS": ["0", "65", "many"],
    "DATABASE_POOLER": ["pgbouncer"],
    "DATABASE_POOL_SIZE": ["4", "101", "all"],
    "DRAIN_SECONDS": ["-1", "301", "1.5", "10s"],
    "METRICS_ADDRESS": [
        "9100",
        ":9100",
        "10.0.0.77",
        "localhost:0",
        "a:65536",
        "::1:9100",
        "a b:1",
    ],
    "LOG_LEVEL": ["LOUD", "10"],
    "LOG_FORMAT": ["xml"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in BAD.items() for t in ts])
def test_a_bad_value_is_named_and_not_shown(name: str, text: str) -> None:
    found = refusal(**({"SECRET_KEY": KEY} | {name: text}))
    (problem,) = found.problems
    assert problem.startswith(f"{name} ")
    assert len(text) < 9 or text not in problem
    assert "hunter2" not in f"{found} {found!r}"
    assert found.__cause__ is None


def test_all_that_is_wrong_is_told_at_once() -> None:
    bad = {name: texts[0] for name, texts in BAD.items()}
    found = refusal(**bad)
    assert {problem.split()[0] for problem in found.problems} == set(BAD)
    assert len(found.problems) == len(BAD)
    assert "hunter2" not in str(found)


def test_a_database_of_ones_own_takes_a_key_of_ones_own() -> None:
    (problem,) = refusal(DATABASE_URL=URL).problems
    assert problem.startswith("SECRET_KEY is required")
    assert "give the one that this database's servers have" in problem
    assert settings(DATABASE_URL=URL, SECRET_KEY=KEY).secret_key == Secret(KEY)


PLACEHOLDERS = [
    "your-super-secret-key-change-in-production",
    "your-secret-key-min-32-chars",
    "YOUR-SUPER-SECRET-KEY-CHANGE-IN-PRODUCTION",
    "your-own-signing-key-of-some-32-bytes",
    "changeme-changeme-changeme-changeme",
    "please-change-this-key-before-use-1234",
    "secret-secret-secret-secret-secret-12",
    "this-is-only-an-example-key-0123456789",
    "placeholder-placeholder-0123456789abc",
]


@pytest.mark.parametrize("key", PLACEHOLDERS)
@pytest.mark.parametrize("mode", ["embedded", "own database"])
@pytest.mark.parametrize("debug", ["True", "False"])
@pytest.mark.parametrize("given_by", ["variable", "file"])
def test_a_key_from_a_document_is_refused_in_every_mode(
    key: str, mode: str, debug: str, given_by: str, tmp_path: Path
) -> None:
    env = {"DEBUG": debug}
    if mode == "own database":
        env["DATABASE_URL"] = URL
    if given_by == "file":
        file = tmp_path / "key"
        file.write_text(key + "\n")
        env["SECRET_KEY_FILE"] = str(file)
    else:
        env["SECRET_KEY"] = key
    found = refusal(**env)
    assert any(problem.startswith("SECRET_KEY ") for problem in found.problems)
    assert key not in str(found)


@pytest.mark.parametrize("size", [31, 32, 33, 64, 500])
def test_a_key_has_thirty_two_bytes_at_least(size: int) -> None:
    key = (secrets.token_hex(250))[:size]
    if size < 32:
        refusal(SECRET_KEY=key)
    else:
        assert settings(SECRET_KEY=key).secret_key == Secret(key)


def test_a_key_is_counted_in_bytes_and_must_not_repeat_itself() -> None:
    assert settings(SECRET_KEY="\u00e9\u00e8\u00ea\u00eb\u00e0\u00e2\u00e4\u00f9" * 2).secret_key
    refusal(SECRET_KEY="0" * 64)
    refusal(SECRET_KEY="abcdefg" * 10)


@given(st.binary(min_size=32, max_size=32))
def test_a_random_key_is_taken(key: bytes) -> None:
    text = key.hex()
    if len(set(text)) >= 8:
        assert settings(SECRET_KEY=text).secret_key == Secret(text)


# By file


@pytest.mark.parametrize(("name", "value"), [("SECRET_KEY", KEY), ("DATABASE_URL", URL)])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_secret_may_come_by_file(tmp_path: Path, name: str, value: str, end: str) -> None:
    file = tmp_path / "secret"
    file.write_text(value + end)
    env = {"SECRET_KEY": KEY} if name == "DATABASE_URL" else {}
    found = settings(**env, **{f"{name}_FILE": str(file)})
    assert getattr(found, name.lower()) == Secret(value)


def test_one_line_end_is_no_part_of_a_key_and_all_else_is(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f" {KEY} \n\n")
    assert settings(SECRET_KEY_FILE=str(file)).secret_key == Secret(f" {KEY} \n")


def test_a_file_that_cannot_be_used_is_named_and_not_shown(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"\xff" * 40)
    for file in (empty, binary, tmp_path, tmp_path / "missing"):
        for name in ("SECRET_KEY", "DATABASE_URL"):
            found = refusal(**{f"{name}_FILE": str(file)})
            assert f"{name}_FILE " in found.problems[0]
            assert (str(file) in str(found)) is (file != empty)


@pytest.mark.parametrize("secret", [KEY, f"/{KEY}", f"/{KEY}/{KEY}"])
def test_a_secret_where_its_file_belongs_is_not_shown(secret: str) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL"):
        found = refusal(**{f"{name}_FILE": secret})
        assert f"{name}_FILE cannot be read" in found.problems[0]
        assert KEY not in str(found)


def test_a_key_that_cannot_be_read_is_not_to_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "missing"
    (problem,) = refusal(DATABASE_URL="postgresql://x", SECRET_KEY_FILE=str(file)).problems
    assert problem == f"SECRET_KEY_FILE cannot be read: FileNotFoundError ({file})"


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(KEY)
    (problem,) = refusal(SECRET_KEY=KEY, SECRET_KEY_FILE=str(file)).problems
    assert problem.startswith("SECRET_KEY and SECRET_KEY_FILE")
    assert KEY not in problem


# .env


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what the machine happens to have set."""
    for name in set(Settings(None, None, Path()).shown()) & set(os.environ):
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("APP_NAME=Tasks", "Tasks"),
        ("APP_NAME = Tasks ", "Tasks"),
        ("  export APP_NAME=Tasks", "Tasks"),
        ('APP_NAME="My tasks"', "My tasks"),
        ("APP_NAME='My \"tasks\"'", 'My "tasks"'),
        ("APP_NAME=My tasks # not of others", "My tasks"),
        ('APP_NAME="My # tasks" # not of others', "My # tasks"),
        ("APP_NAME=My#tasks", "My#tasks"),
        ("APP_NAME=a=b", "a=b"),
        (r'APP_NAME="say \"hi\"" # quietly', 'say "hi"'),
        (r'APP_NAME="a \\ b, \$5, \n"', r"a \ b, $5, \n"),
        (r"APP_NAME='a \\ b'", r"a \\ b"),
        ("APP_NAME=it's", "it's"),
        ('APP_NAME=""', "Task Management API"),
        ("APP_NAME=a\u2028b", "a\u2028b"),
        ("APP_NAME=$HOME", "$HOME"),
        ("APP_NAME=first\nAPP_NAME=last", "last"),
        ("# APP_NAME=x\n\n\n not a line\nAPP_NAME=Tasks\r\n", "Tasks"),
        ("\ufeffAPP_NAME=Tasks", "Tasks"),
        ("APP_NAME=\u00e9\u4e2d", "\u00e9\u4e2d"),
        ("APP_NAME=", "Task Management API"),
        ("#APP_NAME=Tasks", "Task Management API"),
    ],
)
def test_a_line_of_the_env_file_is_read_as_people_mean_it(
    tmp_path: Path, line: str, value: str
) -> None:
    (tmp_path / ".env").write_bytes(line.encode())
    assert Settings.load(tmp_path).app_name == value


@pytest.mark.parametrize("value", ['"abc', '"a"b"', "'a'b", '"a\\"', "'it's'"])
def test_quotes_that_do_not_match_are_named_and_not_shown(tmp_path: Path, value: str) -> None:
    (tmp_path / ".env").write_text(f"SECRET_KEY={value}\nB=c")
    with pytest.raises(Misconfigured, match="SECRET_KEY has quotes that do not match") as raised:
        environment(tmp_path)
    assert value not in str(raised.value)


@pytest.mark.usefixtures("environ")
def test_the_env_file_of_the_seed_is_understood_and_its_key_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# Database\n"
        "DATABASE_URL=postgresql://user:password@host:5432/dbname\n\n"
        "# JWT\n"
        "SECRET_KEY=your-secret-key-min-32-chars\n"
        "ALGORITHM=HS256\n"
        "ACCESS_TOKEN_EXPIRE_MINUTES=30\n"
        "REFRESH_TOKEN_EXPIRE_DAYS=7\n\n"
        "# App\n"
        "APP_NAME=Task Management API\n"
        "APP_VERSION=1.0.0\n"
        "DEBUG=False\n\n"
        "# CORS\n"
        'CORS_ORIGINS=["http://localhost:3000"]\n\n'
        "# Server\n"
        "SERVER_HOST=0.0.0.0\n"
        "SERVER_PORT=8000\n"
    )
    with pytest.raises(Misconfigured) as raised:
        Settings.load(tmp_path)
    (problem,) = raised.value.problems
    assert problem.startswith("SECRET_KEY ")
    file = tmp_path / ".env"
    file.write_text(file.read_text().replace("your-secret-key-min-32-chars", KEY))
    found = Settings.load(tmp_path)
    assert found.server_host == "0.0.0.0"  # noqa: S104 - what the seed says
    assert found.cors_origins == ("http://localhost:3000",)


@pytest.mark.usefixtures("environ")
def test_the_real_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("APP_NAME=file\nAPP_VERSION=file\n")
    monkeypatch.setenv("APP_NAME", "real")
    found = Settings.load(tmp_path)
    assert (found.app_name, found.app_version) == ("real", "file")


@pytest.mark.usefixtures("environ")
def test_the_env_file_is_that_of_the_working_directory_and_need_not_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.load().app_name == "Task Management API"
    (tmp_path / ".env").write_text("APP_NAME=here")
    assert Settings.load().app_name == "here"


def test_an_env_file_that_cannot_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured) as raised:
        environment(tmp_path)
    assert raised.value.problems[0].startswith(".env ")
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    with pytest.raises(Misconfigured):
        environment(tmp_path)


# Secrets stay secret


def every_text_of(found: Settings) -> list[str]:
    spoken: list[Any] = [found, found.shown(), asdict(found), vars(found), [found.database_url]]
    texts = [f"{thing!r} {thing!s} {thing}" for thing in spoken]
    return [*texts, f"{found.secret_key} {found.secret_key!s} {found.secret_key!a}"]


def test_no_secret_shows_wherever_settings_are_printed() -> None:
    found = settings(DATABASE_URL=URL, SECRET_KEY=KEY)
    for text in every_text_of(found):
        assert "hunter2" not in text
        assert KEY not in text
    assert found.secret_key
    assert found.secret_key.reveal() == KEY


def test_every_variable_of_the_contract_can_be_shown() -> None:
    assert set(settings().shown()) == {
        *("DATABASE_URL", "SECRET_KEY", "ALGORITHM", "ACCESS_TOKEN_EXPIRE_MINUTES"),
        *("REFRESH_TOKEN_EXPIRE_DAYS", "APP_NAME", "APP_VERSION", "DEBUG", "CORS_ORIGINS"),
        *("SERVER_HOST", "SERVER_PORT", "DATA_DIR", "WORKERS", "LOG_LEVEL"),
        *("LOG_FORMAT", "SECRET_KEYS_OLD", "RATE_LIMITS", "TRUSTED_PROXIES", "ALLOWED_HOSTS"),
        *("DOCS_ENABLED", "LOGIN_FAILURE_FLOOR_MS", "MAX_TASKS_PER_USER", "TRASH_DAYS"),
        *("TASKCLI_AS", "EVENTS_DAYS", "CORS_HEADERS", "DRAIN_SECONDS"),
        *("METRICS_ADDRESS", "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"),
        *("DATABASE_POOLER", "DATABASE_POOL_SIZE", "DATABASE_READ_URL"),
    }
    shown = settings(DATABASE_URL=URL, SECRET_KEY=KEY, ACCESS_TOKEN_EXPIRE_MINUTES="90").shown()
    assert shown["ACCESS_TOKEN_EXPIRE_MINUTES"] == 90
    assert shown["DATABASE_URL"] == shown["SECRET_KEY"] == "(set, not shown)"
    assert settings().shown()["SECRET_KEY"] != shown["SECRET_KEY"]


def test_secrets_compare_by_what_they_hide() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not hasattr(Secret("a"), "__dict__")


def test_settings_with_a_secret_are_copied_and_never_written_out() -> None:
    found = settings(DATABASE_URL=URL, SECRET_KEY=KEY)
    assert copy.deepcopy(found) == copy.copy(found) == found
    for written in (pickle.dumps, msgspec.json.encode, json.dumps):
        with pytest.raises(TypeError):
            written(found)
    text = json.dumps(asdict(found), default=str)
    assert "hunter2" not in text
    assert KEY not in text
