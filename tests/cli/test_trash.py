"""`taskcli tasks delete|trash|restore|purge`."""

import json

import pytest

from taskcli import prompts
from taskcli.tasks import trash
from taskcore import SYSTEM, Actor, Core, Task
from tests.cli.conftest import Taskcli
from tests.cli.test_tasks import in_tokyo
from tests.conftest import ManualClock

ADA, BOB = ("--as", "ada@example.org"), ("--as", "bob@example.org")


@pytest.fixture
def task(core: Core, taskcli: Taskcli) -> str:
    """The id of a task of Ada's."""
    _ = core  # which the command uses
    made = taskcli("tasks", "create", *ADA, "--title", "Write", "--label", "home", "--json")
    return str(json.loads(made.out)["id"])


@pytest.fixture
def trashed(task: str, taskcli: Taskcli, clock: ManualClock) -> str:
    clock.advance(hours=1)
    assert taskcli("tasks", "delete", task, "--yes").code == 0
    return task


def test_deleting_moves_to_the_trash_and_says_how_to_restore(task: str, taskcli: Taskcli) -> None:
    stale = taskcli("tasks", "delete", task, "--yes", "--expected-version", "7")
    assert stale.code == 65
    deleted = taskcli("tasks", "delete", task, "--yes", *ADA)
    assert (deleted.code, deleted.out) == (0, "")
    first, second = deleted.err.splitlines()
    assert first == f'taskcli: deleted task {task}, "Write"'
    assert f"`taskcli tasks restore {task}`" in second
    assert taskcli("tasks", "show", task).code == 65
    restored = taskcli("tasks", "restore", task, *ADA, "--json")
    assert (restored.code, json.loads(restored.out)["title"]) == (0, "Write")
    assert "deleted_at" not in json.loads(restored.out)
    assert taskcli("tasks", "show", task).code == 0


def test_several_tasks_are_deleted_and_restored_together(task: str, taskcli: Taskcli) -> None:
    made = taskcli("tasks", "create", *ADA, "--title", "Read", "--json")
    both = (task, str(json.loads(made.out)["id"]))
    assert taskcli("tasks", "delete", *both, "--yes", "--expected-version", "1").code == 2
    tried = taskcli("tasks", "delete", *both, "--dry-run")
    assert (tried.code, tried.err.count("would move task")) == (0, 2)
    assert taskcli("tasks", "delete", *both, "99", "--yes").code == 65
    assert taskcli("tasks", "delete", *both, "--yes").err.splitlines() == [
        f'taskcli: deleted task {both[0]}, "Write"',
        f'  deleted task {both[1]}, "Read"',
        f"  `taskcli tasks restore {both[0]} {both[1]}` takes them out of the trash",
    ]
    assert taskcli("tasks", "restore", *both, "99").code == 65
    key = (*ADA, "--idempotency-key", "k1")
    restored = taskcli("tasks", "restore", *both, *key, "--json")
    assert [item["title"] for item in json.loads(restored.out)["items"]] == ["Write", "Read"]
    assert taskcli("tasks", "restore", *both, *key, "--json") == restored
    assert taskcli("tasks", "delete", *both, "--yes", "--quiet").err == ""
    assert taskcli("tasks", "restore", *both).err.splitlines() == [
        f'taskcli: restored task {both[0]}, "Write"',
        f'  restored task {both[1]}, "Read"',
    ]


@pytest.mark.parametrize("verb", ["delete", "purge"])
def test_without_a_terminal_yes_is_needed(task: str, taskcli: Taskcli, verb: str) -> None:
    refused = taskcli("tasks", verb, task, stdin="y\n")
    assert refused.code == 2
    assert "confirm it with --yes" in refused.err
    assert taskcli("tasks", "show", task).code == 0


