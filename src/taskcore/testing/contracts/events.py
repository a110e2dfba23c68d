"""The contract of `ports.EventRepository`, and of what writes to it, on every store."""

import asyncio
import random
from dataclasses import replace
from datetime import date, timedelta
from math import ceil
from typing import Any

import pytest

from taskcore.domain.errors import CursorExpired, HistoryGone, Invalid, StaleWrite
from taskcore.domain.events import (
    MAX_CHANGES_BYTES,
    Change,
    TaskEvent,
    TaskEventType,
    changes_size,
    text_size,
)
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User
from taskcore.ports import LogPosition, Removal, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
    LATER,
    NOW,
    add_task,
    add_tasks,
    add_user,
    move_to_trash,
)
from taskcore.testing.contracts.task_contents import FULL

AGAIN = LATER + timedelta(hours=1)


START = 0


async def history(store: Store, task: Task, **more: Any) -> list[TaskEvent]:
    async with store.autocommit() as db:
        page = await db.events.history(task.owner_id, task.id, **{"skip": 0, "limit": 99} | more)
    return list(page.items)


async def save(store: Store, task: Task, by: User | None = None, **changes: Any) -> Task:
    edited = task.edited(LATER, **changes)
    async with store.autocommit() as db:
        return await db.tasks.save(edited, was=task, by=by.id if by else None)


async def end(store: Store, owner: User) -> LogPosition:
    async with store.autocommit() as db:
        return await db.events.end(owner.id)


async def read(
    store: Store, owner: User, after: LogPosition, limit: int = 99
) -> tuple[list[tuple[TaskId, Task | None]], LogPosition, bool]:
    async with store.autocommit() as db:
        page = await db.events.changes(owner.id, after=after, limit=limit)
    return [(item.task_id, item.task) for item in page.items], page.end, page.has_more


