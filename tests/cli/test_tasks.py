"""`taskcli tasks show|create|edit|done|reopen`, as the operator and as a user."""

import asyncio
import json
import shlex
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from taskcli.tasks.acting_user import once
from taskcli.tasks.fields import Content, Edits
from taskcore import SYSTEM, Core, Invalid, Problem, Task
from taskcore.domain.tasks import TaskChanges
from tests.cli.conftest import Taskcli
from tests.guards import agree

ADA, BOB = ("--as", "ada@example.org"), ("--as", "bob@example.org")
FIELDS = tuple(field.name for field in fields(Task) if field.name != "deleted_at")

Edit = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.usefixtures("core")


def test_every_field_of_a_task_has_an_option() -> None:
    named = {"due": ("due_date", "due_at"), "label": ("labels",)}
    options = [name for each in fields(Content) for name in named.get(each.name, (each.name,))]
    agree(TaskChanges.__annotations__, options, "Content in taskcli/tasks/fields.py", "add it")


@pytest.fixture
def task(core: Core, taskcli: Taskcli) -> str:
    """The id of a task of Ada's."""
    _ = core  # which the command uses
    made = taskcli("tasks", "create", *ADA, "--title", "Write", "--json")
    return str(json.loads(made.out)["id"])


@pytest.fixture
def edit(task: str, taskcli: Taskcli) -> Edit:
    """Edits the task, and returns it."""

    def edited(*options: str) -> dict[str, Any]:
        result = taskcli("tasks", "edit", task, *options, "--json")
        assert (result.code, result.err) == (0, "")
        answer: dict[str, Any] = json.loads(result.out)
        return answer

    return edited


def test_a_task_belongs_to_the_user_that_it_is_created_as(taskcli: Taskcli) -> None:
    made = taskcli(
        *("tasks", "create", *ADA, "--title", "Write", "--description", "To Bob"),
        *("--status", "in_progress", "--priority", "high", "--due", "2030-02-01"),
        *("--label", "home", "--label", "Büro", "--json"),
    )
    assert (made.code, made.err) == (0, "")
    task = json.loads(made.out)
    assert tuple(task) == FIELDS
    owner = json.loads(taskcli("users", "show", "ada@example.org", "--json").out)
    assert (task["title"], task["description"]) == ("Write", "To Bob")
    assert (task["owner_id"], task["version"]) == (owner["id"], 1)
    assert (task["status"], task["priority"]) == ("in_progress", "high")
    assert (task["due_date"], task["due_at"], task["time_zone"]) == ("2030-02-01", None, None)
    assert task["labels"] == ["home", "Büro"]


def test_a_task_needs_an_owner(taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "create", "--title", "Write")
    assert refused.code == 2
    assert "name the owner with --as EMAIL|ID, or for all commands with TASKCLI_AS" in refused.err


