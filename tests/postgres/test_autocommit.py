"""What shares no statement with other requests, and whose work takes turns."""

import pytest

from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.autocommit import MUCH
from taskcore.adapters.postgres.batching import HEAVY
from taskcore.domain.users import User
from taskcore.testing.contracts.stored import LATER, add_task, add_user, move_to_trash, restore

pytestmark = pytest.mark.anyio


async def test_a_request_of_many_words_shares_no_batch(connections: Connections) -> None:
    store = PostgresStore(connections)
    ada = await add_user(store)
    task = await add_task(store, ada)
    before = list(store._shared.batches)
    wordy = " ".join(f"word{number}" for number in range(HEAVY + 1))
    await add_task(store, ada, description=wordy)
    edited = task.edited(LATER, description=wordy)
    async with store.autocommit() as db:
        await db.tasks.save(edited, was=task)
    trashed = await move_to_trash(store, edited, LATER)
    before[1] += 1  # that of the trash
    await restore(store, trashed)
    assert store._shared.batches == before


async def test_after_a_page_of_long_texts_a_user_shares_no_batch(connections: Connections) -> None:
    store = PostgresStore(connections)
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    for _ in range(MUCH // 5000 + 1):
        await add_task(store, ada, description="x" * 5000)
    await add_task(store, bob)

    async def batches_of_a_page(user: User) -> int:
        before = sum(store._shared.batches)
        async with store.autocommit(user.id) as db:
            assert (await db.tasks.page(user.id, skip=0, limit=100)).items
        return sum(store._shared.batches) - before

    assert [await batches_of_a_page(user) for user in (ada, ada, bob, bob)] == [1, 0, 1, 1]
