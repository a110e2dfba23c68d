"""The trash, on both stores."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from taskcore import (
    SYSTEM,
    Actor,
    AuditEventName,
    Core,
    Invalid,
    NotFound,
    Role,
    StaleWrite,
    Status,
    Task,
    TaskId,
    cursors,
)
from taskcore.core import Terms
from taskcore.domain.ids import MAX_ID
from taskcore.ports import Store
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.usecases.people import join
from tests.usecases.spies import InterruptedStore

pytestmark = pytest.mark.anyio


async def test_a_deleted_task_is_in_the_trash_until_it_is_restored(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    made = await core.tasks.create(ada.actor, title="x", labels=["a"], status=Status.DONE)
    clock.advance(hours=1)
    await core.tasks.delete(ada.actor, made.id)
    deleted_at = clock.now()
    for missing in (
        core.tasks.get(ada.actor, made.id),
        core.tasks.edit(ada.actor, made.id, title="y"),
        core.tasks.delete(ada.actor, made.id),
    ):
        with pytest.raises(NotFound):
            await missing
    assert (await core.tasks.get_trashed(ada.actor, made.id)).title == "x"
    assert (await core.tasks.page(ada.actor)).total == 0
    page = await core.tasks.trash(ada.actor)
    (thrown,) = page.items
    assert (thrown.id, thrown.deleted_at, thrown.version, page.total) == (made.id, deleted_at, 2, 1)
    clock.advance(hours=1)
    restored = await core.tasks.restore(ada.actor, made.id)
    assert restored.deleted_at is None
    assert (restored.version, restored.updated_at) == (3, clock.now())
    assert (restored.labels, restored.completed_at) == (made.labels, made.completed_at)
    assert await core.tasks.get(ada.actor, made.id) == restored
    with pytest.raises(NotFound):
        await core.tasks.get_trashed(ada.actor, made.id)
    assert (await core.tasks.trash(ada.actor)).total == 0


async def test_a_purged_task_is_gone_for_good(core: Core) -> None:
    ada = await join(core, "ada")
    made = await core.tasks.create(ada.actor, title="x")
    await core.tasks.delete(ada.actor, made.id)
    await core.tasks.purge(ada.actor, made.id)
    for missing in (core.tasks.restore(ada.actor, made.id), core.tasks.purge(ada.actor, made.id)):
        with pytest.raises(NotFound):
            await missing
    assert (await core.tasks.trash(ada.actor)).total == 0


async def test_only_what_is_in_the_trash_is_restored_or_purged(core: Core) -> None:
    ada, bob = await join(core, "ada"), await join(core, "bob")
    live = await core.tasks.create(ada.actor, title="x")
    thrown = await core.tasks.create(ada.actor, title="y")
    await core.tasks.delete(ada.actor, thrown.id)
    for actor, task_id in (
        (ada.actor, live.id),
        (ada.actor, TaskId(MAX_ID + 1)),
        (bob.actor, thrown.id),
        (bob.actor, live.id),
        (SYSTEM, live.id),
    ):
        for missing in (core.tasks.restore(actor, task_id), core.tasks.purge(actor, task_id)):
            with pytest.raises(NotFound):
                await missing
    assert await core.tasks.get(ada.actor, live.id) == live
    assert [task.id for task in (await core.tasks.trash(ada.actor)).items] == [thrown.id]


async def test_the_trash_is_read_on_by_cursor_the_last_deleted_first(
    core: Core, clock: ManualClock
) -> None:
    ada = await join(core, "ada")
    made = [await core.tasks.create(ada.actor, title=str(number)) for number in range(5)]
    for number in (3, 0, 4, 1, 2):
        await core.tasks.delete(ada.actor, made[number].id)
        clock.advance(seconds=number % 2)  # some at the same moment
    read: list[Task] = []
    after = None
    while True:
        page = await core.tasks.trash(ada.actor, limit=2, after=after)
        assert page.total == 5
        read += page.items
        if not (cursor := cursors.TRASH.after(page)):
            break
        after = cursors.TRASH.read(cursor)
    assert [task.title for task in read] == ["2", "4", "1", "0", "3"]


async def test_what_administrators_do_with_the_tasks_of_others_is_on_record(core: Core) -> None:
    """By whom, whose task and which; what one does with one's own is not."""
    ada, root = await join(core, "ada"), await join(core, "root", Role.ADMIN)
    own = await core.tasks.create(root.actor, title="own")
    made = await core.tasks.create(ada.actor, title="x")
    for actor, task in ((root.actor, own), (root.actor, made), (ada.actor, made), (SYSTEM, made)):
        await core.tasks.delete(actor, task.id)
        await core.tasks.restore(actor, task.id)
    await core.tasks.delete(root.actor, made.id)
    await core.tasks.purge(root.actor, made.id)
    events = [e for e in (await core.audit.page(SYSTEM)).items if e.detail.get("task_id")]
    moved = [AuditEventName.TASK_RESTORED, AuditEventName.TASK_DELETED]
    assert [event.event for event in events] == [
        AuditEventName.TASK_PURGED,
        AuditEventName.TASK_DELETED,
        *moved,
        *moved,
    ]
    assert [event.actor_id for event in events] == [root.user.id] * 2 + [None] * 2 + [
        root.user.id
    ] * 2
    assert {(event.user_id, event.detail["task_id"]) for event in events} == {
        (ada.user.id, made.id)
    }


