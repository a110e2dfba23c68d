"""`--all`, pages and cursors, which all lists have in the same way."""

import asyncio
import json
import re
from datetime import timedelta

import pytest

from taskcli import list_pages
from taskcore import SYSTEM, Actor, Core, Role, TaskId
from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.bulk import Create, Delete, Operation
from taskcore.testing.contracts.stored import NOW, add_user, open_session
from tests.cli.conftest import Taskcli

MANY = 205  # three pages
ADA, BOB = ("--as", "ada@example.org"), ("--as", "bob@example.org")
LISTS = [
    "tasks list --as ada@example.org",
    "tasks list --as ada@example.org --sort due",
    "tasks trash --as ada@example.org",
    "tasks history 1 --as ada@example.org",
    "sessions list",
    "users list --role admin",
    "audit --event logout",
]


@pytest.fixture
def crowd(core: Core) -> None:
    """Has MANY of what each list shows."""

    async def make() -> None:
        ada = await core.accounts.find(SYSTEM, "ada@example.org")
        assert ada
        actor = Actor(ada.id, ada.role)
        fifth: list[Operation] = [Create({"title": "für"})] * (MANY // 5)
        for _ in range(5):
            await core.tasks.bulk(actor, fifth)
        for _ in range(5):
            made = await core.tasks.bulk(actor, fifth)
            await core.tasks.bulk(actor, [Delete(task.id) for task in made if task])
        for number in range(1, MANY):
            await core.tasks.edit(actor, TaskId(1), title=str(number))
        for number in range(MANY):
            user = await add_user(core.store, f"user{number}", role=Role.ADMIN)
            later = NOW + timedelta(seconds=number)
            async with core.store.autocommit() as db:
                await open_session(db, user, later)
                await db.audit.add(NewAuditEvent.by(actor, AuditEventName.LOGOUT, later))

    asyncio.run(make())


def distinct(items: list[dict[str, object]]) -> int:
    return len({str(item.get("id", item.get("position"))) for item in items})


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("command", LISTS)
def test_all_of_a_list_is_written_as_one(taskcli: Taskcli, command: str) -> None:
    listed = taskcli(*command.split(), "--all", "--json")
    assert (listed.code, listed.err, listed.out.isascii()) == (0, "", True)
    whole = json.loads(listed.out)
    items = whole.pop("items")
    assert whole == {"total": MANY, "skip": 0, "limit": MANY, "next_cursor": None}
    assert (len(items), distinct(items)) == (MANY, MANY)

    piped = taskcli(*command.split(), "--all")
    heading, *found = [line.split("\t") for line in piped.out.splitlines()]
    assert (len(found), found.count(heading)) == (MANY, 0)
    assert {len(row) for row in found} == {len(heading)}
    assert piped.err == f"taskcli: {MANY} shown\n"

    behind = json.loads(taskcli(*command.split(), "--all", "--skip", "150", "--json").out)
    assert behind["items"] == items[150:]
    assert taskcli(*command.split(), "--all", "--skip", "150").out.splitlines() == [
        *piped.out.splitlines()[:1],
        *piped.out.splitlines()[151:],
    ]


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("command", LISTS)
def test_a_page_says_how_the_list_goes_on(taskcli: Taskcli, command: str) -> None:
    page = taskcli(*command.split())
    note = rf"taskcli: 1 to 100 of {MANY}; --cursor (\S+) shows the next, --all all\n"
    found = re.fullmatch(note, page.err)
    assert found
    rest = json.loads(taskcli(*command.split(), "--cursor", found[1], "--all", "--json").out)
    assert (len(rest["items"]), rest["next_cursor"]) == (MANY - 100, None)


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--limit 101", 65, "--limit: must be from 1 to 100; --all shows all"),
        ("--limit 0", 65, "--limit: must be from 1 to 100; --all shows all"),
        ("--all --limit 5", 2, "--all shows all: leave it out, or --limit"),
    ],
)
def test_a_limit_that_does_not_fit_is_refused(
    taskcli: Taskcli, command: str, options: str, code: int, said: str
) -> None:
    refused = taskcli(*command.split(), *options.split())
    assert (refused.code, refused.out) == (code, "")
    assert refused.err.startswith(f"taskcli: {said}\n")


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("command", [each for each in LISTS if "history" not in each])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--skip 10001 --all --json", "--skip: must be from 0 to 10000"),
        ("--cursor x --all --json", "--cursor: is no cursor of ours"),
    ],
)
def test_a_refused_place_is_named_by_its_option_before_anything_is_printed(
    taskcli: Taskcli, command: str, options: str, said: str
) -> None:
    refused = taskcli(*command.split(), *options.split())
    assert (refused.code, refused.out) == (65, "")
    assert refused.err.startswith(f"taskcli: {said}")


@pytest.mark.usefixtures("crowd")
def test_all_of_a_list_is_one_table_on_a_terminal(
    taskcli: Taskcli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_pages, "is_terminal", lambda: True)
    assert len(taskcli("tasks", "list", *ADA, "--all").out.splitlines()) == 2 + MANY
    assert taskcli("tasks", "list", *BOB, "--all").err == "taskcli: nothing found\n"
    beneath = taskcli("tasks", "history", "1", "--all").out.splitlines()
    assert beneath[-1] == "    title: für"
    assert len(beneath) == 2 + 2 * MANY
    beyond = taskcli("tasks", "list", *ADA, "--all", "--skip", "500")
    assert (beyond.out, beyond.err) == ("", f"taskcli: none here, {MANY} in all\n")


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("command", LISTS[2:3] + LISTS[4:5])
def test_all_of_nothing_is_an_empty_list(taskcli: Taskcli, command: str) -> None:
    empty = {"items": [], "total": 0, "skip": 0, "limit": 0, "next_cursor": None}
    assert json.loads(taskcli(*command.split(), "--all", "--json").out) == empty
    assert taskcli(*command.split(), "--all").err == "taskcli: nothing found\n"
