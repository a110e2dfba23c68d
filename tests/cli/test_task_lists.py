"""`taskcli tasks list|labels`."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from taskcli import output
from taskcore import SYSTEM, Actor, Core, Role
from taskcore.domain.tasks import Priority, Status
from tests.cli.conftest import Taskcli
from tests.conftest import ManualClock
from tests.factories import PASSWORD

ADA, BOB = ("--as", "ada@example.org"), ("--as", "bob@example.org")
OF_ADA = ("--owner", "ada@example.org")

Titles = Callable[..., list[str]]


@pytest.fixture
def tasks(core: Core, clock: ManualClock) -> None:
    """Three of Ada's, one minute after the other, and one of Bob's. It is Wednesday 2030-01-02."""
    nine = {"due_at": datetime(2030, 1, 3, 9, tzinfo=UTC), "time_zone": "UTC"}
    drafts: list[tuple[str, dict[str, Any]]] = [
        ("Write", {"priority": Priority.LOW, "labels": ["home"], **nine}),
        ("Call", {"priority": Priority.HIGH, "due_date": date(2029, 12, 31), "labels": ["Phone"]}),
        ("Read", {"status": Status.DONE, "description": "the writings", "labels": ["home"]}),
    ]

    async def make() -> None:
        ada, bob = [await acting(core, f"{name}@example.org") for name in ("ada", "bob")]
        for title, content in drafts:
            await core.tasks.create(ada, title=title, **content)
            clock.advance(minutes=1)
        await core.tasks.create(bob, title="Swim")

    asyncio.run(make())


async def acting(core: Core, email: str) -> Actor:
    user = await core.accounts.find(SYSTEM, email)
    assert user
    return Actor(user.id, user.role)


@pytest.fixture
def titles(tasks: None, taskcli: Taskcli) -> Titles:
    assert tasks is None

    def listed(*options: str) -> list[str]:
        result = taskcli("tasks", "list", *options, "--json")
        assert (result.code, result.err) == (0, "")
        page = json.loads(result.out)
        assert page["total"] == len(page["items"])
        return [task["title"] for task in page["items"]]

    return listed


def test_the_operator_sees_the_tasks_of_all_users(titles: Titles) -> None:
    assert titles() == ["Swim", "Read", "Call", "Write"]
    assert titles(*OF_ADA) == ["Read", "Call", "Write"]
    assert titles(*BOB) == ["Swim"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("--status open", "Call Write"),
        ("--status closed", "Read"),
        ("--status DONE --status in_progress", "Read"),
        ("--priority low --priority high", "Call Write"),
        ("--label HOME", "Read Write"),
        ("--label home --label phone --status open", "Call Write"),
        ("--due-from today", "Write"),
        ("--due tomorrow", "Write"),
        ("--due thu --status open", "Write"),
        ("--due 2029-12-31", "Call"),
        ("--due 9999-12-31", ""),
        ("--due-from=-1w --due-until thursday", "Call"),
        ("--due-from -1w --due-until +2d", "Call Write"),
        ("--due-until 2030-01-03T09:00Z", "Call"),
        ("--overdue", "Call"),
        ("--completed-from wednesday", "Read"),
        ("--completed-until today", ""),
        ("--updated-from 2030-01-02T03:05", "Read Call"),
        ("--search writ", "Write Read"),
        ("--sort created", "Write Call Read"),
        ("--sort -updated", "Read Call Write"),
        ("--sort due", "Call Write Read"),
        ("--sort priority", "Call Write Read"),
        ("--search writ --sort -created", "Read Write"),
    ],
)
def test_lists_are_filtered_and_sorted(titles: Titles, options: str, found: str) -> None:
    assert titles(*options.split(), *ADA) == found.split()
    assert titles(*options.split(), *OF_ADA) == found.split()


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--status open", 65, "--owner: name the user whose tasks"),
        ("--status opened", 2, '--status: "opened" is none of todo, in_progress, done'),
        ("--priority 1", 2, "--priority"),
        ("--sort name", 2, '--sort: "name" is none of -created, created, due'),
        ("--sort relevance --as ada@example.org", 65, "--sort: relevance needs --search"),
        ("--due-from someday", 2, '--due-from: "someday" is not understood'),
        ("--due none", 2, "--due: nothing filters tasks without a due; `--sort due` puts"),
        ("--due 18:00", 2, "--due: takes a day; give times with --due-from and --due-until"),
        ("--due today --due-until +7d", 2, "--due is one day"),
        # On this Wednesday `wed` is the next one.
        (
            "--due-from wed --due-until sun --as ada@example.org",
            65,
            "--due-from: 2030-01-09 is not before --due-until, 2030-01-06",
        ),
        ("--due-from 0:00 --due-until today --as ada@example.org", 65, "2030-01-02 00:00:00Z is"),
        (
            "--completed-from today --completed-until -1d --as ada@example.org",
            65,
            "--completed-from: 2030-01-02 is not before --completed-until, 2030-01-01",
        ),
        ("--updated-from 2030-02-30", 2, "--updated-from"),
        ("--search ! --as ada@example.org", 65, "--search: needs at least one letter"),
        ("--cursor x", 65, "--cursor: is no cursor of ours"),
        ("--skip 10001", 65, "--skip: must be from 0 to 10000"),
        ("--status open,done", 2, "closed; for several repeat the option"),
        ("--priority low,high", 2, "urgent; for several repeat the option"),
        ("--as bob@example.org --owner ada@example.org", 77, "your own tasks only"),
    ],
)
def test_a_refusal_names_the_option(taskcli: Taskcli, options: str, code: int, said: str) -> None:
    refused = taskcli("tasks", "list", *options.split())
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err


def administrator(core: Core, time_zone: str = "UTC") -> str:
    """The address of a new one."""
    made = core.accounts.create(
        SYSTEM, email="root@example.org", password=PASSWORD, role=Role.ADMIN, time_zone=time_zone
    )
    return asyncio.run(made).email


@pytest.mark.usefixtures("tasks")
def test_an_administrator_names_whose_tasks_are_filtered(core: Core, taskcli: Taskcli) -> None:
    """With --owner, because --as means the tasks of all users."""
    root = administrator(core)
    taskcli("tasks", "create", "--as", root, "--title", "Rule")
    refused = taskcli("tasks", "list", "--as", root, "--status", "open")
    assert refused.code == 65
    assert "(an administrator always here, themselves too)" in refused.err
    for owner, titles in ((root, [("Rule",)]), ("bob@example.org", [("Swim",)])):
        whose = ("--as", root, "--owner", owner)
        assert columns(taskcli, *whose, "--status", "open", names=("title",)) == titles


@pytest.mark.usefixtures("tasks")
def test_a_cursor_reads_on_in_the_same_list_only(taskcli: Taskcli) -> None:
    command = ("tasks", "list", *ADA, "--limit", "2", "--json", "--sort")
    first = json.loads(taskcli(*command, "due").out)
    second = json.loads(taskcli(*command, "due", "--cursor", first["next_cursor"]).out)
    assert [task["title"] for task in second["items"]] == ["Read"]
    assert second["next_cursor"] is None
    other = taskcli(*command, "priority", "--cursor", first["next_cursor"])
    assert other.code == 65
    assert "--cursor: is the cursor of another list" in other.err


def rows(taskcli: Taskcli, *options: str) -> list[list[str]]:
    return [line.split("\t") for line in taskcli("tasks", *options).out.splitlines()]


def columns(taskcli: Taskcli, *options: str, names: Sequence[str]) -> list[tuple[str, ...]]:
    """These columns of the list."""
    heading, *found = rows(taskcli, "list", *options)
    places = [heading.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in found]


@pytest.mark.usefixtures("tasks")
def test_people_see_the_due_and_whether_it_is_past(taskcli: Taskcli) -> None:
    assert columns(taskcli, *ADA, names=("status", "priority", "due", "title", "labels")) == [
        ("done", "none", "-", "Read", "home"),
        ("todo", "high", "2029-12-31 !", "Call", "Phone"),
        ("todo", "low", "2030-01-03 09:00Z", "Write", "home"),
    ]


@pytest.mark.usefixtures("tasks")
def test_days_and_dues_are_those_of_the_users_time_zone(core: Core, taskcli: Taskcli) -> None:
    async def move() -> None:
        ada = await core.accounts.find(SYSTEM, "ada@example.org")
        assert ada
        await core.accounts.change(SYSTEM, ada.id, time_zone="Pacific/Kiritimati")

    asyncio.run(move())  # to 14 hours before UTC, where it is 17:06
    tomorrow = ("--due", "tomorrow 09:00", "--json")
    made = json.loads(taskcli("tasks", "create", *ADA, "--title", "Fish", *tomorrow).out)
    assert (made["due_at"], made["time_zone"]) == ("2030-01-02T19:00:00Z", "Pacific/Kiritimati")
    edited = json.loads(taskcli("tasks", "edit", str(made["id"]), *tomorrow).out)
    assert edited == made
    for whose in (ADA, OF_ADA):
        soon = (*whose, "--due-from", "tomorrow", "--due-until", "+2d")
        assert columns(taskcli, *soon, names=("due", "title")) == [
            ("2030-01-03 09:00+14:00", "Fish"),
            ("2030-01-03 23:00+14:00", "Write"),
        ]
    assert ("2030-01-02 19:00Z",) in columns(taskcli, names=("due",))
    root = administrator(core, "Asia/Tokyo")
    assert ("2030-01-03 04:00+09:00",) in columns(taskcli, "--as", root, names=("due",))


@pytest.mark.usefixtures("tasks")
def test_a_list_of_all_users_tasks_names_the_owners(taskcli: Taskcli) -> None:
    heading, *found = rows(taskcli, "list")
    assert heading[-1] == "owner_id"
    assert len({row[-1] for row in found}) == 2
    for options in (["--limit", "1"], ["--skip", "1"], ["--all"]):  # whatever is on the page
        assert rows(taskcli, "list", *options)[0] == heading
    for whose in (ADA, OF_ADA):
        assert "owner_id" not in rows(taskcli, "list", *whose)[0]


@pytest.mark.usefixtures("tasks")
def test_labels_are_counted(taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows(taskcli, "labels", *OF_ADA) == [["name", "count"], ["home", "2"], ["Phone", "1"]]
    assert json.loads(taskcli("tasks", "labels", *ADA, "--limit", "1", "--json").out) == {
        "items": [{"name": "home", "count": 2}],
        "next_cursor": (cursor := "bGFiZWxzIGhvbWU"),
    }
    read_on = taskcli("tasks", "labels", *ADA, "--limit", "1")
    assert read_on.err == f"taskcli: 1 shown; --cursor {cursor} shows the next\n"
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    assert taskcli("tasks", "labels", *ADA, "--cursor", cursor).out == "name   count\nPhone  1\n"
    assert taskcli("tasks", "labels", *BOB).err == "taskcli: nothing found\n"


@pytest.mark.parametrize("noun", ["labels", "trash"])
def test_the_operator_names_whose_they_are(taskcli: Taskcli, noun: str) -> None:
    refused = taskcli("tasks", noun)
    assert refused.code == 2
    assert f"name the user whose {noun} you mean, with --owner EMAIL|ID or --as" in refused.err
