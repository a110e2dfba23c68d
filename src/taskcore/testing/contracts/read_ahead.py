"""The contract of READ_AHEAD, on every store: whether it is used or not shows in no answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taskcore.domain.errors import NotFound
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import TaskFilter
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import READ_AHEAD, ReadAhead, Repositories, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
    LATER,
    NOW,
    add_task,
    add_user,
    move_to_trash,
    open_session,
)
from taskcore.testing.contracts.task_contents import FULL


@asynccontextmanager
async def request(
    store: Store, user: User, about: TaskId | None = None, *, first_page: int | None = None
) -> AsyncIterator[Repositories]:
    """A request about that task, or first page, of a new session, once its actor is found."""
    async with store.autocommit() as db:
        token = await open_session(db, user)
        before = READ_AHEAD.set(ReadAhead(about, first_page=first_page))
        try:
            assert await db.sessions.find_actor(token.session_id, NOW) is not None
            yield db
        finally:
            READ_AHEAD.reset(before)


async def edited(db: Repositories, task: Task) -> Task:
    return await db.tasks.save(task.edited(LATER, title="Edited meanwhile"), was=task)


class ReadAheadContract(Contract):
    async def test_the_task_is_found_with_all_that_it_has(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada, **FULL)
        async with request(store, ada, task.id) as db:
            assert await db.tasks.get(ada.id, task.id) == task

    async def test_a_second_look_sees_what_was_written_meanwhile(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        async with request(store, ada, task.id) as db:
            await db.tasks.get(ada.id, task.id)
            changed = await edited(db, task)
            assert await db.tasks.get(ada.id, task.id) == changed

    async def test_a_lock_sees_what_was_written_meanwhile(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        async with request(store, ada, task.id) as db:
            changed = await edited(db, task)
            async with store.transaction() as tx:
                assert await tx.tasks.lock(ada.id, task.id) == changed

    async def test_another_task_is_read(self, store: Store) -> None:
        ada = await add_user(store)
        task, other = await add_task(store, ada), await add_task(store, ada, "Another")
        async with request(store, ada, task.id) as db:
            assert await db.tasks.get(ada.id, other.id) == other

    async def test_the_task_of_another_account_is_not_found(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        task = await add_task(store, ada)
        async with request(store, bob, task.id) as db:
            with pytest.raises(NotFound):
                await db.tasks.get(bob.id, task.id)
            assert await db.tasks.get(ada.id, task.id) == task

    async def test_one_in_the_trash_is_found_there(self, store: Store) -> None:
        ada = await add_user(store)
        trashed = await move_to_trash(store, await add_task(store, ada))
        async with request(store, ada, trashed.id) as db:
            with pytest.raises(NotFound):
                await db.tasks.get(ada.id, trashed.id)
            assert await db.trash.get(ada.id, trashed.id) == trashed

    async def test_an_ended_session_has_no_actor_and_reads_no_task(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        for ahead in (ReadAhead(task.id), ReadAhead(first_page=9)):
            async with store.autocommit() as db:
                token = await open_session(db, ada)
                await db.sessions.end(token.session_id)
                before = READ_AHEAD.set(ahead)
                try:
                    assert await db.sessions.find_actor(token.session_id, NOW) is None
                finally:
                    READ_AHEAD.reset(before)
            assert ahead.take(ada.id, task.id) is None
            assert ahead.take_page(ada.id, 9) is None

    async def test_the_first_page_is_that_of_the_list(self, store: Store) -> None:
        ada, bob, eve = [await add_user(store, name) for name in ("ada", "bob", "eve")]
        await add_task(store, ada, **FULL)
        await move_to_trash(store, await add_task(store, ada))
        await add_task(store, ada, "New")
        await add_task(store, bob)
        for user in (ada, bob, eve):
            for limit in (1, 2, 3):
                async with request(store, user, first_page=limit) as db:
                    known = await db.tasks.page(user.id, skip=0, limit=limit)
                    assert known == await db.tasks.page(user.id, skip=0, limit=limit)

    async def test_another_page_is_read(self, store: Store) -> None:
        ada, bob = await add_user(store), await add_user(store, "bob")
        old, new = await add_task(store, ada), await add_task(store, ada)
        others = await add_task(store, bob)
        asked: list[tuple[UserId | None, dict[str, Any], list[Task]]] = [
            (ada.id, {"skip": 0, "limit": 2}, [new, old]),
            (ada.id, {"skip": 1, "limit": 1}, [old]),
            (ada.id, {"skip": 0, "limit": 1, "after": TaskPosition(new.id, new.id)}, [old]),
            (ada.id, {"skip": 0, "limit": 1, "sort": Sort.OLDEST}, [old]),
            (ada.id, {"skip": 0, "limit": 1, "of": TaskFilter(label_keys=frozenset({"x"}))}, []),
            (bob.id, {"skip": 0, "limit": 1}, [others]),
            (None, {"skip": 0, "limit": 1}, [others]),
        ]
        for owner, page, tasks in asked:
            async with request(store, ada, first_page=1) as db:
                assert (await db.tasks.page(owner, **page)).items == tasks

    async def test_a_second_page_sees_what_was_written_meanwhile(self, store: Store) -> None:
        ada = await add_user(store)
        old = await add_task(store, ada)
        async with request(store, ada, first_page=5) as db:
            assert (await db.tasks.page(ada.id, skip=0, limit=5)).items == [old]
            new = await add_task(store, ada)
            assert (await db.tasks.page(ada.id, skip=0, limit=5)).items == [new, old]
