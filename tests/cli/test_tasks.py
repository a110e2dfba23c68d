"""`taskcli tasks`, as the operator and as somebody."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Operator

MakeUser = Callable[..., str]


@pytest.fixture
def people(make_user: MakeUser) -> None:
    make_user("ada@example.org")
    make_user("bob@example.org")


@pytest.fixture
def task(people: None, operator: Operator) -> str:
    """Ada's; its id."""
    assert people is None
    made = operator("tasks", "create", "--as", "ada@example.org", "--title", "Write", "--json")
    return str(json.loads(made.out)["id"])


@pytest.mark.usefixtures("people")
def test_a_task_belongs_to_whom_it_was_made_as(operator: Operator) -> None:
    made = operator(
        *("tasks", "create", "--as", "ada@example.org", "--title", "Write"),
        *("--description", "To Bob", "--json"),
    )
    assert (made.code, made.err) == (0, "")
    task = json.loads(made.out)
    assert list(task) == [
        *("id", "title", "description", "owner_id", "version", "created_at", "updated_at"),
    ]
    owner = json.loads(operator("users", "show", "ada@example.org", "--json").out)
    assert (task["title"], task["description"]) == ("Write", "To Bob")
    assert (task["owner_id"], task["version"]) == (owner["id"], 1)


@pytest.mark.usefixtures("people")
def test_nobody_makes_a_task_without_saying_whose(operator: Operator) -> None:
    assert operator("tasks", "create", "--title", "Write").code == 2


def test_the_operator_sees_everybodys_tasks(task: str, operator: Operator) -> None:
    operator("tasks", "create", "--as", "bob@example.org", "--title", "Read")

    def found(*options: str) -> list[str]:
        page = json.loads(operator("tasks", "list", "--json", *options).out)
        assert page["total"] == len(page["items"])
        return [task["title"] for task in page["items"]]

    assert found() == ["Read", "Write"]
    assert found("--owner", "ada@example.org") == ["Write"]
    assert found("--as", "bob@example.org") == ["Read"]
    assert operator("tasks", "show", task).code == 0


def test_as_somebody_one_may_do_what_they_may(task: str, operator: Operator) -> None:
    stranger = ("--as", "bob@example.org")
    assert operator("tasks", "list", *stranger, "--owner", "ada@example.org").code == 77
    for command in (
        ("tasks", "show", task),
        ("tasks", "edit", task, "--title", "Mine"),
        ("tasks", "delete", task, "--yes"),
    ):
        hidden = operator(*command, *stranger)
        assert (hidden.code, hidden.err) == (65, f"taskcli: there is no task {task}\n")


@pytest.mark.usefixtures("people")
def test_nobody_acts_as_whom_there_is_not(operator: Operator) -> None:
    refused = operator("tasks", "list", "--as", "nobody@example.org")
    assert (refused.code, refused.err) == (65, "taskcli: there is no user nobody@example.org\n")


@pytest.mark.usefixtures("people")
def test_nobody_acts_as_whom_was_shut_out(operator: Operator) -> None:
    operator("users", "deactivate", "bob@example.org")
    refused = operator("tasks", "list", "--as", "bob@example.org")
    assert refused.code == 77
    assert "bob@example.org is deactivated" in refused.err


def test_an_edit_changes_what_it_names(task: str, operator: Operator) -> None:
    first = operator("tasks", "edit", task, "--description", "To Bob", "--json")
    assert json.loads(first.out)["title"] == "Write"
    second = operator("tasks", "edit", task, "--title", "Send", "--description", "", "--json")
    edited = json.loads(second.out)
    assert (edited["title"], edited["description"], edited["version"]) == ("Send", "", 3)


def test_an_edit_must_name_something(task: str, operator: Operator) -> None:
    refused = operator("tasks", "edit", task)
    assert refused.code == 2
    assert "--title or --description" in refused.err
    assert "try `taskcli tasks edit --help`" in refused.err


def test_an_edit_may_insist_on_a_version(task: str, operator: Operator) -> None:
    command = ("tasks", "edit", task, "--expected-version", "1", "--title")
    assert operator(*command, "Send").code == 0
    assert operator(*command, "Forget").code == 65


def test_every_broken_rule_is_named(task: str, operator: Operator) -> None:
    refused = operator("tasks", "edit", task, "--title", "", "--description", "a" * 5001)
    assert refused.code == 65
    assert "title: needs at least 1" in refused.err
    assert "description: takes at most 5000" in refused.err


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("number", ["0", "9223372036854775808", "9999999999999999999"])
def test_a_task_that_is_not_there_is_bad_data(operator: Operator, number: str) -> None:
    for command in (("show",), ("edit", "--title", "x"), ("delete", "--yes")):
        missing = operator("tasks", command[0], number, *command[1:])
        assert (missing.code, missing.err) == (65, f"taskcli: there is no task {number}\n")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("number", ["5.7", "1e3", "0x10", "-1", "1_000", "٣", "", "1" * 20])
def test_what_is_no_number_names_no_task(operator: Operator, number: str) -> None:
    assert operator("tasks", "delete", number, "--yes").code == 2


def test_a_task_is_deleted(task: str, operator: Operator) -> None:
    stale = operator("tasks", "delete", task, "--yes", "--expected-version", "7")
    assert stale.code == 65
    deleted = operator("tasks", "delete", task, "--yes", "--as", "ada@example.org")
    assert (deleted.code, deleted.out) == (0, "")
    assert deleted.err == f'taskcli: deleted task {task}, "Write"\n'
    assert operator("tasks", "show", task).code == 65


def test_deleting_without_a_terminal_needs_yes(task: str, operator: Operator) -> None:
    assert operator("tasks", "delete", task, stdin="y\n").code == 2
    assert operator("tasks", "show", task).code == 0


def test_a_list_is_read_on_from_the_last_task_of_a_page(task: str, operator: Operator) -> None:
    for title in ("Read", "Answer"):
        operator("tasks", "create", "--as", "ada@example.org", "--title", title)

    def found(*options: str) -> list[dict[str, Any]]:
        page = json.loads(operator("tasks", "list", "--limit", "2", "--json", *options).out)
        assert page["total"] == 3
        return list(page["items"])

    first = found()
    assert [each["title"] for each in first] == ["Answer", "Read"]
    assert [each["id"] for each in found("--before", str(first[-1]["id"]))] == [int(task)]
    assert found("--before", task) == []
    assert operator("tasks", "list", "--before", "x").code == 2