def test_a_variable_is_the_default_of_as(
    task: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TASKCLI_AS", "bob@example.org")
    made = json.loads(taskcli("tasks", "create", "--title", "Swim", "--json").out)
    bob = json.loads(taskcli("users", "show", "bob@example.org", "--json").out)
    assert made["owner_id"] == bob["id"]
    assert [taskcli("tasks", verb).code for verb in ("list", "labels", "trash")] == [0, 0, 0]
    hidden = taskcli("tasks", "show", task)
    assert (hidden.code, hidden.out) == (65, "")
    said = "(acting as bob@example.org, by TASKCLI_AS)"
    assert hidden.err == f"taskcli: there is no task {task} {said}\n"
    assert taskcli("tasks", "show", task, *ADA).code == 0
    monkeypatch.setenv("TASKCLI_AS", "bob")
    assert 'TASKCLI_AS: "bob" is neither an id' in taskcli("tasks", "list").err
    assert '--as: "ada" is neither an id' in taskcli("tasks", "list", "--as", "ada").err
    monkeypatch.setenv("TASKCLI_AS", "")
    assert taskcli("tasks", "show", task).code == 0
    monkeypatch.delenv("TASKCLI_AS")
    (tmp_path / ".env").write_text("TASKCLI_AS=ada@example.org")
    listed = taskcli("tasks", "list").out
    assert "Write" in listed
    assert "Swim" not in listed


def in_tokyo(core: Core, email: str) -> None:
    async def move() -> None:
        user = await core.accounts.find(SYSTEM, email)
        assert user
        await core.accounts.change(SYSTEM, user.id, time_zone="Asia/Tokyo")

    asyncio.run(move())


def test_people_see_times_in_the_zone_of_the_user(core: Core, task: str, taskcli: Taskcli) -> None:
    """That of the user who acts, and for the operator that of the owner."""
    in_tokyo(core, "ada@example.org")
    edit = ("tasks", "edit", task, "--due", "18:00")
    for whose in (ADA, ()):
        for command in (edit, ("tasks", "show", task)):
            shown = taskcli(*command, *whose).out.splitlines()
            assert "due_at\t2030-01-02 18:00:00+09:00" in shown
            assert "created_at\t2030-01-02 12:04:05+09:00" in shown
    made = taskcli("tasks", "create", *ADA, "--title", "Read", "--due", "fri 9:00").out
    assert "due_at\t2030-01-04 09:00:00+09:00" in made.splitlines()
    as_json = json.loads(taskcli("tasks", "show", task, *ADA, "--json").out)
    assert as_json["due_at"] == "2030-01-02T09:00:00Z"
    assert as_json["created_at"] == "2030-01-02T03:04:05.678901Z"


def test_a_time_that_is_moved_stays_in_the_time_zone_of_the_task(edit: Edit) -> None:
    edit("--due", "2030-02-01 10:00", "--time-zone", "America/New_York")
    moved = edit("--due", "2030-02-03 10:00")
    assert (moved["due_at"], moved["time_zone"]) == ("2030-02-03T15:00:00Z", "America/New_York")


@pytest.mark.parametrize(
    ("options", "due"),
    [
        (("--due", "2030-02-01T09:00+01:00"), ("2030-02-01T08:00:00Z", "UTC")),
        (("--due", "2030-02-01T09:00"), ("2030-02-01T09:00:00Z", "UTC")),
        (
            ("--due", "tomorrow 09:00", "--time-zone", "Europe/Berlin"),
            ("2030-01-03T08:00:00Z", "Europe/Berlin"),
        ),
    ],
)
def test_a_due_may_have_a_time(edit: Edit, options: tuple[str, ...], due: tuple[str, ...]) -> None:
    task = edit(*options)
    assert (task["due_at"], task["time_zone"]) == due
    assert task["due_date"] is None


def test_one_kind_of_due_replaces_the_other(edit: Edit) -> None:
    edit("--due", "2030-02-01T09:00")
    assert edit("--time-zone", "Asia/Tokyo")["due_at"] == "2030-02-01T09:00:00Z"
    day = edit("--due", "+1w")
    assert (day["due_date"], day["due_at"], day["time_zone"]) == ("2030-01-09", None, None)
    none = edit("--due", "none")
    assert (none["due_date"], none["due_at"], none["time_zone"]) == (None, None, None)


def test_labels_divided_by_commas_are_noted(task: str, taskcli: Taskcli) -> None:
    said = 'taskcli: "home,work" is one label; for several repeat the option\n'
    create, both = ("tasks", "create", *ADA, "--title", "x"), ("--label", "home,work")
    assert taskcli("tasks", "list", *ADA, *both).err == f"taskcli: nothing found\n{said}"
    assert taskcli(*create, *both).err == said
    assert taskcli(*create, *both, "--json").err == ""
    assert taskcli("tasks", "edit", task, "--add-label", "home,work").err == said
    assert taskcli("tasks", "list", *ADA, *both).err == ""


def test_no_label_is_empty(core: Core, taskcli: Taskcli) -> None:
    _ = core  # which the commands use
    for command, instead in (
        (("create", "--title", "x"), "leave --label out for none"),
        (("list",), "nothing filters tasks without a label"),
    ):
        refused = taskcli("tasks", *command, *ADA, "--label", "home", "--label", "")
        said = f'taskcli: --label: "" is no label; {instead}\n'
        assert (refused.code, refused.out, refused.err) == (65, "", said)


def test_a_day_that_replaces_a_time_says_so_and_how_to_have_the_time_again(
    core: Core, task: str, taskcli: Taskcli
) -> None:
    in_tokyo(core, "ada@example.org")
    for zone, offset in (("Asia/Tokyo", "+09:00"), ("Europe/Berlin", "+01:00")):
        edit = ("tasks", "edit", task, "--due", "2030-02-01 9:00", "--time-zone", zone)
        was = json.loads(taskcli(*edit, "--json").out)
        moved = taskcli("tasks", "edit", task, "--due", "+1d")
        said = f"taskcli: due on a whole day now, before at 2030-02-01 09:00{offset}; `"
        assert moved.err.startswith(said)
        _, advice, rest = moved.err.split("`")
        assert rest == " gives it that time again\n"
        assert ("--time-zone" in advice) is (zone != "Asia/Tokyo")
        again = json.loads(taskcli("tasks", "edit", task, *shlex.split(advice), "--json").out)
        assert again["due_at"] == was["due_at"].replace("02-01", "01-03")
        assert again["time_zone"] == zone
        assert taskcli("tasks", "edit", task, "--due", "none").err == ""


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--due", "someday"), 2, '--due: "someday" is not understood; type a day'),
        (("--due", "friday", "--time-zone", "Asia/Tokyo"), 2, "--due with a time"),
        (("--due", "none", "--time-zone", "Asia/Tokyo"), 2, "--due with a time"),
        (("--time-zone", "Asia/Tokyo"), 65, "--time-zone: belongs to a due that has a time"),
        (("--due", "friday 09:00", "--time-zone", "Mars"), 65, "--time-zone: must be an IANA"),
        (("--status", "finished"), 2, "--status"),
        (("--label", "a", "--label", "x" * 65), 65, "--label (number 2): takes at most 64"),
        (("--add-label", "a", "--add-label", "x" * 65), 65, "--add-label: takes at most 64"),
        (("--add-label", ""), 65, "--add-label: needs at least 1 character"),
        (("--remove-label", ""), 65, "--remove-label: needs at least 1 character"),
        (("--label", ""), 65, '--label: "" is no label; --no-labels removes all'),
        (("--label", "a", "--add-label", "b"), 2, "--label replaces all labels"),
        (("--label", "a", "--no-labels"), 2, "--no-labels removes all"),
    ],
)
def test_a_refusal_names_the_option(
    task: str, taskcli: Taskcli, options: tuple[str, ...], code: int, said: str
) -> None:
    refused = taskcli("tasks", "edit", task, *options)
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err


