"""What happened to a task, and its earlier versions, on both stores."""

from datetime import date

import pytest

from taskcore import (
    AuditEventName,
    Core,
    HistoryGone,
    Invalid,
    NotFound,
    Priority,
    Role,
    StaleWrite,
    Status,
    TaskEventType,
)
from taskcore.ports import Store
from tests.conftest import ManualClock
from tests.usecases.people import join

pytestmark = pytest.mark.anyio


async def test_a_task_gets_the_content_of_an_earlier_version_as_a_new_one(
    core: Core, clock: ManualClock
) -> None:
    ada = (await join(core, "ada")).actor
    first = await core.tasks.create(ada, title="Write", labels=["a"], due_date=date(2031, 2, 3))
    await core.tasks.edit(ada, first.id, title="Read", priority=Priority.HIGH)
    await core.tasks.edit(ada, first.id, due_at=clock.now(), labels=[], status=Status.DONE)
    clock.advance(hours=1)
    reverted = await core.tasks.revert(ada, first.id, 1)
    assert (reverted.version, reverted.updated_at) == (4, clock.now())
    for field in ("title", "labels", "due_date", "due_at", "time_zone", "priority", "status"):
        assert getattr(reverted, field) == getattr(first, field)
    assert reverted.completed_at is None
    assert await core.tasks.get(ada, first.id) == reverted
    latest, *_ = (await core.tasks.history(ada, first.id)).items
    assert (latest.type, latest.version) == (TaskEventType.UPDATED, 4)
    assert set(latest.changes) == {
        *("title", "labels", "due_date", "due_at", "time_zone", "priority", "status")
    }


async def test_to_revert_to_what_a_task_is_changes_nothing(core: Core) -> None:
    ada = (await join(core, "ada")).actor
    task = await core.tasks.create(ada, title="x")
    assert await core.tasks.revert(ada, task.id, 1) == task
    await core.tasks.edit(ada, task.id, title="y")
    await core.tasks.edit(ada, task.id, title="x")
    assert (await core.tasks.revert(ada, task.id, 1)).version == 3


async def test_versions_that_never_were_or_are_not_expected_are_refused(core: Core) -> None:
    ada = (await join(core, "ada")).actor
    task = await core.tasks.create(ada, title="x")
    await core.tasks.edit(ada, task.id, title="y")
    for version in (0, 3, -1):
        with pytest.raises(HistoryGone):
            await core.tasks.revert(ada, task.id, version)
    with pytest.raises(StaleWrite):
        await core.tasks.revert(ada, task.id, 1, expected_version=1)
    assert (await core.tasks.get(ada, task.id)).title == "y"


async def test_what_an_administrator_reverts_is_in_the_audit(core: Core, store: Store) -> None:
    ada, root = (await join(core, "ada")).actor, (await join(core, "root", Role.ADMIN)).actor
    task = await core.tasks.create(ada, title="x")
    await core.tasks.edit(ada, task.id, title="y")
    assert (await core.tasks.revert(root, task.id, 1)).title == "x"
    async with store.autocommit() as db:
        events = await db.audit.page(skip=0, limit=9, event=AuditEventName.TASK_CHANGED)
    assert [event.actor_id for event in events.items] == [root.user_id]
    latest, *_ = (await core.tasks.history(ada, task.id)).items
    assert latest.actor_id == root.user_id


async def test_the_history_of_a_task_in_the_trash_is_shown_until_it_is_purged(core: Core) -> None:
    ada, bob = (await join(core, "ada")).actor, (await join(core, "bob")).actor
    task = await core.tasks.create(ada, title="x")
    await core.tasks.delete(ada, task.id)
    types = [event.type for event in (await core.tasks.history(ada, task.id)).items]
    assert types == [TaskEventType.TRASHED, TaskEventType.CREATED]
    with pytest.raises(NotFound):
        await core.tasks.history(bob, task.id)
    with pytest.raises(NotFound):
        await core.tasks.revert(ada, task.id, 1)
    await core.tasks.purge(ada, task.id)
    with pytest.raises(NotFound):
        await core.tasks.history(ada, task.id)


async def test_slices_out_of_range_are_refused(core: Core) -> None:
    ada = (await join(core, "ada")).actor
    task = await core.tasks.create(ada, title="x")
    for call in (
        core.tasks.history(ada, task.id, limit=0),
        core.tasks.history(ada, task.id, skip=-1),
        core.changes.page(ada, limit=501),
    ):
        with pytest.raises(Invalid):
            await call