def test_the_trash_is_listed(trashed: str, taskcli: Taskcli) -> None:
    for whose in (ADA, ("--owner", "ada@example.org")):
        page = json.loads(taskcli("tasks", "trash", *whose, "--json").out)
        (item,) = page["items"]
        assert (str(item["id"]), item["deleted_at"]) == (trashed, "2030-01-02T04:04:05.678901Z")
        assert (page["total"], page["next_cursor"]) == (1, None)
    assert taskcli("tasks", "trash", *ADA).out.splitlines() == [
        "id\tdeleted_at\tstatus\ttitle\tlabels",
        f"{trashed}\t2030-01-02 04:04:05Z\ttodo\tWrite\thome",
    ]
    assert taskcli("tasks", "trash", *BOB).err == "taskcli: nothing found\n"
    assert taskcli("tasks", "trash", *BOB, "--owner", "ada@example.org").code == 77


def test_people_see_deletions_and_restored_tasks_in_the_zone_of_the_user(
    core: Core, trashed: str, taskcli: Taskcli
) -> None:
    in_tokyo(core, "ada@example.org")
    for whose in (ADA, ("--owner", "ada@example.org")):
        assert "\t2030-01-02 13:04:05+09:00\t" in taskcli("tasks", "trash", *whose).out
    restored = taskcli("tasks", "restore", trashed).out.splitlines()
    assert "updated_at\t2030-01-02 13:04:05+09:00" in restored


def test_the_trash_is_read_on_by_cursor(trashed: str, taskcli: Taskcli) -> None:
    made = taskcli("tasks", "create", *ADA, "--title", "Read", "--json")
    taskcli("tasks", "delete", str(json.loads(made.out)["id"]), "--yes")
    command = ("tasks", "trash", *ADA, "--limit", "1", "--json")
    first = json.loads(taskcli(*command).out)
    second = json.loads(taskcli(*command, "--cursor", first["next_cursor"]).out)
    assert [item["title"] for item in first["items"] + second["items"]] == ["Read", "Write"]
    assert str(second["items"][0]["id"]) == trashed


def test_a_purge_is_for_good(trashed: str, taskcli: Taskcli) -> None:
    purged = taskcli("tasks", "purge", trashed, "--yes", *ADA)
    assert (purged.code, purged.out) == (0, "")
    assert purged.err == f'taskcli: removed task {trashed}, "Write", for good\n'
    for again in (("restore", trashed), ("purge", trashed, "--yes")):
        missing = taskcli("tasks", *again)
        assert (missing.code, missing.err) == (
            65,
            f"taskcli: there is no task {trashed} in the trash\n",
        )


@pytest.fixture
def three(task: str, taskcli: Taskcli) -> list[str]:
    """The ids of tasks in Ada's trash."""
    ids = [task]
    for title in ("Read", "Call"):
        made = taskcli("tasks", "create", *ADA, "--title", title, "--json")
        ids.append(str(json.loads(made.out)["id"]))
    assert taskcli("tasks", "delete", *ids, "--yes").code == 0
    return ids


def test_several_tasks_are_purged(three: list[str], taskcli: Taskcli) -> None:
    assert taskcli("tasks", "purge", *three, "99", "--yes").code == 65
    assert taskcli("tasks", "purge", *three, "--dry-run").err.count("would remove task") == 3
    command = ("tasks", "purge", *three[:2], "--yes", *ADA, "--idempotency-key", "k")
    purged = taskcli(*command)
    assert purged.err.splitlines() == [
        f'taskcli: removed task {three[0]}, "Write", for good',
        f'  removed task {three[1]}, "Read", for good',
    ]
    assert taskcli(*command) == purged
    assert taskcli("tasks", "restore", three[2]).code == 0


