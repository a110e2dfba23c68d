"""`taskcli tasks history|revert` and `taskcli changes`."""

import json
from typing import Any

import pytest

from taskcli import list_pages
from taskcore import Core
from tests.cli.conftest import Taskcli
from tests.conftest import ManualClock

ADA = ("--as", "ada@example.org")


@pytest.fixture
def task(core: Core, taskcli: Taskcli, clock: ManualClock) -> str:
    """The id of a task of Ada's, in its second version."""
    _ = core  # which the command uses
    made = taskcli("tasks", "create", *ADA, "--title", "Write", "--label", "home", "--json")
    number = str(json.loads(made.out)["id"])
    clock.advance(hours=1)
    assert taskcli("tasks", "edit", number, "--title", "Read", "--priority", "high").code == 0
    return number


def printed(taskcli: Taskcli, *command: str) -> Any:
    done = taskcli(*command, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_history_says_who_changed_what(task: str, taskcli: Taskcli) -> None:
    page = printed(taskcli, "tasks", "history", task, "--limit", "1")
    (latest,) = page["items"]
    assert latest == {
        "position": 2,
        "type": "task.updated",
        "at": "2030-01-02T04:04:05.678901Z",
        "actor_id": None,
        "version": 2,
        "changes": {
            "title": {"from": "Write", "to": "Read"},
            "priority": {"from": "none", "to": "high"},
        },
    }
    rest = taskcli("tasks", "history", task, *ADA, "--cursor", page["next_cursor"])
    assert rest.out.splitlines()[0].split("\t") == ["at", "type", "actor", "version", "changes"]
    assert rest.out.splitlines()[1].split("\t")[1:] == [
        *("task.created", "ada@example.org", "1", "title=Write, labels=home"),
    ]
    assert taskcli("tasks", "history", "99").code == 65


def test_people_see_what_a_field_was_and_who_changed_it(task: str, taskcli: Taskcli) -> None:
    assert taskcli("users", "set-role", "bob@example.org", "admin").code == 0
    bob = ("--as", "bob@example.org", "--label", "work", "--due", "2030-03-01 9:00")
    assert taskcli("tasks", "edit", task, *bob).code == 0
    due = "due_at=- -> 2030-03-01 09:00:00Z, time_zone=- -> UTC, labels=home -> work"
    read = "title=Write -> Read, priority=none -> high"
    unknown = "administrator 2"  # whose address Ada may not know
    for whose, by in (((), "bob@example.org"), (ADA, unknown)):
        rows = taskcli("tasks", "history", task, *whose).out.splitlines()[1:3]
        assert [row.split("\t")[2:] for row in rows] == [[by, "3", due], ["operator", "2", read]]


def test_a_history_goes_on_in_the_trash(task: str, taskcli: Taskcli) -> None:
    assert taskcli("tasks", "delete", task, "--yes").code == 0
    rows = taskcli("tasks", "history", task, *ADA).out.splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == ["task.trashed", "task.updated", "task.created"]
    assert taskcli("tasks", "history", task, "--as", "bob@example.org").code == 65


def test_a_terminal_shows_old_and_new_values_whole_beneath_their_row(
    task: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ("old", "new"):
        text = f"{words} " * 20
        assert taskcli("tasks", "edit", task, "--description", text.strip()).code == 0
    monkeypatch.setattr(list_pages, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "66")
    shown = taskcli("tasks", "history", task, "--limit", "3")
    heading, _, *rows = shown.out.splitlines()
    assert heading.split() == ["at", "type", "actor", "version"]
    assert (rows[0].split()[-1], rows[-3].split()[-1]) == ("4", "2")
    assert rows[1:5] == [
        f"    description:{' old' * 12}",
        f"    {'old ' * 8}".rstrip(),
        f"    ->{' new' * 15}",
        f"    {'new ' * 5}".rstrip(),
    ]
    assert rows[-2:] == ["    title: Write -> Read", "    priority: none -> high"]
    assert "too narrow" not in shown.err


def test_a_task_is_reverted(task: str, taskcli: Taskcli) -> None:
    revert = ("tasks", "revert", task, "--version")
    assert taskcli(*revert, "1", "--expected-version", "1").code == 65
    assert printed(taskcli, *revert, "1", *ADA)["title"] == "Write"
    gone = taskcli(*revert, "9")
    assert (gone.code, gone.err) == (65, "taskcli: The task has the versions 1 to 3\n")
    assert taskcli("tasks", "revert", task).code == 2


def test_changes_are_shown_since_a_cursor(task: str, taskcli: Taskcli) -> None:
    present = printed(taskcli, "changes", *ADA)
    assert (present["items"], present["has_more"]) == ([], False)
    cursor = present["cursor"]
    edited = printed(taskcli, "tasks", "edit", task, "--title", "Third")
    page = printed(taskcli, "changes", *ADA, "--cursor", cursor)
    assert page["items"] == [
        {"type": "task", "id": int(task), "change": "upserted", "task": edited}
    ]
    heading, row = taskcli("changes", *ADA, "--cursor", cursor).out.splitlines()
    assert heading.split("\t") == ["id", "change", "version", "status", "title"]
    assert row.split("\t") == [task, "upserted", "3", "todo", "Third"]
    assert taskcli("tasks", "delete", task, "--yes").code == 0
    shown = taskcli("changes", *ADA, "--cursor", cursor)
    assert shown.out.splitlines()[1:] == [f"{task}\tremoved\t-\t-\t-"]
    assert "that is all for now; --cursor " in shown.err


def test_changes_are_those_of_a_user_and_of_a_cursor_of_theirs(task: str, taskcli: Taskcli) -> None:
    assert taskcli("changes").code == 2
    cursor = printed(taskcli, "changes", *ADA)["cursor"]
    assert taskcli("changes", "--as", "bob@example.org", "--cursor", cursor).code == 65
    assert taskcli("changes", *ADA, "--cursor", cursor, "--limit", "501").code == 65
    assert task
