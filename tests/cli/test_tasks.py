"""`taskcli tasks`, as the operator and as a user."""

import json
from collections.abc import Callable
from dataclasses import fields

import pytest

from taskcore import Task
from taskcore.domain.tasks import TaskChanges
from tests.cli.conftest import Taskcli

MakeUser = Callable[..., str]


@pytest.fixture
def people(make_user: MakeUser) -> None:
    make_user("ada@example.org")
    make_user("bob@example.org")


@pytest.fixture
def task(people: None, taskcli: Taskcli) -> str:
    """The id of a task of Ada's."""
    assert people is None
    made = taskcli("tasks", "create", "--as", "ada@example.org", "--title", "Write", "--json")
    return str(json.loads(made.out)["id"])


@pytest.mark.usefixtures("people")
def test_a_task_belongs_to_the_user_that_it_is_created_as(taskcli: Taskcli) -> None:
    made = taskcli(
        *("tasks", "create", "--as", "ada@example.org", "--title", "Write"),
        *("--description", "To Bob", "--json"),
    )
    assert (made.code, made.err) == (0, "")
    task = json.loads(made.out)
    assert list(task) == [field.name for field in fields(Task)]
    owner = json.loads(taskcli("users", "show", "ada@example.org", "--json").out)
    assert (task["title"], task["description"]) == ("Write", "To Bob")
    assert (task["owner_id"], task["version"]) == (owner["id"], 1)


@pytest.mark.usefixtures("people")
def test_creating_a_task_requires_as(taskcli: Taskcli) -> None:
    assert taskcli("tasks", "create", "--title", "Write").code == 2


def test_the_operator_sees_the_tasks_of_all_users(task: str, taskcli: Taskcli) -> None:
    taskcli("tasks", "create", "--as", "bob@example.org", "--title", "Read")

    def titles(*options: str) -> list[str]:
        page = json.loads(taskcli("tasks", "list", "--json", *options).out)
        assert page["total"] == len(page["items"])
        return [task["title"] for task in page["items"]]

    assert titles() == ["Read", "Write"]
    assert titles("--owner", "ada@example.org") == ["Write"]
    assert titles("--as", "bob@example.org") == ["Read"]
    assert taskcli("tasks", "show", task).code == 0


def test_with_as_a_command_may_do_what_that_user_may(task: str, taskcli: Taskcli) -> None:
    as_bob = ("--as", "bob@example.org")
    assert taskcli("tasks", "list", *as_bob, "--owner", "ada@example.org").code == 77
    for command in (
        ("tasks", "show", task),
        ("tasks", "edit", task, "--title", "Mine"),
        ("tasks", "delete", task, "--yes"),
    ):
        hidden = taskcli(*command, *as_bob)
        assert (hidden.code, hidden.err) == (65, f"taskcli: there is no task {task}\n")


@pytest.mark.usefixtures("people")
def test_acting_as_an_unknown_user_is_bad_data(taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "list", "--as", "eve@example.org")
    assert (refused.code, refused.err) == (65, "taskcli: there is no user eve@example.org\n")


@pytest.mark.usefixtures("people")
def test_acting_as_a_deactivated_user_is_not_permitted(taskcli: Taskcli) -> None:
    taskcli("users", "deactivate", "bob@example.org")
    refused = taskcli("tasks", "list", "--as", "bob@example.org")
    assert refused.code == 77
    assert "bob@example.org is deactivated" in refused.err


def test_an_edit_changes_what_it_names(task: str, taskcli: Taskcli) -> None:
    first = taskcli("tasks", "edit", task, "--description", "To Bob", "--json")
    assert json.loads(first.out)["title"] == "Write"
    second = taskcli("tasks", "edit", task, "--title", "Send", "--description", "", "--json")
    edited = json.loads(second.out)
    assert (edited["title"], edited["description"], edited["version"]) == ("Send", "", 3)


def test_an_edit_requires_a_field(task: str, taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "edit", task)
    assert refused.code == 2
    assert all(f"--{name}" in refused.err for name in TaskChanges.__annotations__)
    assert "try `taskcli tasks edit --help`" in refused.err


def test_an_edit_may_require_a_version(task: str, taskcli: Taskcli) -> None:
    command = ("tasks", "edit", task, "--expected-version", "1", "--title")
    assert taskcli(*command, "Send").code == 0
    assert taskcli(*command, "Forget").code == 65


def test_every_broken_rule_is_named(task: str, taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "edit", task, "--title", "", "--description", "a" * 5001)
    assert refused.code == 65
    assert "title: needs at least 1" in refused.err
    assert "description: takes at most 5000" in refused.err


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("number", ["0", "9223372036854775808", "9999999999999999999"])
def test_an_unknown_task_is_bad_data(taskcli: Taskcli, number: str) -> None:
    for command in (("show",), ("edit", "--title", "x"), ("delete", "--yes")):
        missing = taskcli("tasks", command[0], number, *command[1:])
        assert (missing.code, missing.err) == (65, f"taskcli: there is no task {number}\n")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("number", ["5.7", "1e3", "0x10", "-1", "1_000", "٣", "", "1" * 20])
def test_an_id_must_be_a_decimal_number(taskcli: Taskcli, number: str) -> None:
    assert taskcli("tasks", "delete", number, "--yes").code == 2


def test_a_task_is_deleted(task: str, taskcli: Taskcli) -> None:
    stale = taskcli("tasks", "delete", task, "--yes", "--expected-version", "7")
    assert stale.code == 65
    deleted = taskcli("tasks", "delete", task, "--yes", "--as", "ada@example.org")
    assert (deleted.code, deleted.out) == (0, "")
    assert deleted.err == f'taskcli: deleted task {task}, "Write"\n'
    assert taskcli("tasks", "show", task).code == 65


def test_deleting_without_a_terminal_needs_yes(task: str, taskcli: Taskcli) -> None:
    assert taskcli("tasks", "delete", task, stdin="y\n").code == 2
    assert taskcli("tasks", "show", task).code == 0
