"""How many tasks an account holds: exact, whatever happens at the same time; on every store."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from taskcore.domain.errors import Invalid, NotFound, StaleWrite
from taskcore.domain.tasks import NewTask, Task
from taskcore.domain.users import User
from taskcore.ports import Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
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


async def added(store: Store, owner: User, at_most: int, title: str = "x") -> Task | None:
    """None if the limit is reached."""
    async with store.autocommit() as db:
        try:
            return await db.tasks.add(NewTask(owner.id, NOW, title), at_most=at_most)
        except Invalid as refusal:
            if [problem.code for problem in refusal.problems] != ["limit_reached"]:
                raise
            return None


async def totals_agree(store: Store, *owners: User) -> None:
    """The totals equal the numbers of tasks that are listed, of each account and of all."""
    everybodys = 0
    for owner in owners:
        async with store.autocommit() as db:
            live = await db.tasks.page(owner.id, skip=0, limit=1000)
            thrown = await db.trash.page(owner.id, skip=0, limit=1000)
        assert (live.total, thrown.total) == (len(live.items), len(thrown.items))
        everybodys += len(live.items)
    assert await total_of(store, None) == everybodys


async def changed(store: Store, task: Task, kind: str) -> Task | None:
    """The task after an edit, a move or a purge, if it is where that is possible."""
    async with store.autocommit() as db:
        match kind, task.deleted_at is None:
            case "edit", True:
                edited = task.edited(LATER, title=f"{task.title}x", labels=[task.title])
                return await db.tasks.save(edited, was=task)
            case "move", True:
                trashed = task.trashed(LATER)
                await db.tasks.trash(trashed, was=task)
                return trashed
            case "move", False:
                restored = task.restored(LATER)
                await db.trash.restore(restored, was=task)
                return restored
            case "purge", False:
                await db.trash.purge(task.owner_id, task.id, at=LATER)
                return None
    return task


Step = Callable[[], Awaitable[object]]


class TaskLimitContract(Contract):
    async def test_the_trash_counts_too(self, store: Store) -> None:
        ada = await add_user(store)
        first, second = await add_tasks(store, ada, "a", "b")
        assert await added(store, ada, 2) is None
        trashed = await move_to_trash(store, first)
        assert await added(store, ada, 2) is None
        assert await added(store, ada, 3)
        async with store.autocommit() as db:
            await db.trash.purge(ada.id, trashed.id, at=LATER)
        assert await added(store, ada, 2) is None
        assert await added(store, ada, 3)
        await move_to_trash(store, second)
        async with store.autocommit() as db:
            assert (await db.trash.purge_old(LATER, 9, at=LATER)).count == 0
        assert await added(store, ada, 3) is None
        assert (await total_of(store, ada), await total_in_trash(store, ada)) == (2, 1)

    async def test_a_restore_needs_no_room(self, store: Store) -> None:
        ada = await add_user(store)
        trashed = await move_to_trash(store, await add_task(store, ada))
        assert await added(store, ada, 2)
        await restore(store, trashed)
        assert (await total_of(store, ada), await total_in_trash(store, ada)) == (2, 0)

    async def test_each_account_has_a_limit_of_its_own(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await add_tasks(store, ada, "a", "b")
        assert await added(store, bob, 1)
        assert await added(store, bob, 1) is None
        assert await added(store, ada, 0) is None
        cid = await add_user(store, "cid")
        assert await added(store, cid, 0) is None

    @pytest.mark.parametrize("before", [0, 3])
    async def test_of_many_added_at_once_as_many_fit_as_the_limit_says(
        self, store: Store, before: int
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await add_tasks(store, ada, *map(str, range(before)))
        results = await asyncio.gather(
            *(added(store, owner, 20) for _ in range(60) for owner in (ada, bob))
        )
        tasks = [task for task in results if task]
        assert [sum(task.owner_id == owner.id for task in tasks) for owner in (ada, bob)] == [
            20 - before,
            20,
        ]
        assert (await total_of(store, ada), await total_of(store, bob)) == (20, 20)
        await totals_agree(store, ada, bob)

    async def test_limits_of_requests_at_once_may_differ(self, store: Store) -> None:
        ada = await add_user(store)
        await add_task(store, ada)
        limits = [*range(1, 31)] * 2
        Random(1).shuffle(limits)  # noqa: S311 - nothing secret
        results = await asyncio.gather(*(added(store, ada, most, f"{most}") for most in limits))
        there = 1
        for task in sorted((task for task in results if task), key=lambda task: task.id):
            assert there < int(task.title)
            there += 1
        await totals_agree(store, ada)

    async def test_the_first_tasks_of_an_account_may_come_at_once(self, store: Store) -> None:
        people = [await add_user(store, f"person{number}") for number in range(8)]
        tasks = await asyncio.gather(*(added(store, owner, 9) for owner in people * 4))
        assert len({task.id for task in tasks if task}) == 32
        await totals_agree(store, *people)
        for owner in people:
            assert await total_of(store, owner) == 4

    async def test_whatever_happens_at_once_the_limit_and_the_totals_are_exact(
        self, store: Store
    ) -> None:
        random, most = Random(7), 10  # noqa: S311 - nothing secret
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        known: list[Task] = []
        for _ in range(12):
            fresh = [added(store, random.choice([ada, bob]), most) for _ in range(12)]
            kinds = random.choices(["edit", "move", "move", "purge"], k=len(known))
            changes = [changed(store, *each) for each in zip(known, kinds, strict=True)]
            random.shuffle(both := [*fresh, *changes])
            known = [task for task in await asyncio.gather(*both) if task]
            await totals_agree(store, ada, bob)
            for owner in (ada, bob):
                of = {task.id: task for task in known if task.owner_id == owner.id}
                assert len(of) <= most
                async with store.autocommit() as db:
                    live = (await db.tasks.page(owner.id, skip=0, limit=99)).items
                    thrown = (await db.trash.page(owner.id, skip=0, limit=99)).items
                assert {task.id: task for task in (*live, *thrown)} == of
                assert all(task.deleted_at for task in thrown)
                assert not any(task.deleted_at for task in live)
        assert {task.owner_id for task in known} == {ada.id, bob.id}

    async def test_of_many_moves_of_one_task_at_once_one_counts(self, store: Store) -> None:
        ada = await add_user(store)
        task, _ = await add_tasks(store, ada, "a", "b")
        trashed = task.trashed(LATER)
        restored = trashed.restored(LATER)

        async def moved(*steps: Step) -> int:
            results = await asyncio.gather(*(step() for step in steps), return_exceptions=True)
            wrong = [
                r for r in results if r is not None and not isinstance(r, (StaleWrite, NotFound))
            ]
            assert not wrong
            return sum(result is None for result in results)

        async with store.autocommit() as db:
            assert await moved(*[lambda: db.tasks.trash(trashed, was=task)] * 6) == 1
            assert (await total_of(store, ada), await total_in_trash(store, ada)) == (1, 1)
            assert await moved(*[lambda: db.trash.restore(restored, was=trashed)] * 6) == 1
            assert (await total_of(store, ada), await total_in_trash(store, ada)) == (2, 0)
            again = restored.trashed(LATER)
            await db.tasks.trash(again, was=restored)
            assert await moved(*[lambda: db.trash.purge(ada.id, task.id, at=LATER)] * 6) == 1
        assert (await total_of(store, ada), await total_in_trash(store, ada)) == (1, 0)
        await totals_agree(store, ada)

    async def test_an_account_that_is_removed_while_tasks_are_added_leaves_none(
        self, store: Store
    ) -> None:
        bob = await add_user(store, "bob")
        await add_task(store, bob)
        for number in range(4):
            for at_once in (0, 100):  # hidden first, or removed at once
                ada = await add_user(store, "ada")
                await add_tasks(store, ada, *"ab"[:number])

                async def remove() -> None:
                    async with store.transaction() as tx:
                        await tx.users.remove(ada.id, at_once=at_once)  # noqa: B023 - awaited here

                results = await asyncio.gather(
                    *(added(store, ada, 99) for _ in range(4)),
                    remove(),
                    *(added(store, ada, 99) for _ in range(4)),
                    return_exceptions=True,
                )
                assert results[4] is None
                assert all(isinstance(r, (Task, NotFound)) for r in (*results[:4], *results[5:]))
                assert (await total_of(store, None), await total_of(store, ada)) == (1, 0)
                with pytest.raises(NotFound):
                    await added(store, ada, 99)