class EventContract(Contract):
    async def test_every_write_is_in_the_history_with_who_and_what(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        task = Task.new(ada.id, NOW, title="Write", due_date=date(2031, 2, 3))
        async with store.autocommit() as db:
            one = await db.tasks.add(task, at_most=9, by=ada.id)
        two = await save(store, one, by=bob, **FULL)
        three = await move_to_trash(store, two)
        four = three.restored(AGAIN)
        async with store.autocommit() as db:
            await db.trash.restore(four, was=three, by=ada.id)
        created = {"title": Change(None, "Write"), "due_date": Change(None, date(2031, 2, 3))}
        updated = {
            name: Change(getattr(one, name), getattr(two, name)) for name in (*FULL, "due_date")
        }
        assert await history(store, four) == [
            TaskEvent(4, TaskEventType.RESTORED, AGAIN, ada.id, one.id, 4, {}),
            TaskEvent(3, TaskEventType.TRASHED, LATER, None, one.id, 3, {}),
            TaskEvent(2, TaskEventType.UPDATED, LATER, bob.id, one.id, 2, updated),
            TaskEvent(1, TaskEventType.CREATED, NOW, ada.id, one.id, 1, created),
        ]

    async def test_a_history_is_paged_and_holds_no_other_task(self, store: Store) -> None:
        ada = await add_user(store)
        task, other = await add_tasks(store, ada, "Write", "Read")
        for number in range(5):
            task = await save(store, task, title=str(number))
            other = await save(store, other, title=str(number))
        positions = [event.position for event in await history(store, task)]
        assert positions == [11, 9, 7, 5, 3, 1]
        async with store.autocommit() as db:
            first = await db.events.history(ada.id, task.id, skip=1, limit=2)
            assert [event.position for event in first.items] == [9, 7]
            assert (first.total, first.has_more) == (6, True)
            rest = await db.events.history(ada.id, task.id, skip=0, limit=3, after=7)
            assert [event.position for event in rest.items] == [5, 3, 1]
            assert (rest.total, rest.has_more) == (None, False)
            empty = await db.events.history(ada.id, TaskId(999), skip=0, limit=3)
            assert (empty.items, empty.total, empty.has_more) == ([], 0, False)

    async def test_a_page_of_history_with_long_texts_ends_early_and_leaves_nothing_out(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada, "x", description="\u20ac" * 5000)
        for number in range(20):
            text = f"{number:04}\n" + "\u20ac" * 4995
            task = await save(store, task, description=text, labels=[f"\u20ac{number}"])
        sizes, found, after, more = list[int](), list[int](), None, True
        while more:
            async with store.autocommit() as db:
                page = await db.events.history(ada.id, task.id, skip=0, limit=30, after=after)
            sizes.append(sum(changes_size(event.changes) for event in page.items))
            found += [event.version for event in page.items]
            after, more = page.items[-1].position, page.has_more
            last = changes_size(page.items[-1].changes)
            assert sizes[-1] - last < MAX_CHANGES_BYTES
            assert page.total in {21, None}
        assert found == [*range(21, 0, -1)]
        assert len(sizes) == 2
        assert sizes[0] >= MAX_CHANGES_BYTES

    async def test_a_write_that_is_refused_is_not_logged(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        stale = replace(task, version=7)
        async with store.autocommit() as db:
            with pytest.raises(StaleWrite):
                await db.tasks.save(stale.edited(LATER, title="No"), was=stale)
            with pytest.raises(StaleWrite):
                await db.tasks.trash(stale.trashed(LATER), was=stale)
            with pytest.raises(Invalid):
                await db.tasks.add(Task.new(ada.id, NOW, title="No"), at_most=1)
        assert (await end(store, ada)).position == 1
        assert len(await history(store, task)) == 1

    async def test_of_two_writes_to_one_version_one_is_logged(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        results = await asyncio.gather(
            *(save(store, task, title=f"No. {number}") for number in range(6)),
            return_exceptions=True,
        )
        assert sorted(map(type, results), key=str) == [*[StaleWrite] * 5, Task]
        (won,) = [result for result in results if isinstance(result, Task)]
        latest, *_ = await history(store, task)
        assert latest.changes == {"title": Change("Write the letter", won.title)}

    async def test_changes_tell_what_tasks_are_now(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        start = await end(store, ada)
        assert start.position == START
        one, two, three = await add_tasks(store, ada, "one", "two", "three")
        await add_task(store, bob)
        one = await save(store, one, title="One")
        await move_to_trash(store, two)
        items, place, more = await read(store, ada, start)
        assert items == [
            (three.id, three),
            (one.id, one),
            (two.id, None),
        ]
        assert (place, more) == (await end(store, ada), False)
        assert await read(store, ada, place) == ([], place, False)

    async def test_changes_are_read_in_pages(self, store: Store) -> None:
        ada = await add_user(store)
        place = await end(store, ada)
        tasks = await add_tasks(store, ada, "a", "b", "c")
        found, more = [], True
        while more:
            items, place, more = await read(store, ada, place, limit=2)
            assert len(items) <= 2
            found += items
        assert found == [(task.id, task) for task in tasks]

    async def test_a_long_page_has_each_task_once_where_it_changed_last(self, store: Store) -> None:
        ada = await add_user(store)
        start = await end(store, ada)
        tasks = await add_tasks(store, ada, *(f"No. {number}" for number in range(130)))
        first = await save(store, tasks[0], title="First")
        await move_to_trash(store, tasks[120])
        second = await save(store, tasks[1], title="Second")
        kept = [*((each.id, each) for each in tasks[2:120] + tasks[121:]), (first.id, first)]
        gone = (tasks[120].id, None)
        whole = await read(store, ada, start, limit=500)
        assert whole == ([*kept, gone, (second.id, second)], await end(store, ada), False)
        part, place, more = await read(store, ada, start, limit=132)
        assert (part, more) == ([(tasks[1].id, second), *kept, gone], True)
        rest = await read(store, ada, place, limit=132)
        assert rest == ([(second.id, second)], whole[1], False)

    async def test_a_page_of_long_texts_ends_early_and_leaves_nothing_out(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        place = await end(store, ada)
        long = {"description": "\u20ac" * 5000, "labels": ["\u20ac" * 64]}
        tasks = [await add_task(store, ada, str(number), **long) for number in range(40)]
        gone = await move_to_trash(store, tasks.pop())
        size, page_sizes, found, more = text_size(tasks[0]), [], [], True
        while more:
            items, place, more = await read(store, ada, place)
            page_sizes.append(sum(task is not None for _, task in items))
            found += items
        assert page_sizes == [full := ceil(MAX_CHANGES_BYTES / size), len(tasks) - full]
        assert found == [*((task.id, task) for task in tasks), (gone.id, None)]

    async def test_after_each_item_one_can_read_on(self, store: Store) -> None:
        ada = await add_user(store)
        start = await end(store, ada)
        one, _ = await add_tasks(store, ada, "one", "two")
        one = await save(store, one, title="One")
        async with store.autocommit() as db:
            page = await db.events.changes(ada.id, after=start, limit=9)
        assert [item.place.position for item in page.items] == [2, 3]
        assert page.items[-1].place == page.end
        assert await read(store, ada, page.items[0].place) == ([(one.id, one)], page.end, False)

    async def test_a_place_that_never_was_has_expired(self, store: Store) -> None:
        ada = await add_user(store)
        await add_task(store, ada)
        epoch, position = await end(store, ada)
        for place in (LogPosition(epoch + 1, position), LogPosition(epoch, position + 1)):
            with pytest.raises(CursorExpired):
                await read(store, ada, place)

    async def test_a_purge_leaves_nothing_of_the_task_but_that_it_is_gone(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        start = await end(store, ada)
        kept = await add_task(store, ada, "kept")
        task = await save(store, await add_task(store, ada, "secret"), title="more secret")
        trashed = await move_to_trash(store, task)
        async with store.autocommit() as db:
            await db.trash.purge(ada.id, task.id, at=AGAIN, by=ada.id)
        purged = TaskEvent(5, TaskEventType.PURGED, AGAIN, ada.id, task.id, trashed.version + 1, {})
        assert await history(store, task) == [purged]
        assert len(await history(store, kept)) == 1
        items, _, _ = await read(store, ada, start)
        assert items == [(kept.id, kept), (task.id, None)]

    async def test_housekeeping_of_the_trash_leaves_nothing_either(self, store: Store) -> None:
        ada = await add_user(store)
        task = await move_to_trash(store, await add_task(store, ada, "secret"))
        async with store.autocommit() as db:
            assert (await db.trash.purge_old(AGAIN, 9, at=AGAIN)).count == 1
        (purged,) = await history(store, task)
        assert (purged.type, purged.at, purged.actor_id) == (TaskEventType.PURGED, AGAIN, None)

    async def test_a_version_is_found_again(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada, due_date=date(2031, 2, 3))
        versions = [task]
        for changes in (
            {"title": "Two"},
            FULL,
            {"title": "Four", "due_date": date(2032, 1, 1)},
            {"title": "Five", "labels": []},
        ):
            versions.append(await save(store, versions[-1], **changes))
        latest = versions[-1]
        async with store.autocommit() as db:
            for old in versions:
                content: dict[str, Any] = dict(
                    await db.events.version(ada.id, task.id, old.version, of=latest.version)
                )
                assert replace(latest, **content) == replace(
                    old,
                    version=latest.version,
                    updated_at=latest.updated_at,
                    completed_at=latest.completed_at,
                )

    async def test_old_events_are_removed_and_places_before_them_expire(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        start = await end(store, ada)
        task = await save(store, await add_task(store, ada), title="Two")
        _, place, _ = await read(store, ada, start, limit=1)
        (of_bob,) = await add_tasks(store, bob, "Bob's")
        async with store.autocommit() as db:
            assert await db.events.remove_old(NOW, 9) == Removal(0, more=False)
            removed = 0
            while (removal := await db.events.remove_old(LATER, 9)).count:
                removed += removal.count
            assert removed == 2  # one of each account
            with pytest.raises(HistoryGone):
                await db.events.version(ada.id, task.id, 0, of=2)
            assert await db.events.version(ada.id, task.id, 1, of=2) == {
                "title": "Write the letter"
            }
        assert [event.version for event in await history(store, task)] == [2]
        assert await history(store, of_bob) == []
        with pytest.raises(CursorExpired):
            await read(store, ada, start)
        items, _, _ = await read(store, ada, place)
        assert items == [(task.id, task)]

    async def test_an_account_that_is_removed_takes_its_log_along(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        task, other = await add_task(store, ada), await add_task(store, bob)
        async with store.transaction() as tx:
            await tx.users.remove(ada.id)
        assert await history(store, task) == []
        assert len(await history(store, other)) == 1

    async def test_readers_miss_no_change_whatever_writers_do(self, store: Store) -> None:
        """Each follower's copy of the account ends up equal to the account."""
        ada = await add_user(store)
        chance = random.Random(7)  # noqa: S311 - no secret
        start = await end(store, ada)
        done = asyncio.Event()

        async def write() -> None:
            task = await add_task(store, ada)
            for number in range(chance.randrange(4, 9)):
                task = await save(store, task, title=str(number), by=ada)
                if not chance.randrange(4):
                    async with store.transaction() as tx:
                        locked = await tx.tasks.lock(ada.id, task.id)
                        edited = locked.edited(LATER, title=f"locked {number}")
                        task = await tx.tasks.save(edited, was=locked)
                        await asyncio.sleep(0.002)  # it commits late
            if chance.randrange(2):
                await move_to_trash(store, task)

        async def follow() -> dict[TaskId, Task]:
            copy: dict[TaskId, Task] = {}
            place, over = start, False
            while not over:
                over = done.is_set()  # one more page after the end
                await asyncio.sleep(0)
                items, place, more = await read(store, ada, place, limit=3)
                over = over and not more
                for task_id, task in items:
                    if task is None:
                        copy.pop(task_id, None)
                    else:
                        copy[task_id] = task
            return copy

        followers = [asyncio.create_task(follow()) for _ in range(2)]
        await asyncio.gather(*(write() for _ in range(8)))
        done.set()
        async with store.autocommit() as db:
            living = {
                task.id: task for task in (await db.tasks.page(ada.id, skip=0, limit=99)).items
            }
        assert await asyncio.gather(*followers) == [living, living]
