"""A removed account is gone for every reader, whatever of it is still stored; on every store."""

import pytest

from taskcore.domain.errors import NotFound
from taskcore.domain.users import Role, UserId
from taskcore.ports import Batch, Store
from tests.contracts.stored import LATER, NOW, add_task, add_tasks, add_user, open_session

pytestmark = pytest.mark.anyio


async def remove(store: Store, user_id: UserId, *, at_once: int = 1) -> None:
    async with store.transaction() as tx:
        await tx.users.remove(user_id, at_once=at_once)


async def test_a_removed_user_is_found_in_no_way(store: Store) -> None:
    ada = await add_user(store, role=Role.ADMIN)
    await add_tasks(store, ada, "a", "b", "c")
    await remove(store, ada.id)
    async with store.autocommit() as db:
        for read in (
            db.users.get(ada.id),
            db.users.get_credentials(ada.id),
            db.users.save(ada.edited(LATER, full_name="Back")),
            db.users.remove(ada.id),
        ):
            with pytest.raises(NotFound):
                await read
        assert await db.users.find_by_email("ada@example.org") is None
        assert await db.users.find_credentials("ada@example.org") is None
        assert not await db.users.replace_password_hash(ada.id, "hash of Ada@example.org", "new")
        for is_active in (None, True, False):
            assert (await db.users.page(skip=0, limit=9, is_active=is_active)).total == 0
    async with store.transaction() as tx:
        assert await tx.users.lock_admins() == []
        with pytest.raises(NotFound):
            await tx.users.lock(ada.id)


async def test_the_address_of_a_removed_user_is_free_at_once(store: Store) -> None:
    ada = await add_user(store)
    await add_tasks(store, ada, "a", "b", "c")
    await remove(store, ada.id)
    other = await add_user(store)
    assert other.id > ada.id
    async with store.autocommit() as db:
        assert await db.users.find_by_email("ada@example.org") == other
        assert (await db.tasks.page(owner_id=other.id, skip=0, limit=9)).total == 0
        await open_session(db, other)
    await add_tasks(store, other, "a", "b")
    await remove(store, other.id)
    await add_user(store)


async def test_the_tasks_of_a_removed_user_are_found_in_no_way(store: Store) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    of_bob = [await add_task(store, bob, "first")]
    of_ada = await add_tasks(store, ada, "a", "b", "c")
    of_bob.append(await add_task(store, bob, "last"))
    await remove(store, ada.id)
    for living in (None, bob.id):
        async with store.autocommit() as db:
            for task in of_ada:
                with pytest.raises(NotFound):
                    await db.tasks.get(task.id, living=living)
            assert await db.tasks.get(of_bob[0].id, living=living) == of_bob[0]
            everybodys = await db.tasks.page(owner_id=None, skip=0, limit=9, living=living)
            assert (list(everybodys.items), everybodys.total) == (of_bob[::-1], 2)
            page = await db.tasks.page(owner_id=None, skip=0, limit=1, before=of_bob[1].id)
            assert (list(page.items), page.total, page.has_more) == (of_bob[:1], 2, False)
            page = await db.tasks.page(owner_id=ada.id, skip=0, limit=9, living=living)
            assert (page.items, page.total, page.has_more) == ([], 0, False)
            page = await db.tasks.page(owner_id=bob.id, skip=0, limit=9, living=living)
            assert (list(page.items), page.total) == (of_bob[::-1], 2)
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await tx.tasks.lock(of_ada[0].id)


async def test_the_sessions_of_a_removed_user_have_ended(store: Store) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    async with store.autocommit() as db:
        tokens = [await open_session(db, user) for user in (ada, ada, bob)]
    await add_tasks(store, ada, "a", "b", "c")
    await remove(store, ada.id)
    async with store.autocommit() as db:
        for token in tokens[:2]:
            assert await db.sessions.find_actor(token.session_id, NOW) is None
            assert await db.sessions.find_by_token(token.digest) is None
        assert await db.sessions.find_actor(tokens[2].session_id, NOW) is not None
        assert await db.sessions.of_user(ada.id, NOW) == []
        assert (await db.sessions.page(user_id=None, skip=0, limit=9, now=NOW)).total == 1


async def test_leftovers_are_removed_to_the_end_and_nothing_else_is(store: Store) -> None:
    ada, bob, cid = [await add_user(store, name) for name in ("ada", "bob", "cid")]
    kept = await add_tasks(store, bob, "a", "b")
    for owner in (ada, cid):
        await add_tasks(store, owner, *"abcdefg")
    kept += await add_tasks(store, bob, "c")
    for user in (ada, cid):
        await remove(store, user.id)
    batch = Batch(0, 0)
    for _ in range(20):
        async with store.autocommit() as db:
            before = await db.leftovers.count()
            batch = await db.leftovers.remove(3, after=batch)
            left = await db.leftovers.count()
        assert batch.tasks <= 3
        assert left.tasks == before.tasks - batch.tasks
        assert left.accounts == before.accounts - batch.accounts
    assert (left.accounts, left.tasks) == (0, 0)
    async with store.autocommit() as db:
        page = await db.tasks.page(owner_id=None, skip=0, limit=9)
        assert (list(page.items), page.total) == (kept[::-1], 3)
        assert await db.users.get(bob.id) == bob
