"""A removed account is gone for every reader, whatever of it is still stored; on every store."""

from datetime import timedelta

import pytest

from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.search import Search
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.task_queries import EVERYTHING, TaskFilter
from taskcore.domain.tasks import OPEN, NewTask, Status
from taskcore.domain.users import Role, UserId
from taskcore.ports import Batch, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
    LATER,
    NOW,
    add_task,
    add_tasks,
    add_user,
    move_to_trash,
    open_session,
)


async def remove(store: Store, user_id: UserId, *, at_once: int = 1) -> None:
    async with store.transaction() as tx:
        await tx.users.remove(user_id, at_once=at_once)


LISTS = [
    (of, sort)
    for of in (EVERYTHING, TaskFilter(search=Search.parse("a")), TaskFilter(statuses=OPEN))
    for sort in Sort
    if of.search or sort is not Sort.RELEVANCE
]


class LeftoverContract(Contract):
    async def test_what_is_removable_is_counted_and_stays(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada, title="Write")
        await move_to_trash(store, task)
        async with store.autocommit() as db:
            await open_session(db, ada)
        never, ever = NOW - timedelta(days=9999), NOW + timedelta(days=9999)
        for moment, number in ((never, 0), (ever, 1), (ever, 1)):
            async with store.autocommit() as db:
                found = await db.leftovers.removable(
                    now=moment, trash=moment, events=moment, keys=moment
                )
            assert {**found, "events": min(found["events"], 1)} == {
                **dict.fromkeys(("trash", "events", "sessions"), number),
                **dict.fromkeys(("accounts", "tasks", "keys"), 0),
            }

    async def test_a_removed_user_is_found_in_no_way(self, store: Store) -> None:
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
            assert not await db.users.replace_password_hash(
                ada.id, "hash of Ada@example.org", "new"
            )
            for is_active in (None, True, False):
                assert (await db.users.page(skip=0, limit=9, is_active=is_active)).total == 0
        async with store.transaction() as tx:
            assert await tx.users.lock_admins() == []
            with pytest.raises(NotFound):
                await tx.users.lock(ada.id)

    async def test_the_address_of_a_removed_user_is_free_at_once(self, store: Store) -> None:
        ada = await add_user(store)
        await add_tasks(store, ada, "a", "b", "c")
        await remove(store, ada.id)
        other = await add_user(store)
        assert other.id > ada.id
        async with store.autocommit() as db:
            assert await db.users.find_by_email("ada@example.org") == other
            assert (await db.tasks.page(other.id, skip=0, limit=9)).total == 0
            await open_session(db, other)
        await add_tasks(store, other, "a", "b")
        await remove(store, other.id)
        await add_user(store)

    @pytest.mark.parametrize("at_once", [0, 1, 100])
    async def test_the_tasks_of_a_removed_user_are_found_in_no_way(
        self, store: Store, at_once: int
    ) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        of_bob = [await add_task(store, bob, "first")]
        of_ada = await add_tasks(store, ada, "a", "a b", "c")
        of_ada.append(await add_task(store, ada, "a", labels=["x"]))
        trashed = await move_to_trash(store, of_ada[0])
        of_bob.append(await add_task(store, bob, "last"))
        await remove(store, ada.id, at_once=at_once)
        async with store.autocommit() as db:
            for task in of_ada:
                edited = task.edited(LATER, title="Back", status=Status.DONE)
                for missing in (
                    db.tasks.owner_of(task.id),
                    db.trash.owner_of(task.id),
                    db.tasks.lock(ada.id, task.id),
                    db.trash.lock(ada.id, task.id),
                    db.trash.purge(ada.id, task.id, at=LATER),
                ):
                    with pytest.raises(NotFound):
                        await missing
                for stale in (
                    db.tasks.save(edited, was=task),
                    db.tasks.trash(task.trashed(LATER), was=task),
                    db.trash.restore(trashed.restored(LATER), was=trashed),
                ):
                    with pytest.raises(StaleWrite):
                        await stale
            with pytest.raises(NotFound):
                await db.tasks.add(NewTask(ada.id, NOW, "Too late"), at_most=99)
            assert await db.tasks.get(bob.id, of_bob[0].id) == of_bob[0]
            everybodys = await db.tasks.page(None, skip=0, limit=9)
            assert (list(everybodys.items), everybodys.total) == (of_bob[::-1], 2)
            after = TaskPosition(of_bob[1].id, of_bob[1].id)
            page = await db.tasks.page(None, skip=0, limit=1, after=after)
            assert (list(page.items), page.total, page.has_more) == (of_bob[:1], 2, False)
            for of, sort in LISTS:
                page = await db.tasks.page(ada.id, of, sort, skip=0, limit=9)
                assert (page.items, page.total, page.has_more) == ([], 0, False)
            thrown = await db.trash.page(ada.id, skip=0, limit=9)
            assert (thrown.items, thrown.total, thrown.has_more) == ([], 0, False)
            assert (await db.tasks.labels(ada.id, limit=9)).items == []
            page = await db.tasks.page(bob.id, skip=0, limit=9)
            assert (list(page.items), page.total) == (of_bob[::-1], 2)

    async def test_the_sessions_of_a_removed_user_have_ended(self, store: Store) -> None:
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

    async def test_leftovers_are_removed_to_the_end_and_nothing_else_is(self, store: Store) -> None:
        ada, bob, cid = [await add_user(store, name) for name in ("ada", "bob", "cid")]
        kept = await add_tasks(store, bob, "a", "b")
        for owner in (ada, cid):
            for task in (await add_tasks(store, owner, *"abcdefg"))[::2]:
                await move_to_trash(store, task)
        in_trash = await move_to_trash(store, await add_task(store, bob))
        kept += await add_tasks(store, bob, "c")
        for user in (ada, cid):
            await remove(store, user.id)
        batch = Batch(0, 0)
        for _ in range(24):
            async with store.autocommit() as db:
                before = await db.leftovers.count()
                batch = await db.leftovers.remove(3, after=batch)
                left = await db.leftovers.count()
            assert batch.tasks <= 3
            assert left.tasks == before.tasks - batch.tasks
            assert left.accounts == before.accounts - batch.accounts
        assert (left.accounts, left.tasks) == (0, 0)
        async with store.autocommit() as db:
            page = await db.tasks.page(None, skip=0, limit=9)
            assert (list(page.items), page.total) == (kept[::-1], 3)
            thrown = await db.trash.page(bob.id, skip=0, limit=9)
            assert (list(thrown.items), thrown.total) == ([in_trash], 1)
            assert await db.users.get(bob.id) == bob
