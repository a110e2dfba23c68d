"""What lists of tasks may be asked for, and by whom, on both stores."""

from collections.abc import Awaitable
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from taskcore import (
    SYSTEM,
    Actor,
    Core,
    Forbidden,
    Invalid,
    Role,
    Sort,
    Status,
    Task,
    TaskQuery,
    UserId,
    cursors,
)
from tests.conftest import ManualClock
from tests.guards import agree
from tests.usecases.people import join, living_in

pytestmark = pytest.mark.anyio

TICK = timedelta(microseconds=1)
OVERDUE = TaskQuery(overdue=True)


async def titles(core: Core, actor: Actor, query: TaskQuery, **named: Any) -> list[str]:
    return [task.title for task in (await core.tasks.page(actor, query, **named)).items]


async def codes(call: Awaitable[object]) -> set[tuple[str, str]]:
    with pytest.raises(Invalid) as refusal:
        await call
    return {(problem.field, problem.code) for problem in refusal.value.problems}


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Pacific/Kiritimati", datetime(2030, 5, 5, 10, tzinfo=UTC)),  # 14 hours ahead
        ("Pacific/Niue", datetime(2030, 5, 6, 11, tzinfo=UTC)),  # 11 hours behind
        ("UTC", datetime(2030, 5, 6, tzinfo=UTC)),
    ],
)
async def test_a_day_is_over_when_it_is_in_the_asking_users_zone(
    core: Core, clock: ManualClock, zone: str, begins: datetime
) -> None:
    """`begins` is when the sixth of May begins there, and what was due on the fifth is late."""
    ada = await living_in(core, zone, await join(core, "ada"))
    root = await join(core, "root", Role.ADMIN)
    for day in (4, 5, 6):
        await core.tasks.create(ada.actor, title=f"{day}", due_date=date(2030, 5, day))
    clock.moment = begins - TICK
    assert await titles(core, ada.actor, OVERDUE) == ["4"]
    clock.moment = begins
    assert await titles(core, ada.actor, OVERDUE) == ["5", "4"]
    clock.moment = begins + timedelta(days=1) - TICK
    assert await titles(core, ada.actor, OVERDUE) == ["5", "4"]
    # An administrator lives in UTC, whosever tasks they are.
    clock.moment = datetime(2030, 5, 6, tzinfo=UTC)
    assert await titles(core, root.actor, OVERDUE, owner_id=ada.user.id) == ["5", "4"]
    clock.moment -= TICK
    assert await titles(core, root.actor, OVERDUE, owner_id=ada.user.id) == ["4"]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
async def test_a_moment_is_past_when_it_is_past_everywhere(
    core: Core, clock: ManualClock, zone: str
) -> None:
    ada = await living_in(core, zone, await join(core, "ada"))
    due = clock.now() + timedelta(days=1)
    await core.tasks.create(ada.actor, title="x", due_at=due)
    for moment, late in ((due - TICK, []), (due, []), (due + TICK, ["x"])):
        clock.moment = moment
        assert await titles(core, ada.actor, OVERDUE) == late


async def test_only_open_tasks_are_overdue(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    for status in Status:
        for due in ({"due_date": date(2029, 1, 1)}, {"due_at": clock.now() - TICK}, {}):
            await core.tasks.create(ada.actor, title=status, status=status, **due)
    assert await titles(core, ada.actor, OVERDUE) == ["in_progress"] * 2 + ["todo"] * 2
    done = TaskQuery(overdue=True, status=["done", "todo"])
    assert await titles(core, ada.actor, done) == ["todo"] * 2
    page = await core.tasks.page(ada.actor, TaskQuery(overdue=True, status=["closed"]))
    assert (list(page.items), page.total, page.has_more) == ([], 0, False)


async def test_bounds_that_are_days_begin_where_the_reader_lives(core: Core) -> None:
    ada = await living_in(core, "Pacific/Kiritimati", await join(core, "ada"))
    begins = datetime(2030, 5, 5, 10, tzinfo=UTC)  # the sixth of May
    for title, due in (("late", begins - TICK), ("early", begins)):
        await core.tasks.create(ada.actor, title=title, due_at=due)
    await core.tasks.create(ada.actor, title="day", due_date=date(2030, 5, 6))
    sixth = date(2030, 5, 6)
    assert await titles(core, ada.actor, TaskQuery(due_from=sixth)) == ["day", "early"]
    assert await titles(core, ada.actor, TaskQuery(due_until=sixth)) == ["late"]
    assert await titles(core, ada.actor, TaskQuery(due_from=begins)) == ["day", "early"]
    assert await titles(core, ada.actor, TaskQuery(due_from=begins + TICK)) == []


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ({"status": ["todo"] * 21}, {("status", "too_many")}),
        (
            {"priority": ["low"] * 21, "label": ["x"] * 21},
            {("priority", "too_many"), ("label", "too_many")},
        ),
        ({"status": ["all"]}, {("status", "wrong_type")}),
        ({"priority": ["open"]}, {("priority", "wrong_type")}),
        ({"sort": Sort.RELEVANCE}, {("sort", "relevance_without_q")}),
        ({"q": ""}, {("q", "too_short")}),
        ({"q": "x" * 201}, {("q", "too_long")}),
        ({"q": "-- ' \U0001f600"}, {("q", "no_words")}),
        ({"q": "a b c d e f g h i"}, {("q", "too_many_words")}),
    ],
)
async def test_a_query_that_breaks_a_rule_is_refused_with_its_code(
    core: Core, query: dict[str, Any], problems: set[tuple[str, str]]
) -> None:
    ada = await join(core, "ada")

    async def ask() -> None:
        await core.tasks.page(ada.actor, TaskQuery(**query))

    assert await codes(ask()) == problems


