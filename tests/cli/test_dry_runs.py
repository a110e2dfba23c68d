"""`--dry-run`: what would be removed is said, and nothing is removed."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from taskcore import SYSTEM, Actor, Core
from tests.backups.stored import content
from tests.cli.conftest import Taskcli
from tests.conftest import ManualClock
from tests.factories import PASSWORD


@pytest.fixture
def task(core: Core) -> int:
    async def make() -> int:
        ada = await core.accounts.find(SYSTEM, "ada@example.org")
        assert ada
        return (await core.tasks.create(Actor(ada.id, ada.role), title="Write")).id

    return asyncio.run(make())


def totals(taskcli: Taskcli, *nouns: str) -> list[int]:
    return [json.loads(taskcli(noun, "list", "--json").out)["total"] for noun in nouns]


def test_a_user_is_shown_with_what_would_go(taskcli: Taskcli, task: int) -> None:
    _ = task
    before = totals(taskcli, "users", "tasks")
    tried = taskcli("users", "delete", "ada@example.org", "--dry-run")
    assert (tried.code, tried.out) == (0, "")
    assert "would delete user 1, ada@example.org (user), with 1 tasks" in tried.err
    assert totals(taskcli, "users", "tasks") == before
    assert taskcli("users", "delete", "eve@example.org", "--dry-run").code == 65


def test_the_last_administrator_is_refused_as_without_it(taskcli: Taskcli, core: Core) -> None:
    _ = core
    assert taskcli("users", "set-role", "ada@example.org", "admin").code == 0
    tried = taskcli("users", "delete", "ada@example.org", "--dry-run")
    assert tried == taskcli("users", "delete", "ada@example.org", "--yes")
    assert tried.code == 65


def test_a_task_stays_where_it_is(taskcli: Taskcli, task: int) -> None:
    number = str(task)
    tried = taskcli("tasks", "delete", number, "--dry-run")
    assert (tried.code, tried.err) == (
        0,
        f'taskcli: would move task {number}, "Write", of ada@example.org, to the trash\n',
    )
    for refused, code in (
        (("tasks", "delete", number, "--expected-version", "9"), 65),
        (("tasks", "delete", number, "--as", "bob@example.org"), 65),
        (("tasks", "purge", number), 65),
    ):
        assert taskcli(*refused, "--dry-run").code == code
    assert taskcli("tasks", "delete", number, "--yes").code == 0
    purged = taskcli("tasks", "purge", number, "--dry-run")
    assert (purged.code, purged.err) == (
        0,
        f'taskcli: would remove task {number}, "Write", of ada@example.org, for good\n',
    )
    assert taskcli("tasks", "restore", number).code == 0


def test_sessions_go_on(taskcli: Taskcli, core: Core) -> None:
    asyncio.run(core.sessions.log_in(email="ada@example.org", password=PASSWORD))
    (session,) = json.loads(taskcli("sessions", "list", "--json").out)["items"]
    number = session["id"]
    for words, said in (
        ((number,), f"would end session {number}\n"),
        (("--all",), "would end all sessions of all users: 1\n"),
        (("--user", "bob@example.org"), "would end all sessions of bob@example.org: 0\n"),
    ):
        tried = taskcli("sessions", "revoke", *words, "--dry-run")
        assert (tried.code, tried.err) == (0, f"taskcli: {said}")
    assert taskcli("sessions", "revoke", str(uuid4()), "--dry-run").code == 65
    assert totals(taskcli, "sessions") == [1]


def test_housekeeping_counts_what_it_would_remove(
    taskcli: Taskcli, task: int, core: Core, clock: ManualClock
) -> None:
    _ = core
    assert taskcli("tasks", "delete", str(task), "--yes").code == 0
    clock.advance(days=31)
    for _ in range(2):
        assert json.loads(taskcli("housekeeping", "--dry-run", "--json").out)["trash"] == 1
    assert json.loads(taskcli("housekeeping", "--json").out)["trash"] == 1
    assert json.loads(taskcli("housekeeping", "--dry-run", "--json").out)["trash"] == 0


def test_a_restore_says_what_it_would_put_where_and_whether_it_may(
    taskcli: Taskcli,
    database: str,
    make_user: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    make_user("ada@example.org")
    assert taskcli("backup", "b.zip").code == 0
    before = content(database)
    refused = taskcli("restore", "b.zip", "--dry-run")
    assert (refused.code, "--replace" in refused.err) == (65, True)
    tried = taskcli("restore", "b.zip", "--replace", "--dry-run")
    assert (tried.code, content(database)) == (0, before)
    assert "would restore" in tried.err
    assert "users 1" in tried.err
    monkeypatch.delenv("DATABASE_URL")
    tried = taskcli("restore", "b.zip", "--dry-run")
    assert (tried.code, f"into {tmp_path / 'data'}" in tried.err) == (0, True)
    assert not (tmp_path / "data").exists()
