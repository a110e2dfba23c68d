"""The fields of tasks: their values, and what follows from them, on both stores."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest

from taskcore import Core, Invalid, Priority, Status
from tests.conftest import ManualClock
from tests.usecases.people import Person, join, living_in

pytestmark = pytest.mark.anyio

DAY, MOMENT = date(2030, 5, 6), datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
LATER = MOMENT + timedelta(hours=1)
AT = {"due_at": MOMENT, "time_zone": "Asia/Tokyo"}
BOTH_NULL = {"due_date": None, "due_at": None}


async def refused(core: Core, person: Person, **fields: Any) -> set[tuple[str, str]]:
    """The fields and codes, the same for a new task and for an edit, which changes nothing."""
    task = await core.tasks.create(person.actor, title="x")
    told = []
    for call in (
        core.tasks.create(person.actor, **({"title": "x"} | fields)),
        core.tasks.edit(person.actor, task.id, **fields),
    ):
        with pytest.raises(Invalid) as refusal:
            await call
        told.append({(problem.field, problem.code) for problem in refusal.value.problems})
    assert told[0] == told[1]
    assert (await core.tasks.page(person.actor)).items == [task]
    await core.tasks.delete(person.actor, task.id)
    return told[0]


async def test_what_is_left_out_has_its_default(core: Core) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x")
    assert (task.description, task.status, task.priority) == ("", Status.TODO, Priority.NONE)
    assert (task.due_date, task.due_at, task.time_zone) == (None, None, None)
    assert (task.labels, task.completed_at, task.deleted_at) == ((), None, None)


async def test_every_status_may_follow_every_other(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    for before, after in product(Status, Status):
        task = await core.tasks.create(ada.actor, title="x", status=before)
        made = clock.now()
        assert task.completed_at == (made if before is Status.DONE else None)
        assert task.is_open is (before in {Status.TODO, Status.IN_PROGRESS})
        clock.advance(hours=1)
        edited = await core.tasks.edit(ada.actor, task.id, status=after)
        assert edited.status is after
        entered = made if before is Status.DONE else clock.now()
        assert edited.completed_at == (entered if after is Status.DONE else None)
        assert edited.version == (1 if before is after else 2)
        assert await core.tasks.get(ada.actor, task.id) == edited


async def test_a_done_task_stays_completed_when_it_was(core: Core, clock: ManualClock) -> None:
    ada = await join(core, "ada")
    done = await core.tasks.create(ada.actor, title="x", status=Status.DONE)
    clock.advance(hours=1)
    again = await core.tasks.edit(ada.actor, done.id, status=Status.DONE, title="y")
    assert (again.completed_at, again.version) == (done.completed_at, 2)
    await core.tasks.delete(ada.actor, done.id)
    assert (await core.tasks.restore(ada.actor, done.id)).completed_at == done.completed_at
    await core.tasks.edit(ada.actor, done.id, status=Status.TODO)
    clock.advance(hours=1)
    once_more = await core.tasks.edit(ada.actor, done.id, status=Status.DONE)
    assert once_more.completed_at == clock.now()


@pytest.mark.parametrize(
    ("before", "changes", "due"),
    [
        ({}, {"due_date": DAY}, (DAY, None, None)),
        ({}, AT, (None, MOMENT, "Asia/Tokyo")),
        ({}, {"due_at": MOMENT}, (None, MOMENT, "Europe/Berlin")),
        ({}, {"due_at": MOMENT, "time_zone": None}, (None, MOMENT, "Europe/Berlin")),
        ({}, {"due_date": DAY, "due_at": None}, (DAY, None, None)),
        ({}, {"due_date": None, "due_at": MOMENT}, (None, MOMENT, "Europe/Berlin")),
        ({}, {**BOTH_NULL, "time_zone": None}, (None, None, None)),
        # Naming one kind with a value clears the other, and with the moment its zone.
        (AT, {"due_date": DAY}, (DAY, None, None)),
        (AT, {"due_date": DAY, "time_zone": None}, (DAY, None, None)),
        ({"due_date": DAY}, {"due_at": MOMENT}, (None, MOMENT, "Europe/Berlin")),
        # NULL clears the one that it names.
        (AT, {"due_date": None}, (None, MOMENT, "Asia/Tokyo")),
        ({"due_date": DAY}, {"due_at": None}, (DAY, None, None)),
        ({"due_date": DAY}, {"due_date": None}, (None, None, None)),
        (AT, {"due_at": None}, (None, None, None)),
        (AT, {"time_zone": "Pacific/Niue"}, (None, MOMENT, "Pacific/Niue")),
        # A new moment does not keep the zone of the one before; the same moment is not new.
        (AT, {"due_at": LATER}, (None, LATER, "Europe/Berlin")),
        (AT, {"due_at": LATER, "time_zone": "Asia/Tokyo"}, (None, LATER, "Asia/Tokyo")),
        (AT, {"due_at": MOMENT, "title": "y"}, (None, MOMENT, "Asia/Tokyo")),
        (AT, {"title": "y"}, (None, MOMENT, "Asia/Tokyo")),
    ],
)
async def test_a_task_is_due_on_a_day_or_at_a_moment_or_never(
    core: Core, before: dict[str, Any], changes: dict[str, Any], due: tuple[Any, ...]
) -> None:
    ada = await living_in(core, "Europe/Berlin", await join(core, "ada"))
    task = await core.tasks.create(ada.actor, title="x", **before)
    edited = await core.tasks.edit(ada.actor, task.id, **changes)
    assert (edited.due_date, edited.due_at, edited.time_zone) == due
    assert await core.tasks.get(ada.actor, task.id) == edited
    if not before:
        made = await core.tasks.create(ada.actor, **({"title": "x"} | changes))
        assert (made.due_date, made.due_at, made.time_zone) == due


async def test_a_moment_is_answered_in_utc(core: Core) -> None:
    ada = await join(core, "ada")
    there = datetime(2030, 5, 6, 1, tzinfo=timezone(timedelta(hours=14)))
    task = await core.tasks.create(ada.actor, title="x", due_at=there)
    assert task.due_at == datetime(2030, 5, 5, 11, tzinfo=UTC)
    assert task.due_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"due_date": DAY, "due_at": MOMENT}, {("due_at", "one_due_only")}),
        ({"due_date": DAY, **AT}, {("due_at", "one_due_only")}),
        ({"time_zone": "Asia/Tokyo"}, {("time_zone", "time_zone_without_due_at")}),
        (
            {"due_date": DAY, "time_zone": "Asia/Tokyo"},
            {("time_zone", "time_zone_without_due_at")},
        ),
        (
            {"due_at": None, "time_zone": "Asia/Tokyo"},
            {("time_zone", "time_zone_without_due_at")},
        ),
        *(
            ({"due_at": MOMENT, "time_zone": name}, {("time_zone", "unknown_time_zone")})
            for name in ("Mars/Olympus", "", "UTC ", "asia/tokyo", "../etc/passwd", "localtime")
        ),
        ({"due_at": MOMENT.replace(tzinfo=None)}, {("due_at", "offset_required")}),
        # Tasks without a due are sorted by this moment.
        ({"due_at": datetime.max.replace(tzinfo=UTC)}, {("due_at", "out_of_range")}),
        *(
            ({name: None}, {(name, "not_nullable")})
            for name in ("title", "description", "status", "priority", "labels")
        ),
        ({"status": "open"}, {("status", "wrong_type")}),
        ({"status": "Done"}, {("status", "wrong_type")}),
        ({"priority": "1"}, {("priority", "wrong_type")}),
        ({"labels": [str(n) for n in range(21)]}, {("labels", "too_many")}),
        ({"labels": "hello"}, {("labels", "wrong_type")}),
        ({"labels": [1]}, {("labels/0", "wrong_type")}),
        ({"title": 1, "description": 2}, {("title", "wrong_type"), ("description", "wrong_type")}),
        ({"labels": ["a", "b", "A"]}, {("labels/2", "duplicate_label")}),
        ({"labels": ["caf\u00e9", "CAFE\u0301"]}, {("labels/1", "duplicate_label")}),
        ({"labels": ["stra\u00dfe", "STRASSE"]}, {("labels/1", "duplicate_label")}),
        ({"labels": ["", "x" * 65]}, {("labels/0", "too_short"), ("labels/1", "too_long")}),
        *(
            ({"labels": [f"a{text}"]}, {("labels/0", "control_character")})
            for text in ("\n", "\t", "\x00", "\x85")
        ),
        (
            {"title": "", "status": None, "priority": "x", "time_zone": "y", "labels": ["", "a"]},
            {
                ("title", "too_short"),
                ("status", "not_nullable"),
                ("priority", "wrong_type"),
                ("time_zone", "unknown_time_zone"),
                ("labels/0", "too_short"),
            },
        ),
    ],
)
async def test_what_breaks_a_rule_is_refused_with_its_code(
    core: Core, fields: dict[str, Any], problems: set[tuple[str, str]]
) -> None:
    assert await refused(core, await join(core, "ada"), **fields) == problems


async def test_labels_are_replaced_as_a_whole_and_kept_as_sent(core: Core) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, title="x", labels=["b", "A"])
    assert task.labels == ("b", "A")
    for labels in (["A"], ["a"], [str(n) for n in range(20)], ["x" * 64], []):
        edited = await core.tasks.edit(ada.actor, task.id, labels=labels)
        assert edited.labels == tuple(labels)
        assert await core.tasks.get(ada.actor, task.id) == edited
    assert edited.version == 6


FULL: dict[str, Any] = {
    "title": "x",
    "description": "y",
    "status": "done",
    "priority": "high",
    "labels": ["b", "A"],
    **AT,
}


@pytest.mark.parametrize(
    "same",
    [
        *({name: value} for name, value in FULL.items()),
        FULL,
        {"due_at": MOMENT.astimezone(timezone(timedelta(hours=9)))},
        {"due_date": None},
        {"status": Status.DONE, "priority": Priority.HIGH, "labels": ("b", "A")},
    ],
    ids=str,
)
async def test_an_edit_that_changes_no_field_keeps_the_version(
    core: Core, clock: ManualClock, same: dict[str, Any]
) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, **FULL)
    clock.advance(hours=1)
    assert await core.tasks.edit(ada.actor, task.id, **same) == task
    assert await core.tasks.get(ada.actor, task.id) == task


@pytest.mark.parametrize(
    "other",
    [
        {"labels": ["A", "b"]},  # their order is kept
        {"labels": ["b", "a"]},
        {"description": "Y"},
        {"due_at": MOMENT + timedelta(microseconds=1)},
        {"time_zone": "Asia/Seoul"},  # of the same offset
        {"priority": "urgent"},
    ],
)
async def test_any_other_edit_is_a_new_version(
    core: Core, clock: ManualClock, other: dict[str, Any]
) -> None:
    ada = await join(core, "ada")
    task = await core.tasks.create(ada.actor, **FULL)
    clock.advance(hours=1)
    edited = await core.tasks.edit(ada.actor, task.id, **other)
    assert (edited.version, edited.updated_at) == (2, clock.now())
    assert edited.created_at == task.created_at