def test_a_due_to_take_away_is_one_that_the_task_has(task: str, taskcli: Taskcli) -> None:
    advice = "`none` takes the due away"
    assert advice in taskcli("tasks", "edit", task, "--due", "someday").err
    assert advice not in taskcli("tasks", "create", *ADA, "--title", "x", "--due", "someday").err


def test_labels_are_replaced_or_changed_one_by_one(edit: Edit) -> None:
    assert edit("--label", "home", "--label", "Büro")["labels"] == ["home", "Büro"]
    added = edit("--add-label", "HOME", "--add-label", "garden", "--remove-label", "büro")
    assert added["labels"] == ["home", "garden"]
    assert edit("--label", "urgent")["labels"] == ["urgent"]
    assert edit("--no-labels")["labels"] == []


def test_a_label_that_was_not_there_to_remove_is_noted(task: str, taskcli: Taskcli) -> None:
    edit = ("tasks", "edit", task)
    assert taskcli(*edit, "--add-label", "Home").err == ""
    edited = taskcli(*edit, "--remove-label", "HOME", "--remove-label", "hom")
    assert (edited.code, edited.err) == (0, 'taskcli: the task had no label "hom"\n')
    assert "labels\t-" in edited.out.splitlines()


def test_with_as_a_command_may_do_what_that_user_may(task: str, taskcli: Taskcli) -> None:
    for command in (
        ("tasks", "show", task),
        ("tasks", "edit", task, "--title", "Mine"),
        ("tasks", "done", task),
        ("tasks", "reopen", task),
        ("tasks", "delete", task, "--yes"),
    ):
        hidden = taskcli(*command, *BOB)
        assert (hidden.code, hidden.err) == (65, f"taskcli: there is no task {task}\n")


def test_acting_as_an_unknown_user_is_bad_data(taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "list", "--as", "eve@example.org")
    assert (refused.code, refused.err) == (65, "taskcli: there is no user eve@example.org\n")


