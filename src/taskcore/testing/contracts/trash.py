"""The contract of `ports.TrashRepository`, on every store."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.ids import MAX_ID
from taskcore.domain.pages import MAX_SKIP
from taskcore.domain.search import Search
from taskcore.domain.task_queries import TaskFilter
from taskcore.domain.tasks import NewTask, Task, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import Removal, Repositories, Store, TrashPosition
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
    AGAIN,
    LATER,
    NOW,
    add_task,
    add_tasks,
    add_user,
    move_to_trash,
    restore,
    total_in_trash,
    total_of,
)
from taskcore.testing.contracts.task_contents import DATED, FULL

CONTENTS: list[dict[str, Any]] = [FULL, DATED, {}]


async def thrown(store: Store, owner: User) -> list[Task]:
    async with store.autocommit() as db:
        page = await db.trash.page(owner.id, skip=0, limit=100)
    assert page.total == len(page.items)
    return list(page.items)


Finds = Callable[[Repositories, UserId, TaskId], Awaitable[object]]


FINDS: dict[str, Finds] = {
    "get": lambda db, owner_id, task_id: db.trash.get(owner_id, task_id),
    "owner_of": lambda db, _, task_id: db.trash.owner_of(task_id),
    "lock": lambda db, owner_id, task_id: db.trash.lock(owner_id, task_id),
}


class TrashContract(Contract):
    async def test_a_task_is_in_the_trash_with_every_field(self, store: Store) -> None:
        ada = await add_user(store)
        for fields in CONTENTS:
            task = await add_task(store, ada, **fields)
            trashed = await move_to_trash(store, task)
            async with store.autocommit() as db:
                assert await db.trash.get(ada.id, task.id) == trashed
                assert trashed == replace(task, deleted_at=LATER, updated_at=LATER, version=2)
                assert (await db.trash.page(ada.id, skip=0, limit=1)).items == [trashed]
                assert await db.trash.owner_of(task.id) == ada.id
                for missing in (db.tasks.get(ada.id, task.id), db.tasks.owner_of(task.id)):
                    with pytest.raises(NotFound):
                        await missing

    async def test_a_restored_task_is_where_it_was_with_every_field(self, store: Store) -> None:
        ada = await add_user(store)
        for fields in CONTENTS:
            task = await add_task(store, ada, **fields | {"title": "Buy coffee"})
            restored = await restore(store, await move_to_trash(store, task))
            assert restored == replace(task, updated_at=AGAIN, version=3)
            async with store.autocommit() as db:
                assert await db.tasks.get(ada.id, task.id) == restored
                assert (await db.tasks.page(ada.id, skip=0, limit=1)).items == [restored]
                for missing in (db.trash.get(ada.id, task.id), db.trash.owner_of(task.id)):
                    with pytest.raises(NotFound):
                        await missing
                edited = restored.edited(AGAIN, title="y")
                assert await db.tasks.save(edited, was=restored) == edited

    async def test_a_search_and_the_labels_leave_the_trash_out(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada, "Buy coffee", labels=["Home"])
        coffee = TaskFilter(search=Search.parse("coffee"))
        for moved in (False, True, False):
            if moved:
                task = await move_to_trash(store, task)
            elif task.deleted_at:
                task = await restore(store, task)
            async with store.autocommit() as db:
                found = await db.tasks.page(ada.id, coffee, skip=0, limit=9)
                names = [label.name for label in (await db.tasks.labels(ada.id, limit=9)).items]
            assert (list(found.items), found.total) == (([], 0) if moved else ([task], 1))
            assert names == ([] if moved else ["Home"])

    async def test_the_trash_shows_the_one_deleted_last_first(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await move_to_trash(store, await add_task(store, bob))
        tasks = await add_tasks(store, ada, *"abcdef")
        # Not in the order of their ids, and three at the same moment.
        hours = [2, 1, 3, 1, 0, 1]
        moved = [
            await move_to_trash(store, task, LATER + timedelta(hours=number))
            for task, number in zip(tasks, hours, strict=True)
        ]
        wanted = [moved[number] for number in (2, 0, 5, 3, 1, 4)]
        async with store.autocommit() as db:
            for skip, limit in [(0, 100), (0, 3), (3, 3), (5, 3), (6, 3), (MAX_SKIP, 100)]:
                page = await db.trash.page(ada.id, skip=skip, limit=limit)
                assert (list(page.items), page.total) == (wanted[skip : skip + limit], 6)
                assert page.has_more == (skip + limit < 6)
            for limit in (1, 2, 4):
                read: list[Task] = []
                after = None
                while len(read) < 6:
                    page = await db.trash.page(ada.id, skip=0, limit=limit, after=after)
                    read += page.items
                    after = TrashPosition.of(read[-1])
                    assert (page.total, page.has_more) == (6, len(read) < 6)
                assert read == wanted
            page = await db.trash.page(ada.id, skip=1, limit=2, after=TrashPosition.of(wanted[0]))
            assert list(page.items) == wanted[2:4]
            for number in (MAX_ID, MAX_ID + 1, 10**30):
                place = TrashPosition(LATER, TaskId(number))
                page = await db.trash.page(ada.id, skip=0, limit=9, after=place)
                assert list(page.items) == wanted[5:]
            for owner_id in (UserId(0), UserId(MAX_ID), UserId(MAX_ID + 1)):
                assert (await db.trash.page(owner_id, skip=0, limit=9)).total == 0

    async def test_a_purged_task_is_gone_for_good(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        of_ada = [
            await move_to_trash(store, task) for task in await add_tasks(store, ada, "a", "b")
        ]
        of_bob = await move_to_trash(store, await add_task(store, bob))
        live = await add_task(store, ada)
        async with store.autocommit() as db:
            await db.trash.purge(ada.id, of_ada[0].id, at=LATER)
            for owner_id, task_id in (
                (ada.id, of_ada[0].id),
                (ada.id, of_bob.id),
                (ada.id, live.id),
                (ada.id, TaskId(MAX_ID + 1)),
                (UserId(MAX_ID + 1), of_bob.id),
            ):
                with pytest.raises(NotFound):
                    await db.trash.purge(owner_id, task_id, at=LATER)
            with pytest.raises(NotFound):
                await db.trash.get(ada.id, of_ada[0].id)
            with pytest.raises(StaleWrite):
                await db.trash.restore(of_ada[0].restored(AGAIN), was=of_ada[0])
        assert await thrown(store, ada) == [of_ada[1]]
        assert await thrown(store, bob) == [of_bob]

    async def test_a_task_is_restored_only_in_the_version_that_was_read(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await add_task(store, bob)
        task = await add_task(store, ada)
        trashed = await move_to_trash(store, task)
        async with store.autocommit() as db:
            for was in (
                task,
                *(replace(trashed, version=version) for version in (0, 1, 3, MAX_ID)),
                replace(trashed, owner_id=bob.id),
                replace(trashed, id=TaskId(MAX_ID)),
            ):
                with pytest.raises(StaleWrite):
                    await db.trash.restore(was.restored(AGAIN), was=was)
        assert await thrown(store, ada) == [trashed]
        restored = await restore(store, trashed)
        with pytest.raises(StaleWrite):
            await restore(store, trashed)
        # What was read before the task went through the trash is stale too.
        async with store.autocommit() as db:
            with pytest.raises(StaleWrite):
                await db.tasks.save(task.edited(AGAIN, title="lost"), was=task)
            assert await db.tasks.get(ada.id, task.id) == restored

    @pytest.mark.parametrize("find", FINDS)
    async def test_what_is_not_in_the_trash_is_not_found_there(
        self, store: Store, find: str
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        trashed = await move_to_trash(store, await add_task(store, ada))
        live = await add_task(store, ada)
        wrong = [(ada.id, TaskId(n)) for n in (0, -1, live.id, MAX_ID, MAX_ID + 1, 10**30)]
        if find != "owner_of":
            wrong += [(bob.id, trashed.id), (UserId(MAX_ID + 1), trashed.id)]
        for owner_id, task_id in wrong:
            with pytest.raises(NotFound):
                async with store.transaction() as tx:
                    await FINDS[find](tx, owner_id, task_id)
        async with store.transaction() as tx:
            assert await FINDS[find](tx, ada.id, trashed.id) in (trashed, ada.id)

    async def test_of_those_who_restore_and_purge_at_once_one_wins(self, store: Store) -> None:
        ada = await add_user(store)
        for _ in range(5):
            trashed = await move_to_trash(store, await add_task(store, ada))
            restored = trashed.restored(AGAIN)
            async with store.autocommit() as db:
                results = await asyncio.gather(
                    db.trash.restore(restored, was=trashed),
                    db.trash.purge(ada.id, trashed.id, at=LATER),
                    db.trash.restore(restored, was=trashed),
                    return_exceptions=True,
                )
            assert sum(result is None for result in results) == 1
            there = 0 if results[1] is None else 1
            assert (await total_of(store, ada), await thrown(store, ada)) == (there, [])
            if there:
                await move_to_trash(store, restored)
                async with store.autocommit() as db:
                    await db.trash.purge(ada.id, trashed.id, at=LATER)

    async def test_a_task_in_the_trash_is_restored_by_one_after_the_other(
        self, store: Store
    ) -> None:
        trashed = await move_to_trash(store, await add_task(store, await add_user(store)))

        async def take() -> bool:
            async with store.transaction() as tx:
                try:
                    found = await tx.trash.lock(trashed.owner_id, trashed.id)
                except NotFound:
                    return False
                await asyncio.sleep(0.01)  # long enough for the others to read the same
                await tx.trash.restore(found.restored(AGAIN), was=found)
                return True

        assert sorted(await asyncio.gather(take(), take(), take())) == [False, False, True]

    async def test_the_oldest_of_the_trash_are_removed_in_batches(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        live = await add_task(store, ada)
        for number in (3, 1, 2, 5, 4):
            for owner in (ada, bob):
                task = await add_task(store, owner, f"{number}")
                await move_to_trash(store, task, NOW + timedelta(days=number))
        before = NOW + timedelta(days=4)
        async with store.autocommit() as db:
            at_it = NOW + timedelta(days=1)  # the first was deleted at this moment, not before
            assert await db.trash.purge_old(at_it, 9, at=LATER) == Removal(0, more=False)
            removals = [first := await db.trash.purge_old(before, 4, at=LATER)]
            removals.append(await db.trash.purge_old(before, 4, at=LATER, after=first.place))
            removals.append(await db.trash.purge_old(before, 4, at=LATER))
            assert removals == [
                Removal(4, more=True),
                Removal(2, more=False),
                Removal(0, more=False),
            ]
            assert await db.trash.purge_old(NOW, 9, at=LATER) == Removal(0, more=False)
            assert await db.tasks.get(ada.id, live.id) == live
        for owner in (ada, bob):
            assert [task.title for task in await thrown(store, owner)] == ["5", "4"]
        assert (await total_of(store, ada), await total_of(store, bob)) == (1, 0)

    async def test_the_oldest_are_removed_first(self, store: Store) -> None:
        ada = await add_user(store)
        for number in (3, 1, 2, 4):
            task = await add_task(store, ada, f"{number}")
            await move_to_trash(store, task, NOW + timedelta(days=number))
        async with store.autocommit() as db:
            assert (await db.trash.purge_old(NOW + timedelta(days=9), 2, at=LATER)).count == 2
        assert [task.title for task in await thrown(store, ada)] == ["4", "3"]

    async def test_what_is_removed_while_it_is_restored_is_in_one_place_or_none(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        for _ in range(5):
            trashed = await move_to_trash(store, await add_task(store, ada))
            async with store.autocommit() as db:
                removal, restored = await asyncio.gather(
                    db.trash.purge_old(AGAIN, 9, at=LATER),
                    db.trash.restore(trashed.restored(AGAIN), was=trashed),
                    return_exceptions=True,
                )
            assert isinstance(removal, Removal)
            purged = removal.count
            assert (purged, type(restored)) in {(1, StaleWrite), (0, type(None))}
            assert (await total_in_trash(store, ada)) == 0
            if not purged:
                async with store.autocommit() as db:
                    again = trashed.restored(AGAIN)
                    await db.tasks.trash(again.trashed(AGAIN), was=again)
                    await db.trash.purge(ada.id, trashed.id, at=LATER)
            assert await total_of(store, ada) == 0

    async def test_a_new_task_can_be_moved_and_moved_back_many_times(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            task = await db.tasks.add(NewTask(ada.id, NOW, "x"), at_most=1)
        for number in range(4):
            trashed = await move_to_trash(store, task)
            assert trashed.version == 2 * number + 2
            task = await restore(store, trashed)
        assert (await total_of(store, ada), await total_in_trash(store, ada)) == (1, 0)
