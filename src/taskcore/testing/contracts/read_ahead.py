"""The contract of READ_AHEAD, on every store: whether it is used or not shows in no answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from taskcore.domain.errors import NotFound
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import User
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
async def request(store: Store, user: User, about: TaskId) -> AsyncIterator[Repositories]:
    """A request about that task, of a new session, once its actor is found."""
    async with store.autocommit() as db:
        token = await open_session(db, user)
        before = READ_AHEAD.set(ReadAhead(about))
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
        async with store.autocommit() as db:
            token = await open_session(db, ada)
            await db.sessions.end(token.session_id)
            ahead = ReadAhead(task.id)
            before = READ_AHEAD.set(ahead)
            try:
                assert await db.sessions.find_actor(token.session_id, NOW) is None
            finally:
                READ_AHEAD.reset(before)
        assert ahead.take(ada.id, task.id) is None