def test_acting_as_a_deactivated_user_is_not_permitted(taskcli: Taskcli) -> None:
    taskcli("users", "deactivate", "bob@example.org")
    refused = taskcli("tasks", "list", *BOB)
    assert refused.code == 77
    assert "bob@example.org is deactivated" in refused.err


def test_an_edit_changes_what_it_names(edit: Edit) -> None:
    assert edit("--description", "To Bob")["title"] == "Write"
    edited = edit("--title", "Send", "--description", "")
    assert (edited["title"], edited["description"], edited["version"]) == ("Send", "", 3)


def test_an_edit_requires_a_field(task: str, taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "edit", task)
    assert refused.code == 2
    options = {f"--{name.replace('_', '-')}" for name in Edits.__dataclass_fields__}
    assert all(option in refused.err for option in options)
    assert "try `taskcli tasks edit --help`" in refused.err


def test_an_edit_may_require_a_version(task: str, taskcli: Taskcli) -> None:
    command = ("tasks", "edit", task, "--expected-version", "1", "--title")
    assert taskcli(*command, "Send").code == 0
    assert taskcli(*command, "Forget").code == 65


def test_every_broken_rule_is_named(task: str, taskcli: Taskcli) -> None:
    refused = taskcli("tasks", "edit", task, "--title", "", "--description", "a" * 5001)
    assert refused.code == 65
    assert "--title: needs at least 1" in refused.err
    assert "--description: takes at most 5000" in refused.err


@pytest.mark.parametrize("number", ["0", "9223372036854775808", "9999999999999999999"])
def test_an_unknown_task_is_bad_data(taskcli: Taskcli, number: str) -> None:
    for command in (("show",), ("edit", "--title", "x"), ("done",), ("delete", "--yes")):
        missing = taskcli("tasks", command[0], number, *command[1:])
        assert (missing.code, missing.err) == (65, f"taskcli: there is no task {number}\n")


@pytest.mark.parametrize("number", ["5.7", "1e3", "0x10", "-1", "1_000", "٣", "", "1" * 20])
def test_an_id_must_be_a_decimal_number(taskcli: Taskcli, number: str) -> None:
    assert taskcli("tasks", "delete", number, "--yes").code == 2


def test_a_task_is_done_and_opened_again(task: str, taskcli: Taskcli) -> None:
    what = f'taskcli: task {task}, "Write", is'
    done = taskcli("tasks", "done", task, *ADA, "--json")
    assert (done.code, done.err) == (0, f"{what} done\n")
    shown = json.loads(done.out)
    assert (shown["status"], shown["completed_at"]) == ("done", "2030-01-02T03:04:05.678901Z")
    again = taskcli("tasks", "done", task)
    assert (again.code, again.out, again.err) == (0, "", f"{what} done already\n")
    opened = taskcli("tasks", "reopen", task, "--json")
    assert opened.err == f"{what} todo\n"
    assert json.loads(opened.out)["completed_at"] is None
    assert taskcli("tasks", "reopen", task).err == f"{what} todo already\n"


def titled(taskcli: Taskcli, title: str, *whose: str) -> str:
    made = taskcli("tasks", "create", *(whose or ADA), "--title", title, "--json")
    return str(json.loads(made.out)["id"])


def test_several_tasks_are_done_together(task: str, taskcli: Taskcli) -> None:
    other, third = titled(taskcli, "Read"), titled(taskcli, "Swim")
    assert taskcli("tasks", "done", other).code == 0
    done = taskcli("tasks", "done", task, other, task, *ADA, "--json")
    lines = [f'taskcli: task {task}, "Write", is done', f'  task {other}, "Read", is done already']
    assert (done.code, done.err.splitlines()) == (0, lines)
    assert [item["status"] for item in json.loads(done.out)["items"]] == ["done", "done"]
    bobs = titled(taskcli, "Sing", *BOB)
    for last, said in (
        ("99", "there is no task 99"),
        (bobs, f"tasks {third} and {bobs} are of different users"),
    ):
        refused = taskcli("tasks", "done", third, last)
        assert (refused.code, refused.err) == (65, f"taskcli: {said}\n")
    assert json.loads(taskcli("tasks", "show", third, "--json").out)["status"] == "todo"
    assert taskcli("tasks", "reopen", task, other, "--quiet").err == ""
    assert taskcli("tasks", "done").code == 2
    assert taskcli("tasks", "done", task, "5.7").code == 2
    many = taskcli("tasks", "done", *map(str, range(1, 102)))
    assert (many.code, "takes at most 100 ids" in many.err) == (2, True)