def test_a_trash_is_emptied(
    three: list[str], taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = taskcli("tasks", "create", *BOB, "--title", "x", "--json")
    of_bob = str(json.loads(made.out)["id"])
    assert taskcli("tasks", "delete", of_bob, "--yes").code == 0
    monkeypatch.setattr(trash, "MAX_LIMIT", 2)
    empty = ("tasks", "purge", "--all")
    tried = taskcli(*empty, *ADA, "--dry-run")
    assert tried.err == "taskcli: would remove all 3 tasks in the trash, for good\n"
    assert taskcli("tasks", "restore", three[0]).code == 0
    purged = taskcli(*empty, *ADA, "--yes")
    assert (purged.code, purged.err) == (
        0,
        "taskcli: removed all 2 tasks in the trash, for good\n",
    )
    assert taskcli("tasks", "trash", *ADA).err == "taskcli: nothing found\n"
    assert taskcli("tasks", "show", three[0]).code == 0
    assert taskcli("tasks", "restore", of_bob).code == 0
    assert taskcli(*empty, *ADA, "--yes").err == "taskcli: the trash is empty\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name the tasks by their ids, or all in the trash of a user with --all"),
        (("1", "--all"), "name the tasks by their ids, or all in the trash"),
        (("--all",), "name the user whose trash to empty, with --as EMAIL|ID"),
    ],
)
def test_a_purge_names_what_goes(taskcli: Taskcli, words: tuple[str, ...], said: str) -> None:
    refused = taskcli("tasks", "purge", *words, "--yes")
    assert (refused.code, said in refused.err) == (2, True)


def test_a_purge_that_fails_says_what_is_gone(
    three: list[str], core: Core, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = core  # which the command uses
    get = trash._get_trashed

    async def then_restored(core: Core, actor: Actor, task_id: int) -> Task:
        """Another process restores the last one before it is purged."""
        task = await get(core, actor, task_id)
        if str(task_id) == three[-1]:
            await core.tasks.restore(SYSTEM, task.id)
        return task

    monkeypatch.setattr(trash, "_get_trashed", then_restored)
    failed = taskcli("tasks", "purge", *three, "--yes")
    assert failed.code == 65
    assert failed.err.startswith("taskcli: removed 2 of 3 tasks, for good\n")


def test_a_task_outside_of_the_trash_is_said_to_be_there(task: str, taskcli: Taskcli) -> None:
    for verb in (("purge", task, "--yes"), ("restore", task)):
        refused = taskcli("tasks", *verb)
        assert (refused.code, refused.err) == (65, f"taskcli: task {task} is not in the trash\n")
        hidden = taskcli("tasks", *verb, *BOB)
        assert (hidden.code, hidden.err) == (
            65,
            f"taskcli: there is no task {task} in the trash\n",
        )
    assert taskcli("tasks", "show", task).code == 0


def test_another_users_trash_is_hidden(trashed: str, taskcli: Taskcli) -> None:
    for verb in (("purge", trashed, "--yes"), ("restore", trashed)):
        hidden = taskcli("tasks", *verb, *BOB)
        assert (hidden.code, hidden.err) == (
            65,
            f"taskcli: there is no task {trashed} in the trash\n",
        )


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_a_purge_asks_on_a_terminal(
    trashed: str, taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    asked = []

    async def confirmed(question: str) -> bool:
        asked.append(question)
        return answer == "y"

    monkeypatch.setattr(prompts, "_on_terminal", lambda: True)
    monkeypatch.setattr(trash, "confirmed", confirmed)
    assert taskcli("tasks", "purge", trashed).code == code
    what = f'task {trashed}, "Write", of ada@example.org'
    assert asked == [f"Remove {what}, from the trash for good?"]
    assert taskcli("tasks", "restore", trashed).code == (0 if code else 65)


def test_a_task_in_the_trash_is_said_to_be_there(trashed: str, taskcli: Taskcli) -> None:
    for verb in (("show",), ("edit", "--title", "x"), ("done",), ("delete", "--yes")):
        refused = taskcli("tasks", verb[0], trashed, *verb[1:], *ADA)
        assert (refused.code, refused.out) == (65, "")
        assert f"task {trashed} is in the trash; `taskcli tasks restore {trashed}`" in refused.err