class Rival:
    """Takes the task out of the trash and back just before another client writes it."""

    def __init__(self, core: Core, actor: Actor, times: int) -> None:
        self.core, self.actor, self.times = core, actor, times
        self.task_id: TaskId | None = None

    async def __call__(self) -> None:
        if self.task_id is not None and self.times:
            self.times -= 1
            await self.core.tasks.restore(self.actor, self.task_id)
            await self.core.tasks.delete(self.actor, self.task_id)


Move = Callable[[Core, Actor, TaskId], Awaitable[object]]
MOVES: dict[str, Move] = {
    "restore": lambda core, actor, task_id: core.tasks.restore(actor, task_id),
    "purge": lambda core, actor, task_id: core.tasks.purge(actor, task_id),
}


@pytest.mark.parametrize("times", [1, 2, 100])
@pytest.mark.parametrize("move", MOVES)
async def test_a_move_is_repeated_on_what_came_between(
    core: Core, clock: ManualClock, move: str, times: int
) -> None:
    ada, root = await join(core, "ada"), await join(core, "root", Role.ADMIN)
    for actor in (ada.actor, root.actor):
        rival = Rival(core, ada.actor, times)
        ours = bound(InterruptedStore(core.store, rival), clock, cheap_argon2())
        task = await core.tasks.create(ada.actor, title="x")
        await core.tasks.delete(ada.actor, task.id)
        rival.task_id = task.id
        await MOVES[move](ours, actor, task.id)
        assert (await core.tasks.trash(ada.actor)).total == 0
    assert (await core.tasks.page(ada.actor)).total == (2 if move == "restore" else 0)


async def test_a_delete_expects_the_version_that_it_names(core: Core) -> None:
    ada = await join(core, "ada")
    made = await core.tasks.create(ada.actor, title="x")
    with pytest.raises(StaleWrite):
        await core.tasks.delete(ada.actor, made.id, expected_version=2)
    await core.tasks.delete(ada.actor, made.id, expected_version=1)
    assert (await core.tasks.restore(ada.actor, made.id)).version == 3


async def test_an_account_holds_as_many_tasks_as_the_limit_says_with_its_trash(
    store: Store, clock: ManualClock
) -> None:
    core = bound(store, clock, cheap_argon2(), terms=Terms(max_tasks=3))
    ada, root = await join(core, "ada"), await join(core, "root", Role.ADMIN)

    async def create() -> bool:
        try:
            await core.tasks.create(ada.actor, title="x")
        except Invalid as refusal:
            if [problem.code for problem in refusal.problems] == ["limit_reached"]:
                return False
            raise
        return True

    assert sum(await asyncio.gather(*(create() for _ in range(10)))) == 3
    (task, *_) = (await core.tasks.page(ada.actor)).items
    await core.tasks.delete(ada.actor, task.id)
    assert not await create()
    await core.tasks.restore(ada.actor, task.id)
    await core.tasks.delete(ada.actor, task.id)
    await core.tasks.purge(ada.actor, task.id)
    assert await create()
    assert not await create()
    await core.tasks.create(root.actor, title="own")


async def test_the_trash_is_emptied_of_what_is_older_than_its_time(
    store: Store, clock: ManualClock
) -> None:
    core = bound(store, clock, cheap_argon2(), terms=Terms(batch=2))
    ada = await join(core, "ada")
    for number in range(5):
        task = await core.tasks.create(ada.actor, title=str(number))
        await core.tasks.delete(ada.actor, task.id)
        clock.advance(hours=1)
    live = await core.tasks.create(ada.actor, title="live")

    async def swept() -> int:
        return sum([step.removed["trash"] async for step in core.housekeeping.sweep("trash")])

    clock.advance(days=30, hours=-5)
    assert await swept() == 0
    clock.advance(microseconds=1)
    assert await swept() == 1
    clock.advance(hours=3)
    assert await swept() == 3
    assert [task.title for task in (await core.tasks.trash(ada.actor)).items] == ["4"]
    with pytest.raises(NotFound):
        await core.tasks.restore(ada.actor, TaskId(live.id - 2))
    clock.advance(days=400)
    assert await swept() == 1
    assert (await core.tasks.page(ada.actor)).items == [live]
    assert clock.now() - live.created_at > timedelta(days=30)