def test_a_due_in_the_past_is_noted(task: str, taskcli: Taskcli) -> None:
    said = "taskcli: this due is in the past\n"
    create, edit = ("create", *ADA, "--title", "x"), ("edit", task)
    for command in (create, edit):
        for due, noted in (("yesterday", said), ("today", ""), ("00:30", said), ("23:30", "")):
            made = taskcli("tasks", *command, "--due", due)
            assert (made.code, made.err) == (0, noted)
        for flag in ("--json", "--quiet"):
            assert taskcli("tasks", *command, "--due", "yesterday", flag).err == ""
    assert taskcli("tasks", "edit", task, "--title", "Again").err == ""
    assert taskcli("tasks", "edit", task, "--due", "-1d", "--status", "done").err == ""


def test_a_due_that_the_clock_skips_is_noted(task: str, taskcli: Taskcli) -> None:
    said = "taskcli: 02:30 does not exist on 2030-03-31 in Europe/Berlin; due at 03:30\n"
    for command in (("create", *ADA, "--title", "x"), ("edit", task)):
        berlin = ("tasks", *command, "--time-zone", "Europe/Berlin", "--due")
        for due, noted in (
            ("2030-03-31 2:30", said),
            ("2030-03-31 3:30", ""),
            ("2030-03-31T02:30Z", ""),
            ("2030-10-27 2:30", ""),  # twice there
        ):
            made = taskcli(*berlin, due)
            assert (made.code, made.err) == (0, noted)
        assert taskcli(*berlin, "2030-03-31 2:30", "--json").err == ""
    kept = taskcli("tasks", "edit", task, "--due", "2030-03-31 2:30")  # in the zone of the task
    assert kept.err == said
    assert taskcli("tasks", "edit", task, "--due", "2030-03-31").err.count("\n") == 1


def test_a_command_with_a_key_is_carried_out_once(task: str, taskcli: Taskcli) -> None:
    create = ("tasks", "create", *ADA, "--title", "Buy", "--due", "fri", "--idempotency-key", "k1")
    first = taskcli(*create, "--json")
    assert first.code == 0, first.err
    assert taskcli(*create, "--json") == first
    made = str(json.loads(first.out)["id"])
    assert f"id            {made}" in taskcli(*create).out.replace("\t", "            ")
    for number, command in enumerate(
        [
            ("edit", made, "--title", "Buy milk", "--json"),
            ("delete", made, "--yes"),
            ("restore", made, "--json"),
            ("delete", made, "--yes"),
            ("purge", made, "--yes"),
        ]
    ):
        keyed = ("tasks", *command, *ADA, "--idempotency-key", f"step{number}")
        first = taskcli(*keyed)
        assert first.code == 0, first.err
        assert taskcli(*keyed) == first
    assert taskcli(*create).code == 0
    other = taskcli(*create, "--priority", "high")
    assert (other.code, other.out) == (65, "")
    assert other.err == "taskcli: --idempotency-key: belongs to another request\n"
    without = taskcli("tasks", "edit", task, "--title", "x", "--idempotency-key", "k2")
    assert without.code == 77
    asks = taskcli("tasks", "delete", task, *ADA, "--idempotency-key", "k3")
    assert asks.code == 2


@pytest.mark.parametrize("key", [None, "k"])
def test_a_refusal_names_the_options_that_are_no_fields_as_the_command_says(
    key: str | None,
) -> None:
    async def work(*_: object) -> None:
        raise Invalid(*(Problem(name, "is wrong", "wrong") for name in ("titles/1", "due_at", "x")))

    with pytest.raises(Invalid) as refusal:
        once(ADA[1], key, ("split", "x"), work, {"titles": "--title"})
    named = [problem.field for problem in refusal.value.problems]
    assert named == ["--title (number 2)", "--due", "x"]
