"""`taskcli users delete` for an account of many tasks, and `taskcli housekeeping`."""

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
import pytest

from tests.cli.conftest import Taskcli
from tests.cli.programs import Terminal, start
from tests.cli.test_processes import await_row

DELETE = ("users", "delete", "ada@example.org", "--yes")
MANY = 2001  # more than one batch


@pytest.fixture
def ada(database: str, make_user: Callable[..., str]) -> str:
    number = make_user("ada@example.org")
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO tasks (id, title, owner_id)"
            " SELECT nextval('tasks_id_seq'), 'x', %s FROM generate_series(1, %s)",
            [number, MANY],
        )
        connection.execute("INSERT INTO streams (owner_id, live) VALUES (%s, %s)", [number, MANY])
    return number


def rows(database: str, table: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 - a name of ours
    return int(found[0]) if found else -1


def test_deleting_a_user_removes_many_tasks_to_the_end(
    database: str, ada: str, taskcli: Taskcli
) -> None:
    deleted = taskcli(*DELETE)
    message = f"taskcli: deleted user {ada}, ada@example.org\n"
    assert (deleted.code, deleted.out, deleted.err) == (0, "", message)
    assert (rows(database, "tasks"), rows(database, "users")) == (0, 0)


def test_housekeeping_prints_what_it_has_removed(
    database: str, ada: str, make_user: Callable[..., str], taskcli: Taskcli
) -> None:
    make_user("bob@example.org")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE users SET removed_at = now() WHERE id = %s", [ada])
        connection.execute(
            "INSERT INTO sessions (id, user_id, expires_at)"
            " SELECT gen_random_uuid(), id, now() FROM users WHERE removed_at IS NULL"
        )
        connection.execute("INSERT INTO rate_limits VALUES ('x', now()), ('y', now())")
    done = taskcli("housekeeping", "--json")
    assert (done.code, done.err) == (0, "")
    removed = {
        "accounts": 1,
        "tasks": MANY,
        "events": 0,
        "trash": 0,
        "sessions": 1,
        "keys": 0,
        "limits": 2,
    }
    removed["index_bytes"] = 0
    assert json.loads(done.out) == removed
    assert (rows(database, "tasks"), rows(database, "users")) == (0, 1)
    nothing = taskcli("housekeeping")
    assert (nothing.code, nothing.out.split("\n")[0]) == (0, "deleted accounts\t0")
    tried = taskcli("housekeeping", "--dry-run")
    for shown, names in (
        (nothing, removed.keys()),
        (tried, removed.keys() - {"limits", "index_bytes"}),
    ):
        kinds = [line.partition("\t")[0] for line in shown.out.splitlines()]
        assert len(kinds) == len(names)
        assert not names & {*kinds}  # all in words


@pytest.mark.usefixtures("ada")
def test_an_interrupted_deletion_is_a_deletion_and_the_next_command_goes_on(
    database: str, settings: Mapping[str, str], tmp_path: Path, taskcli: Taskcli
) -> None:
    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as observer:
        other.execute("SELECT FROM tasks ORDER BY id LIMIT 1 FOR UPDATE")
        process = start(*DELETE, env=settings, cwd=tmp_path)
        await_row(observer, "wait_event_type = 'Lock'")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"deleted user" in err
    assert taskcli("users", "show", "ada@example.org").code == 65
    assert rows(database, "tasks") > 0
    assert taskcli("housekeeping").code == 0
    assert rows(database, "tasks") == 0


@pytest.mark.usefixtures("ada")
def test_a_terminal_shows_how_much_is_left(
    database: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    with Terminal(*DELETE, env=settings, cwd=tmp_path) as terminal:
        terminal.expect("removed: tasks 2000")
        assert terminal.wait() == 0
    assert rows(database, "tasks") == 0
