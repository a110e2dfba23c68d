"""Runs commands in this process, because that is fast; `programs` runs them as processes."""

import asyncio
import io
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from taskcli.main import exit_code
from taskcore import SYSTEM, Core
from taskcore.adapters.memory import memory_core
from taskcore.adapters.scrypt import ScryptHasher
from tests.api.served import as_url
from tests.cli.in_process import use_core
from tests.cli.programs import Result, environment
from tests.conftest import ManualClock, emptied, new_database
from tests.factories import PASSWORD

KEY = "a key for tests, of 0123456789 many letters"

Taskcli = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Restore SIGINT and SIGHUP: background jobs and their children ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def taskcli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Taskcli:
    """Runs a command with text or bytes on standard input, and returns its result."""
    for name, value in environment(DATA_DIR=str(tmp_path / "data")).items():
        monkeypatch.setenv(name, value)
    for name in ("DATABASE_URL", "SECRET_KEY", "LOG_LEVEL", "DEBUG", "TASKCLI_AS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, stdin: str | bytes = b"") -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        capsys.readouterr()
        code = exit_code(arguments)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return command


@pytest.fixture
def database(database_url: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database with the current schema, which `taskcli` uses too."""
    _ = taskcli  # sets the environment first
    emptied(database_url)
    monkeypatch.setenv("DATABASE_URL", as_url(database_url))
    monkeypatch.setenv("SECRET_KEY", KEY)
    return database_url


@pytest.fixture
def core(taskcli: Taskcli, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Core:
    """A core in memory, which `taskcli` uses too; with Ada and Bob, who are users."""
    _ = taskcli  # sets the environment first
    made = memory_core(clock=clock, hasher=ScryptHasher(n=2, r=1, p=1))

    async def people() -> None:
        for email in ("ada@example.org", "bob@example.org"):
            await made.accounts.create(SYSTEM, email=email, password=PASSWORD)

    asyncio.run(people())
    use_core(made, monkeypatch)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/none")
    monkeypatch.setenv("SECRET_KEY", KEY)
    return made


@pytest.fixture
def bare_database(
    database_url: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A database without a schema, which `taskcli` uses too."""
    _ = taskcli  # sets the environment first
    with new_database(database_url) as url:
        monkeypatch.setenv("DATABASE_URL", as_url(url))
        monkeypatch.setenv("SECRET_KEY", KEY)
        yield as_url(url)


@pytest.fixture
def settings(database: str) -> dict[str, str]:
    """The environment of a process that uses the database."""
    return environment(DATABASE_URL=as_url(database), SECRET_KEY=KEY)


@pytest.fixture
def make_user(database: str) -> Callable[..., str]:
    """Inserts a user, and returns the id."""

    def make(email: str, role: str = "user") -> str:
        with psycopg.connect(database) as connection:
            row = connection.execute(
                "INSERT INTO users (email, email_key, hashed_password, role)"
                " VALUES (%(email)s, %(email)s, 'none', %(role)s) RETURNING id",
                {"email": email, "role": role},
            ).fetchone()
        assert row
        return str(row[0])

    return make
