"""Every error has an exit code, and a command for every exit code."""

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from taskcli import config, exits, signals
from taskcore import (
    Misconfigured,
    Settings,
    TaskcoreError,
    TooMany,
)
from tests.api.served import as_url
from tests.cli.conftest import KEY, Taskcli

MakeUser = Callable[..., str]


def subclasses(kind: type[TaskcoreError]) -> Iterator[type[TaskcoreError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_has_an_exit_code() -> None:
    errors = set(subclasses(TaskcoreError))
    assert exits.CODES.keys() <= errors
    codes = {error: exits.code_of(error) for error in errors}
    without = {error for error, code in codes.items() if code not in {65, 69, 74, 75, 77, 78}}
    assert not without, "give them a code in CODES in src/taskcli/exits.py"


@pytest.mark.usefixtures("database")
def test_0_done(taskcli: Taskcli) -> None:
    assert taskcli("users", "list").code == 0


def test_1_unexpected_error(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the moon is blue\nDETAIL: secrets")

    monkeypatch.setattr(config, "settings", fail)
    failed = taskcli("config", "show")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith("taskcli: unexpected RuntimeError: the moon is blue\n")
    assert "Traceback" not in failed.err
    assert "secrets" not in failed.err
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert "Traceback" in taskcli("config", "show").err


@pytest.mark.usefixtures("bare_database")
def test_1_the_answer_is_no(taskcli: Taskcli) -> None:
    assert taskcli("db", "check").code == 1


def test_2_the_command_line_is_wrong(taskcli: Taskcli) -> None:
    assert taskcli("users", "list", "--limit", "many").code == 2


@pytest.mark.usefixtures("database")
def test_65_bad_data(taskcli: Taskcli) -> None:
    assert taskcli("users", "show", "not an address").code == 65


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("word", ["caf\udce9", "\udcff"])
def test_65_an_argument_that_is_not_utf_8(taskcli: Taskcli, word: str) -> None:
    refused = taskcli("users", "show", word)
    assert (refused.code, refused.err) == (65, "taskcli: an argument is not valid UTF-8\n")


@pytest.mark.parametrize("command", [("users", "list"), ("db", "upgrade")])
def test_69_the_database_cannot_be_reached(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:sesame@/tasks?host=/nonexistent")
    monkeypatch.setenv("SECRET_KEY", KEY)
    refused = taskcli(*command)
    assert (refused.code, refused.out) == (69, "")
    # With the reason, as a server that starts says it.
    assert refused.err.startswith("taskcli: The database cannot be reached: ")
    assert "No such file or directory" in refused.err
    assert "sesame" not in refused.err


def test_69_there_is_no_such_database(
    database: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", as_url(make_conninfo(database, dbname="nosuch")))
    refused = taskcli("users", "list")
    assert refused.code == 69
    assert refused.err.endswith('FATAL: database "nosuch" does not exist\n')


def test_75_the_row_is_locked(database: str, make_user: MakeUser, taskcli: Taskcli) -> None:
    number = make_user("ada@example.org")
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [int(number)])
        busy = taskcli("users", "deactivate", number)
    assert (busy.code, busy.out) == (75, "")
    assert "try again" in busy.err


def test_75_too_many_requests(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise TooMany

    monkeypatch.setattr(config, "settings", refuse)
    assert taskcli("config", "show").code == 75


def test_77_not_permitted(make_user: MakeUser, taskcli: Taskcli) -> None:
    make_user("ada@example.org")
    make_user("bob@example.org")
    refused = taskcli("tasks", "list", "--as", "ada@example.org", "--owner", "bob@example.org")
    assert refused.code == 77


def test_78_the_configuration_is_wrong(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql:///tasks")
    refused = taskcli("users", "list")
    assert refused.code == 78
    assert "SECRET_KEY is required" in refused.err


def test_78_something_is_not_installed(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskcli import command_list  # noqa: PLC0415

    monkeypatch.setattr(command_list, "COMMANDS", (("", "serve", (), "", "tests.cli.absent:app"),))
    refused = taskcli("serve")
    assert refused.code == 78
    assert "tests.cli.absent is not installed" in refused.err


def test_a_message_may_have_several_lines(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise Misconfigured(["A is \x1b[31mred", "B is missing"])

    monkeypatch.setattr(config, "settings", refuse)
    assert taskcli("config", "show").err == "taskcli: A is \\x1b[31mred\n  B is missing\n"


def test_under_nohup_a_command_survives_sighup(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Settings.from_env({})

    async def hang_up() -> Settings:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return loaded

    def settings() -> Settings:
        os.kill(os.getpid(), signal.SIGHUP)
        return signals.run(hang_up())

    monkeypatch.setattr(config, "settings", settings)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert taskcli("config", "show").code == 0
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_role_without_rights_is_told_who_has_them(
    bare_database: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"role_{secrets.token_hex(4)}"
    with psycopg.connect(bare_database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        try:
            theirs = f"{bare_database}&options=-c%20role%3D{role}"
            monkeypatch.setenv("DATABASE_URL", theirs)
            refused = taskcli("db", "upgrade")
            assert "run this with the owner's DATABASE_URL" in refused.err
            monkeypatch.setenv("DATABASE_URL", bare_database)
            assert taskcli("db", "upgrade").code == 0
            monkeypatch.setenv("DATABASE_URL", theirs)
            assert "`taskcli doctor` names each" in taskcli("db", "check").err
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())