async def test_twenty_values_and_eight_words_are_taken(core: Core) -> None:
    ada = await join(core, "ada")
    words = "a b c d e f g h"
    await core.tasks.create(ada.actor, title=words, labels=["0"])
    many = TaskQuery(
        status=["open"] * 20, priority=["none"] * 20, label=[*map(str, range(20))], q=f"{words} A"
    )
    assert await titles(core, ada.actor, many) == [words]


async def test_an_administrator_who_asks_for_more_than_the_plain_list_names_an_owner(
    core: Core,
) -> None:
    ada, root = await join(core, "ada"), await join(core, "root", Role.ADMIN)
    await core.tasks.create(ada.actor, title="x")
    for query in (OVERDUE, TaskQuery(sort=Sort.DUE), TaskQuery(q="x"), TaskQuery(status=["open"])):
        for actor in (root.actor, SYSTEM):
            assert await codes(core.tasks.page(actor, query)) == {("owner_id", "owner_required")}
            await core.tasks.page(actor, query, owner_id=ada.user.id)
        await core.tasks.page(ada.actor, query)
    for plain in (TaskQuery(), TaskQuery(sort=Sort.NEWEST)):
        assert await titles(core, root.actor, plain) == ["x"]


async def test_lists_of_others_are_for_administrators(core: Core) -> None:
    ada, bob = await join(core, "ada"), await join(core, "bob")
    root = await join(core, "root", Role.ADMIN)
    made = await core.tasks.create(ada.actor, title="x", labels=["home"])
    thrown = await core.tasks.create(ada.actor, title="y", labels=["away"])
    await core.tasks.delete(ada.actor, thrown.id)
    owner_id = ada.user.id
    for call in (
        core.tasks.page(bob.actor, TaskQuery(q="x"), owner_id=owner_id),
        core.tasks.labels(bob.actor, owner_id=owner_id),
        core.tasks.trash(bob.actor, owner_id=owner_id),
        core.tasks.labels(SYSTEM),
        core.tasks.trash(SYSTEM),
    ):
        with pytest.raises(Forbidden):
            await call
    for actor, whose in ((ada.actor, None), (root.actor, owner_id), (SYSTEM, owner_id)):
        page = await core.tasks.page(actor, TaskQuery(q="x"), owner_id=owner_id)
        assert (list(page.items), page.total) == ([made], 1)
        assert [label.name for label in (await core.tasks.labels(actor, owner_id=whose)).items] == [
            "home"
        ]
        assert [task.id for task in (await core.tasks.trash(actor, owner_id=whose)).items] == [
            thrown.id
        ]
    # Of an administrator who names no owner, one's own.
    assert (await core.tasks.labels(root.actor)).items == []
    assert (await core.tasks.trash(root.actor)).items == []


async def test_slices_are_bounded(core: Core) -> None:
    ada = await join(core, "ada")
    for call in (
        core.tasks.page(ada.actor, OVERDUE, skip=10_001),
        core.tasks.trash(ada.actor, skip=10_001),
    ):
        assert await codes(call) == {("skip", "out_of_range")}
    limited: tuple[Awaitable[object], ...] = (
        core.tasks.page(ada.actor, OVERDUE, limit=101),
        core.tasks.trash(ada.actor, limit=0),
        core.tasks.labels(ada.actor, limit=0),
        core.tasks.labels(ada.actor, limit=1001),
    )
    for refused in limited:
        assert await codes(refused) == {("limit", "out_of_range")}
    await core.tasks.page(ada.actor, OVERDUE, skip=10_000)


QUERIES = [
    TaskQuery(sort=Sort.OLDEST),
    TaskQuery(sort=Sort.DUE),
    TaskQuery(sort=Sort.UPDATED),
    TaskQuery(sort=Sort.PRIORITY),
    TaskQuery(status=["todo"]),
    TaskQuery(status=["open"]),
    TaskQuery(priority=["none"]),
    TaskQuery(label=["a"]),
    TaskQuery(due_from=date(2030, 1, 1)),
    TaskQuery(due_until=date(2040, 1, 1)),
    TaskQuery(due_until=datetime(2040, 1, 1, tzinfo=UTC)),
    TaskQuery(completed_from=date(2030, 1, 1)),
    TaskQuery(completed_until=date(2030, 1, 1)),
    TaskQuery(updated_from=date(2030, 1, 1)),
    TaskQuery(overdue=True),
    TaskQuery(q="x"),
    TaskQuery(q="x", sort=Sort.NEWEST),
    TaskQuery(q="y"),
]


