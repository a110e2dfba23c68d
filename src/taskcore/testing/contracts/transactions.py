"""The contract of `ports.Store`: what a transaction is, on every store."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from taskcore.domain.errors import EmailTaken, NotFound, StaleWrite
from taskcore.domain.tasks import Task
from taskcore.domain.users import Role, User
from taskcore.ports import Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import LATER, NOW, add_task, add_user, open_session

AGAIN = User.new("ada@example.org", NOW, full_name=None, role=Role.USER)


class Regret(Exception):
    """Raised to leave a transaction."""


async def titles(store: Store) -> list[str]:
    async with store.autocommit() as db:
        return [task.title for task in (await db.tasks.page(None, skip=0, limit=9)).items]


class TransactionContract(Contract):
    async def test_leaving_normally_commits_everything(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.transaction() as tx:
            await tx.tasks.add(Task.new(ada.id, NOW, title="one"), at_most=9)
            await tx.tasks.add(Task.new(ada.id, NOW, title="two"), at_most=9)
            await tx.users.save(ada.edited(LATER, full_name="Countess"))
        assert await titles(store) == ["two", "one"]
        async with store.autocommit() as db:
            assert (await db.users.get(ada.id)).full_name == "Countess"

    async def test_what_a_transaction_prepares_is_done_before_it(self, store: Store) -> None:
        ada = await add_user(store)
        done: list[str] = []

        async def prepare() -> None:
            done.append("prepared")

        async with store.transaction(ada.id, prepare):
            done.append("begun")
        assert done == ["prepared", "begun"]

        async def fail() -> None:
            raise Regret

        with pytest.raises(Regret):
            async with store.transaction(ada.id, fail):
                done.append("begun again")
        async with store.transaction(ada.id) as tx:  # the turn is given back
            assert await tx.users.get(ada.id) == ada
        assert done == ["prepared", "begun"]

    async def test_leaving_by_an_exception_undoes_everything(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada, "before")
        async with store.autocommit() as db:
            token = await open_session(db, ada)

        async def change_everything() -> None:
            async with store.transaction() as tx:
                await tx.tasks.add(Task.new(ada.id, NOW, title="one"), at_most=9)
                await tx.tasks.save(task.edited(LATER, title="after"), was=task)
                await tx.sessions.end(token.session_id)
                await tx.users.save(ada.edited(LATER, full_name="Countess"))
                await tx.users.add(User.new("b@x.org", NOW, full_name=None, role=Role.USER), "h")
                await tx.users.remove(ada.id)
                raise Regret

        with pytest.raises(Regret):
            await change_everything()
        assert await titles(store) == ["before"]
        async with store.autocommit() as db:
            assert await db.users.get(ada.id) == ada
            assert await db.users.find_by_email("b@x.org") is None
            assert await db.users.find_by_email("ada@example.org") == ada
            assert await db.sessions.find_actor(token.session_id, NOW) is not None

    async def test_a_refusal_undoes_what_came_before_it(self, store: Store) -> None:
        ada = await add_user(store)

        async def add_both() -> None:
            async with store.transaction() as tx:
                await tx.tasks.add(Task.new(ada.id, NOW, title="one"), at_most=9)
                await tx.users.add(AGAIN, "h")

        with pytest.raises(EmailTaken):
            await add_both()
        assert await titles(store) == []

    async def test_a_cancelled_transaction_is_undone(self, store: Store) -> None:
        ada = await add_user(store)
        inside = asyncio.Event()

        async def never_ending() -> None:
            async with store.transaction() as tx:
                await tx.tasks.add(Task.new(ada.id, NOW, title="one"), at_most=9)
                inside.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(never_ending())
        await inside.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert await titles(store) == []

    async def test_a_transaction_sees_its_own_changes(self, store: Store) -> None:
        ada = await add_user(store)
        async with store.transaction() as tx:
            task = await tx.tasks.add(Task.new(ada.id, NOW, title="one"), at_most=9)
            assert await tx.tasks.get(ada.id, task.id) == task
            edited = await tx.tasks.save(task.edited(LATER, title="two"), was=task)
            assert await tx.tasks.get(ada.id, task.id) == edited
            await tx.tasks.trash(edited.trashed(LATER), was=edited)
            with pytest.raises(NotFound):
                await tx.tasks.get(ada.id, task.id)

    async def test_others_do_not_see_what_is_not_committed(self, store: Store) -> None:
        ada = await add_user(store)
        await add_task(store, ada, "before")
        written = asyncio.Event()

        async def write() -> None:
            async with store.transaction() as tx:
                await tx.tasks.add(Task.new(ada.id, NOW, title="never"), at_most=9)
                written.set()
                await asyncio.sleep(0.03)
                raise Regret

        async def read() -> list[str]:
            await written.wait()
            return await titles(store)  # at once, or after the writer: either way without its task

        outcome, seen = await asyncio.gather(write(), read(), return_exceptions=True)
        assert isinstance(outcome, Regret)
        assert seen == ["before"]

    async def test_without_a_transaction_each_call_stands_for_itself(self, store: Store) -> None:
        ada = await add_user(store)

        async def add_and_fail() -> None:
            async with store.autocommit() as db:
                await db.tasks.add(Task.new(ada.id, NOW, title="kept"), at_most=9)
                raise Regret

        with pytest.raises(Regret):
            await add_and_fail()
        assert await titles(store) == ["kept"]

    async def test_a_refused_call_does_not_spoil_the_next(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        async with store.autocommit() as db:
            for _ in range(3):
                with pytest.raises(EmailTaken):
                    await db.users.add(AGAIN, "h")
                with pytest.raises(StaleWrite):
                    await db.tasks.save(task, was=replace(task, version=7))
                assert await db.users.get(ada.id) == ada

    async def test_an_id_is_never_given_twice_even_if_its_transaction_is_undone(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        given: list[int] = []

        async def add_and_regret() -> None:
            async with store.transaction() as tx:
                given.append(
                    (await tx.tasks.add(Task.new(ada.id, NOW, title="undone"), at_most=9)).id
                )
                raise Regret

        for _ in range(3):
            with pytest.raises(Regret):
                await add_and_regret()
        given.append((await add_task(store, ada)).id)
        assert given == sorted(set(given))

    async def test_the_id_of_something_removed_is_not_given_again(self, store: Store) -> None:
        ada = await add_user(store)
        task = await add_task(store, ada)
        async with store.autocommit() as db:
            await db.tasks.trash(task.trashed(LATER), was=task)
            await db.trash.purge(ada.id, task.id, at=LATER)
        assert (await add_task(store, ada)).id > task.id

    async def test_many_transactions_at_once_all_come_through(self, store: Store) -> None:
        ada = await add_user(store)

        async def add(number: int) -> None:
            async with store.transaction() as tx:
                await tx.tasks.add(Task.new(ada.id, NOW, title=str(number)), at_most=99)

        await asyncio.gather(*map(add, range(25)))
        async with store.autocommit() as db:
            page = await db.tasks.page(ada.id, skip=0, limit=100)
        assert sorted(int(task.title) for task in page.items) == list(range(25))

    async def test_a_store_of_today_passes_its_check(self, store: Store) -> None:
        await store.check()

    async def test_a_refusal_that_is_ignored_never_loses_the_rest_in_silence(
        self, store: Store
    ) -> None:
        ada = await add_user(store)
        left_normally = False
        with suppress(RuntimeError):
            async with store.transaction() as tx:
                await tx.tasks.add(Task.new(ada.id, NOW, title="one"), at_most=9)
                with pytest.raises(EmailTaken):
                    await tx.users.add(AGAIN, "h")
            left_normally = True
        assert await titles(store) == (["one"] if left_normally else [])

    async def test_calls_from_another_event_loop_are_refused(self, store: Store) -> None:
        """While this one lasts: they would wait for what is woken in this loop."""
        ada = await add_user(store)

        async def read() -> None:
            async with store.autocommit() as db:
                await db.users.get(ada.id)

        async def write() -> None:
            async with store.transaction() as tx:
                await tx.users.lock(ada.id)

        for call in (read, write):
            with pytest.raises(RuntimeError):
                await asyncio.to_thread(asyncio.run, call())
        await add_task(store, ada)
