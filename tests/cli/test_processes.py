"""What needs a separate process: streams, pipes, signals, a terminal, DATA_DIR."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.cli.programs import COMMAND, Result, Terminal, environment, run, start
from tests.factories import PASSWORD

MakeUser = Callable[..., str]
DELETE = ("users", "delete", "ada@example.org")
CREATE = ("users", "create", "--email", "ada@example.org")


@pytest.fixture
def ada(make_user: MakeUser) -> str:
    return make_user("ada@example.org")


def count_users(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM users").fetchone()
    assert row
    return int(row[0])


@pytest.mark.usefixtures("ada")
def test_data_goes_to_stdout_and_messages_to_stderr(
    settings: Mapping[str, str], tmp_path: Path
) -> None:
    listed = run("users", "list", "--json", env={**settings, "LOG_LEVEL": "DEBUG"}, cwd=tmp_path)
    assert listed.code == 0
    assert json.loads(listed.out)["total"] == 1
    assert "DEBUG" in listed.err
    refused = run("users", "show", "0", env=settings, cwd=tmp_path)
    assert (refused.code, refused.out) == (65, "")
    assert refused.err == "taskcli: there is no user 0\n"


@pytest.mark.usefixtures("ada")
def test_variables_for_other_programs_on_postgresql_change_nothing(
    settings: Mapping[str, str], tmp_path: Path
) -> None:
    other = {"PGSERVICE": "none", "PGHOSTADDR": "192.0.2.1", "PGCLIENTENCODING": "LATIN1"}
    other |= {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "German"}
    shown = run("users", "show", "ada@example.org", env={**settings, **other}, cwd=tmp_path)
    assert shown == run("users", "show", "ada@example.org", env=settings, cwd=tmp_path)
    assert (shown.code, shown.err) == (0, "")


def test_an_argument_that_is_not_utf_8_is_bad_data(tmp_path: Path) -> None:
    refused = run("users", "show", b"caf\xe9", env=environment(), cwd=tmp_path)
    assert (refused.code, refused.out) == (65, "")
    assert refused.err == "taskcli: an argument is not valid UTF-8\n"


def test_a_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    process = start("config", "show", env=environment(), cwd=tmp_path)
    assert process.stdout
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")


def redirected(redirection: str, *arguments: str, cwd: Path) -> Result:
    """Run a command with streams redirected by the shell."""
    done = subprocess.run(  # noqa: S603 - our own program
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("redirection", "sentence"),
    [
        (">/dev/full", "taskcli: the output cannot be written: No space left on device\n"),
        (">&-", "taskcli: standard output is closed\n"),
    ],
)
@pytest.mark.parametrize("command", [("config", "show"), ("openapi",)])
def test_output_that_is_lost_is_a_failure(
    tmp_path: Path, redirection: str, sentence: str, command: tuple[str, ...]
) -> None:
    done = redirected(redirection, *command, cwd=tmp_path)
    assert (done.code, done.err) == (1, sentence)


def test_closed_streams_give_their_numbers_to_nothing_else() -> None:
    program = (
        "import os; from taskcli.standard_streams import fill_closed; fill_closed();"
        "os._exit(os.open('/dev/null', os.O_RDONLY))"
    )
    command = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(command, env=environment(), check=False).returncode > 2  # noqa: S603 - ours


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_the_exit_code_is_right_even_if_no_message_can_be_written(
    tmp_path: Path, redirection: str
) -> None:
    done = redirected(redirection, "users", "shw", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")


def test_letters_that_the_encoding_lacks_are_escaped(tmp_path: Path) -> None:
    env = environment(APP_NAME="Größe", PYTHONIOENCODING="ascii")
    assert "Gr\\xf6\\xdfe" in run("config", "show", env=env, cwd=tmp_path).out


@pytest.mark.usefixtures("ada")
def test_a_deletion_asks_for_confirmation_with_the_users_name(
    database: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    with Terminal(*DELETE, env=settings, cwd=tmp_path) as terminal:
        terminal.expect("ada@example.org (user), with 0 tasks and every session? [y/N] ")
        terminal.type("\n")
        assert terminal.wait() == 1
    assert "nothing was deleted" in terminal.output
    assert count_users(database) == 1
    with Terminal(*DELETE, env=settings, cwd=tmp_path) as terminal:
        terminal.expect("[y/N] ")
        terminal.type("y\n")
        assert terminal.wait() == 0
    assert count_users(database) == 0


@pytest.mark.parametrize(
    ("interrupt", "code"),
    [
        (lambda terminal: terminal.type("\x03"), 130),
        (lambda terminal: terminal.send(signal.SIGTERM), 143),
        pytest.param(lambda terminal: terminal.send(signal.SIGHUP), 129, marks=pytest.mark.long),
    ],
    ids=["ctrl-C", "SIGTERM", "SIGHUP"],
)
@pytest.mark.usefixtures("ada")
def test_a_confirmation_that_is_interrupted_deletes_nothing(
    database: str,
    settings: Mapping[str, str],
    tmp_path: Path,
    interrupt: Callable[[Terminal], None],
    code: int,
) -> None:
    with Terminal(*DELETE, env=settings, cwd=tmp_path) as terminal:
        terminal.expect("[y/N] ")
        interrupt(terminal)
        assert terminal.wait() == code
    assert "Traceback" not in terminal.output
    assert count_users(database) == 1


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)],
)
def test_a_command_that_is_interrupted_is_rolled_back(
    database: str,
    settings: Mapping[str, str],
    tmp_path: Path,
    ada: str,
    number: signal.Signals,
    code: int,
) -> None:
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as observer:
        other.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [int(ada)])
        process = start("users", "deactivate", ada, env=settings, cwd=tmp_path)
        waiting = "wait_event_type = 'Lock'"
        await_row(observer, waiting)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (code, b"", b"")
        await_row(observer, waiting, rows=0)
        assert other.execute("SELECT is_active FROM users").fetchall() == [(True,)]


def await_row(connection: psycopg.Connection, condition: str, *, rows: int = 1) -> None:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {condition}"  # noqa: S608 - a constant of this file
    deadline = time.monotonic() + 30
    while connection.execute(query.encode()).fetchall() != [(rows,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)


def test_a_password_is_typed_twice_and_never_shown(
    database: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    with Terminal(*CREATE, env=settings, cwd=tmp_path) as terminal:
        terminal.expect("Password: ")
        terminal.type(PASSWORD + "\n")
        terminal.expect("The same again: ")
        terminal.type(PASSWORD + "\n")
        assert terminal.wait() == 0
    assert "ada@example.org" in terminal.output
    assert PASSWORD not in terminal.output
    assert count_users(database) == 1


@pytest.mark.parametrize(
    ("answers", "code", "sentence"),
    [
        ([PASSWORD + "\n", "something else\n"], 65, "not the same the second time"),
        pytest.param(["\n"], 65, "password: is empty", marks=pytest.mark.long),
        (["\x04"], 65, "password: is empty"),
        (["\x03"], 130, ""),
    ],
    ids=["mismatch", "empty", "ctrl-D", "ctrl-C"],
)
def test_without_a_password_no_user_is_created(
    tmp_path: Path, answers: list[str], code: int, sentence: str
) -> None:
    with Terminal(*CREATE, env=environment(), cwd=tmp_path) as terminal:
        for prompt, answer in zip(("Password: ", "The same again: "), answers, strict=False):
            terminal.expect(prompt)
            terminal.type(answer)
        assert terminal.wait() == code
    assert sentence in terminal.output
    assert "Traceback" not in terminal.output


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long), (signal.SIGHUP, 129)],
)
def test_a_password_prompt_that_is_interrupted_restores_the_terminal(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with Terminal(*CREATE, env=environment(), cwd=tmp_path) as terminal:
        terminal.expect("Password: ")
        assert not terminal.echoes
        terminal.send(number)
        assert terminal.wait() == code
        assert terminal.echoes


@pytest.mark.usefixtures("ada")
def test_control_characters_in_data_do_not_reach_the_terminal(
    database: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO tasks (id, title, owner_id)"
            " SELECT nextval('tasks_id_seq'), %s, id FROM users",
            ["\x1b]0;owned\x07[red]\u202ebar\nfoo"],
        )
    shown = run("tasks", "list", env=settings, cwd=tmp_path)
    wide = {**settings, "COLUMNS": "200"}  # so that the title is not cut, however long the ids are
    with Terminal("tasks", "list", env=wide, cwd=tmp_path) as terminal:
        assert terminal.wait() == 0
    for output in (shown.out, terminal.output):
        assert "\\x1b]0;owned\\x07[red]\\u202ebar\\nfoo" in output
        assert not [raw for raw in ("\x1b]", "\x07", "\u202e") if raw in output]
    assert "\x1b" not in shown.out


class TestWithTheEmbeddedDatabase:
    @pytest.fixture
    def env(self, tmp_path: Path) -> Iterator[Mapping[str, str]]:
        yield environment(DATA_DIR=str(tmp_path / "data"))
        # The last command stopped the server: no process works in the folder.
        left = [link for link in Path("/proc").glob("[0-9]*/cwd") if str(tmp_path) in target(link)]
        assert left == []

    def test_two_commands_at_once_share_one_server_and_sigterm_at_a_prompt_releases_it(
        self, env: Mapping[str, str], tmp_path: Path
    ) -> None:
        def create(name: str) -> int:
            options = ("--email", f"{name}@example.org", "--password-stdin")
            return run(
                "users", "create", *options, env=env, cwd=Path("/"), stdin=PASSWORD.encode()
            ).code

        with ThreadPoolExecutor() as both:
            assert list(both.map(create, ["ada", "bob"])) == [0, 0]
        listed = run("users", "list", "--json", env=env, cwd=Path("/"))
        assert json.loads(listed.out)["total"] == 2
        assert not (tmp_path / "data" / "secret.key").exists()  # of no use yet
        with Terminal(*DELETE, env=env, cwd=Path("/")) as terminal:
            terminal.expect("[y/N] ")
            diagnosis = run("doctor", env=env, cwd=Path("/"))  # while the other command waits
            assert " answers" in diagnosis.out
            assert diagnosis.code == 0
            terminal.send(signal.SIGTERM)
            assert terminal.wait() == 143

    @pytest.mark.long
    def test_a_look_at_an_older_schema_does_not_migrate_it(self, env: Mapping[str, str]) -> None:
        assert run("db", "upgrade", "--revision", "0010", env=env, cwd=Path("/")).code == 0
        assert run("db", "check", env=env, cwd=Path("/")).code == 1
        diagnosis = run("doctor", env=env, cwd=Path("/"))
        assert (diagnosis.code, "older than this version needs" in diagnosis.out) == (1, True)
        assert run("db", "current", env=env, cwd=Path("/")).out == "0010\n"
        assert run("users", "list", env=env, cwd=Path("/")).code == 0
        assert run("db", "check", env=env, cwd=Path("/")).code == 0


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # the process has ended
        return ""