@pytest.mark.parametrize("query", [TaskQuery(), *QUERIES], ids=str)
async def test_a_cursor_reads_on_in_its_list_and_fits_no_other(
    core: Core, query: TaskQuery
) -> None:
    ada = await join(core, "ada")
    done = Status.DONE if query.completed_from or query.completed_until else Status.TODO
    for number in range(5):
        task = await core.tasks.create(
            ada.actor,
            title=f"x y {number}",
            labels=["A"],
            due_date=date(2030 - query.overdue, 1, 1 + number % 2),
            status=done,
        )
    if query.completed_until:
        query = TaskQuery(completed_until=task.created_at + TICK)
    of = cursors.tasks(query)
    read: list[Task] = []
    after = None
    while True:
        page = await core.tasks.page(ada.actor, query, limit=2, after=after)
        read += page.items
        if not (cursor := of.after(page)):
            break
        after = of.read(cursor)
        for other in (TaskQuery(), *QUERIES):
            if other != query:
                with pytest.raises(Invalid) as refusal:
                    cursors.tasks(other).read(cursor)
                assert [each.code for each in refusal.value.problems] == ["cursor_mismatch"]
    assert read == list((await core.tasks.page(ada.actor, query)).items)
    assert len(read) == 5


async def test_a_cursor_fits_every_way_to_ask_for_the_same(core: Core) -> None:
    ada = await join(core, "ada")
    for _ in range(2):
        await core.tasks.create(ada.actor, title="x", labels=["caf\u00e9"])
    query = TaskQuery(status=["done", "todo"], label=["caf\u00e9", "b"])
    page = await core.tasks.page(ada.actor, query, limit=1)
    cursor = cursors.tasks(query).after(page)
    assert cursor
    same = TaskQuery(status=["todo", "done", "todo"], label=["B", "CAFE\u0301"], sort=Sort.NEWEST)
    assert cursors.tasks(same).read(cursor) == cursors.tasks(query).read(cursor)
    for other in (cursors.tasks(query, ada.user.id), cursors.TRASH, cursors.LABELS):
        with pytest.raises(Invalid) as refusal:
            other.read(cursor)
        assert [problem.code for problem in refusal.value.problems] == ["cursor_mismatch"]


DAY, OTHER_DAY = date(2030, 1, 1), date(2030, 1, 2)
BASE = TaskQuery(
    status=["open"],
    priority=["low"],
    label=["a"],
    due_from=DAY,
    due_until=DAY,
    completed_from=DAY,
    completed_until=DAY,
    updated_from=DAY,
    q="x",
    sort=Sort.DUE,
)
OTHERS: dict[str, Any] = {
    "status": ["closed"],
    "priority": ["high"],
    "label": ["b"],
    "due_from": OTHER_DAY,
    "due_until": OTHER_DAY,
    "overdue": True,
    "completed_from": OTHER_DAY,
    "completed_until": OTHER_DAY,
    "updated_from": OTHER_DAY,
    "q": "y",
    "sort": Sort.PRIORITY,
}


def test_every_field_of_a_query_makes_another_list() -> None:
    agree([field.name for field in fields(TaskQuery)], OTHERS, "OTHERS", "add another value")
    queries = [BASE, *(replace(BASE, **{name: value}) for name, value in OTHERS.items())]
    prints = {query.fingerprint(owner) for query in queries for owner in (None, UserId(1))}
    assert len(prints) == 2 * len(queries)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("status", "open", "wrong_type"),
        ("priority", "low", "wrong_type"),
        ("label", "home", "wrong_type"),
        ("label", None, "wrong_type"),
        ("label", [1], "wrong_type"),
        ("label", [""], "too_short"),
        ("label", ["x" * 65], "too_long"),
        ("due_from", datetime(2030, 1, 1), "offset_required"),  # noqa: DTZ001 - what is refused
        ("updated_from", datetime(2030, 1, 1), "offset_required"),  # noqa: DTZ001
        ("due_until", "2030-01-01", "wrong_type"),
        ("overdue", "false", "wrong_type"),
        ("q", 1, "wrong_type"),
        ("sort", "newest", "wrong_type"),
        ("sort", "relevance", "relevance_without_q"),
    ],
)
def test_a_query_that_could_find_nothing_is_refused_when_it_is_made(
    field: str, value: Any, code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        TaskQuery(**{field: value})
    assert [(each.field, each.code) for each in refusal.value.problems] == [(field, code)]


def test_an_order_may_be_a_word() -> None:
    assert TaskQuery(sort="due").order is Sort.DUE
    assert TaskQuery(sort="-created").is_plain
