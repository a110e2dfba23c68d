"""The contract of `ports.TaskRepository`, on every store; test_task_lists.py has the filters."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.ids import MAX_ID
from taskcore.domain.pages import MAX_SKIP
from taskcore.domain.task_orders import Sort, TaskPosition
from taskcore.domain.tasks import MAX_TASKS, WORDS, NewTask, Task, TaskChanges, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import Repositories, Store
from taskcore.testing.contracts.contract import Contract
from taskcore.testing.contracts.stored import (
    LATER,
    NOW,
    add_task,
    add_tasks,
    add_user,
    move_to_trash,
)
from taskcore.testing.contracts.task_contents import BESIDE, CHANGED, DATED, DUE, FULL

LAST = datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC)  # the next one means "never"


def at(number: int) -> TaskPosition:
    """In a plain list, behind the task with this id."""
    return TaskPosition(number, TaskId(number))


TEXTS = [
    "\U0001f600" * 255,
    "tab\tline\nreturn\r",
    " around ",
    "'; DROP TABLE tasks; --",
    "%s %(x)s $1 :x {} \\",
    "e\u0301 is not \u00e9",
    "\ufeff\u200b\u202e\uffff\U0010ffff",
    "0",
    "null",
    "'quoted':1A & !b | (c) <-> \\'d\\\\",
    "\u4e1c\u4eac \u6771\u4eac\u30bf\u30ef\u30fc",
    "\u0130\u0131\u00df\u1e9e\u03c2\ufb01\u0149\u01f0\u0390",
]


Finds = Callable[[Repositories, UserId, TaskId], Awaitable[object]]


FINDS: dict[str, Finds] = {
    "get": lambda db, owner_id, task_id: db.tasks.get(owner_id, task_id),
    "owner_of": lambda db, _, task_id: db.tasks.owner_of(task_id),
    "lock": lambda db, owner_id, task_id: db.tasks.lock(owner_id, task_id),
}


async def tasks_of_two(store: Store, titles: str) -> tuple[User, User, list[Task]]:
    """Two owners and their tasks in turn, newest first."""
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    everything: list[Task] = []
    for title in titles:
        everything.insert(0, await add_task(store, ada, f"{title} of ada"))
        everything.insert(0, await add_task(store, bob, f"{title} of bob"))
    return ada, bob, everything


class TaskContract(Contract):
    async def test_an_added_task_is_read_back_with_every_field(self, store: Store) -> None:
        ada = await add_user(store)
        full = replace(Task.new(ada.id, NOW, **FULL), completed_at=LATER)
        bare, dated = NewTask(ada.id, NOW, "x"), Task.new(ada.id, NOW, title="x", **DATED)
        async with store.autocommit() as db:
            for draft in (full, bare, dated):
                added = await db.tasks.add(draft, at_most=9)
                read = await db.tasks.get(ada.id, added.id)
                assert read == added == draft.stored_as(added.id)
                assert {type(getattr(read, field.name)) for field in fields(read)} == {
                    type(getattr(added, field.name)) for field in fields(added)
                }
                for moment in (read.created_at, read.updated_at, read.due_at, read.completed_at):
                    assert moment is None or moment.utcoffset() == timedelta(0)

    @pytest.mark.parametrize("name", WORDS)
    async def test_every_word_is_kept(self, store: Store, name: str) -> None:
        ada = await add_user(store)
        for word in WORDS[name]:
            given: dict[str, Any] = {name: word.value}
            task = await add_task(store, ada, **given)
            async with store.autocommit() as db:
                assert getattr(await db.tasks.get(ada.id, task.id), name) is word

    @pytest.mark.parametrize(
        "due", [date.min, date.max, datetime(1, 1, 1, tzinfo=UTC), LAST - timedelta(microseconds=1)]
    )
    async def test_the_earliest_and_the_latest_due_are_kept(self, store: Store, due: date) -> None:
        kind = "due_at" if isinstance(due, datetime) else "due_date"
        given: dict[str, Any] = {kind: due}
        task = await add_task(store, await add_user(store), **given)
        async with store.autocommit() as db:
            read = await db.tasks.get(task.owner_id, task.id)
        assert getattr(read, kind) == due

    async def test_a_moment_with_another_offset_is_the_same_moment(self, store: Store) -> None:
        here = DUE.astimezone(timezone(timedelta(hours=5, minutes=45)))
        task = await add_task(store, await add_user(store), due_at=here)
        async with store.autocommit() as db:
            read = await db.tasks.get(task.owner_id, task.id)
        assert read.due_at == DUE
        assert read.due_at.utcoffset() == timedelta(0)

    @pytest.mark.parametrize("text", TEXTS)
    async def test_text_is_kept_as_it_was_sent(self, store: Store, text: str) -> None:
        ada = await add_user(store)
        added = await add_task(store, ada, text, description=text)
        async with store.autocommit() as db:
            read = await db.tasks.get(ada.id, added.id)
        assert (read.title, read.description) == (text, text)

    async def test_labels_are_kept_as_they_were_sent(self, store: Store) -> None:
        ada = await add_user(store)
        texts = [text for text in TEXTS if not {*text} & {*"\t\n\r"}]
        labels = (*(text[:64] for text in texts), "{}", '"', "a,b", "{a,NULL}", "\\n", "E'\\n'")
        added = await add_task(store, ada, labels=labels)
        async with store.autocommit() as db:
            assert (await db.tasks.get(ada.id, added.id)).labels == labels

    async def test_the_longest_texts_fit(self, store: Store) -> None:
        ada = await add_user(store)
        emoji, words = "\U0001f600" * 5000, " ".join(map(str, range(1000, 2000)))
        for text in (
            emoji,
            words,
            "\u4e1c" * 5000,
            "".join(map(chr, range(0x4E00, 0x4E00 + 5000))),
        ):
            labels = [f"{number:02}{text[:62]}" for number in range(20)]
            added = await add_task(store, ada, text[:255], description=text, labels=labels)
            async with store.autocommit() as db:
                read = await db.tasks.get(ada.id, added.id)
            assert (read.title, read.description, read.labels) == (text[:255], text, tuple(labels))

    async def test_every_change_is_stored(self, store: Store) -> None:
        assert CHANGED.keys() == TaskChanges.__annotations__.keys(), (
            "add a value to CHANGED in taskcore/testing/contracts/task_contents.py"
        )
        ada = await add_user(store)
        for name in CHANGED:
            fresh = await add_task(store, ada)
            changes: dict[str, Any] = {name: CHANGED[name]}  # type: ignore[literal-required]
            edited = fresh.edited(LATER, **changes | BESIDE.get(name, {}))
            assert getattr(edited, name) == CHANGED[name]  # type: ignore[literal-required]
            async with store.autocommit() as db:
                assert await db.tasks.save(edited, was=fresh) == edited
                assert await db.tasks.get(ada.id, fresh.id) == edited
                back = replace(fresh, version=3, updated_at=LATER)
                await db.tasks.save(back, was=edited)
                assert await db.tasks.get(ada.id, fresh.id) == back

    async def test_ids_ascend(self, store: Store) -> None:
        tasks = await add_tasks(store, await add_user(store), *"abc")
        ids = [task.id for task in tasks]
        assert ids == sorted(set(ids))

    async def test_a_task_of_an_account_that_is_not_there_is_not_added(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        await add_task(store, bob)
        async with store.autocommit() as db:
            await db.users.remove(ada.id)
            await db.users.remove(bob.id)
            for owner_id in (ada.id, bob.id, UserId(0), UserId(MAX_ID)):
                with pytest.raises(NotFound):
                    await db.tasks.add(Task.new(owner_id, NOW, title="Too late"), at_most=9)
            assert (await db.tasks.page(None, skip=0, limit=1)).total == 0

    @pytest.mark.parametrize("find", FINDS)
    @pytest.mark.parametrize("task_id", [0, -1, MAX_ID, MAX_ID + 1, 10**30, -(10**30)])
    async def test_an_id_that_no_task_has_is_not_found(
        self, store: Store, find: str, task_id: int
    ) -> None:
        ada = await add_user(store)
        await add_task(store, ada)
        with pytest.raises(NotFound):
            async with store.transaction() as tx:
                await FINDS[find](tx, ada.id, TaskId(task_id))

    async def test_a_task_is_found_only_in_its_own_account(self, store: Store) -> None:
        ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
        cid = await add_user(store, "cid")  # without any task
        task = await add_task(store, ada)
        await add_task(store, bob)
        async with store.autocommit() as db:
            assert await db.tasks.owner_of(task.id) == ada.id
            for owner_id in (bob.id, cid.id, UserId(0), UserId(MAX_ID), UserId(MAX_ID + 1)):
                with pytest.raises(NotFound):
                    await db.tasks.get(owner_id, task.id)
                with pytest.raises(NotFound):
                    await db.tasks.lock(owner_id, task.id)
            stolen = replace(task, owner_id=bob.id)
            with pytest.raises(StaleWrite):
                await db.tasks.save(stolen.edited(LATER, title="Mine"), was=stolen)
            with pytest.raises(StaleWrite):
                await db.tasks.trash(stolen.trashed(LATER), was=stolen)
            assert await db.tasks.get(ada.id, task.id) == task

    async def test_a_page_is_a_slice_newest_first_with_the_total(self, store: Store) -> None:
        ada, bob, everything = await tasks_of_two(store, "abcde")
        async with store.autocommit() as db:
            for owner_id in (None, ada.id, bob.id, UserId(0), UserId(MAX_ID), UserId(MAX_ID + 1)):
                wanted = [task for task in everything if owner_id in {None, task.owner_id}]
                for skip, limit in [(0, 100), (0, 3), (3, 3), (9, 3), (10, 3), (MAX_SKIP, 100)]:
                    page = await db.tasks.page(owner_id, skip=skip, limit=limit)
                    assert list(page.items) == wanted[skip : skip + limit]
                    assert page.total == len(wanted)

    @pytest.mark.parametrize("sort", [sort for sort in Sort if sort is not Sort.RELEVANCE])
    async def test_of_an_account_without_tasks_every_list_is_empty(
        self, store: Store, sort: Sort
    ) -> None:
        ada = await add_user(store)
        async with store.autocommit() as db:
            page = await db.tasks.page(ada.id, sort=sort, skip=0, limit=9)
            assert (list(page.items), page.total, page.has_more) == ([], 0, False)
            thrown = await db.trash.page(ada.id, skip=0, limit=9)
            assert (list(thrown.items), thrown.total, thrown.has_more) == ([], 0, False)
            assert (await db.tasks.labels(ada.id, limit=9)).items == []

    async def test_the_order_of_a_page_does_not_change_when_a_task_does(self, store: Store) -> None:
        first, second = await add_tasks(store, await add_user(store), "first", "second")
        async with store.autocommit() as db:
            changed = await db.tasks.save(first.edited(LATER, title="first, again"), was=first)
            page = await db.tasks.page(first.owner_id, skip=0, limit=10)
        assert list(page.items) == [second, changed]

    async def test_a_version_that_is_not_the_stored_one_is_stale(self, store: Store) -> None:
        task = await add_task(store, await add_user(store))
        async with store.autocommit() as db:
            current = await db.tasks.save(task.edited(LATER, title="second"), was=task)
            for version in (0, 1, 3, MAX_ID):
                was = replace(current, version=version)
                for changes in ({"title": "lost"}, {"priority": "high"}):
                    lost = replace(current.edited(LATER, **changes), version=3)  # type: ignore[arg-type]
                    with pytest.raises(StaleWrite):
                        await db.tasks.save(lost, was=was)
                with pytest.raises(StaleWrite):
                    await db.tasks.trash(current.trashed(LATER), was=was)
            assert await db.tasks.get(task.owner_id, task.id) == current

    async def test_a_task_that_is_gone_is_stale(self, store: Store) -> None:
        task, other = await add_tasks(store, await add_user(store), "one", "other")
        await move_to_trash(store, task)
        async with store.autocommit() as db:
            with pytest.raises(StaleWrite):
                await db.tasks.save(task.edited(LATER, title="second"), was=task)
            with pytest.raises(StaleWrite):
                await db.tasks.trash(task.trashed(LATER), was=task)
            with pytest.raises(NotFound):
                await db.tasks.get(task.owner_id, task.id)
            assert await db.tasks.get(other.owner_id, other.id) == other

    async def test_of_many_who_write_the_same_version_one_wins(self, store: Store) -> None:
        task = await add_task(store, await add_user(store))

        async def write(title: str) -> Task:
            async with store.autocommit() as db:
                return await db.tasks.save(task.edited(LATER, title=title), was=task)

        results = await asyncio.gather(*map(write, "abcdefgh"), return_exceptions=True)
        (winner,) = [result for result in results if isinstance(result, Task)]
        assert sum(isinstance(result, StaleWrite) for result in results) == 7
        async with store.autocommit() as db:
            assert await db.tasks.get(task.owner_id, task.id) == winner

    async def test_a_list_goes_on_from_its_last_task(self, store: Store) -> None:
        ada, _, everything = await tasks_of_two(store, "abcdef")
        async with store.autocommit() as db:
            for owner_id in (None, ada.id):
                wanted = [task for task in everything if owner_id in {None, task.owner_id}]
                for limit in (1, 4, 6, 100):
                    read: list[Task] = []
                    after = None
                    while True:
                        page = await db.tasks.page(owner_id, skip=0, limit=limit, after=after)
                        assert page.total == len(wanted)
                        read += page.items
                        assert page.has_more == (len(read) < len(wanted))
                        if not page.has_more:
                            break
                        after = at(read[-1].id)
                    assert read == wanted

    async def test_a_cursor_is_not_shifted_by_new_and_removed_tasks(self, store: Store) -> None:
        ada = await add_user(store)
        f, e, d, c, b, a = reversed(await add_tasks(store, ada, *"abcdef"))
        async with store.autocommit() as db:
            first = await db.tasks.page(ada.id, skip=0, limit=2)
            assert list(first.items) == [f, e]
            await add_task(store, ada, "g")
            for gone in (f, e, c):  # e is the one that the cursor names
                await move_to_trash(store, gone)
            then = await db.tasks.page(ada.id, skip=0, limit=2, after=at(e.id))
            assert list(then.items) == [d, b]
            last = await db.tasks.page(ada.id, skip=0, limit=2, after=at(b.id))
            assert (list(last.items), last.total, last.has_more) == ([a], 4, False)
            beyond = await db.tasks.page(ada.id, skip=0, limit=2, after=at(a.id))
            assert (list(beyond.items), beyond.total, beyond.has_more) == ([], 4, False)

    @pytest.mark.parametrize("after", [-1, 0, 1, MAX_ID, MAX_ID + 1, 10**30])
    async def test_a_cursor_may_be_any_id(self, store: Store, after: int) -> None:
        ada = await add_user(store)
        tasks = await add_tasks(store, ada, "a", "b")
        async with store.autocommit() as db:
            for owner_id in (ada.id, None):
                page = await db.tasks.page(owner_id, skip=0, limit=9, after=at(after))
                assert list(page.items) == [task for task in reversed(tasks) if task.id < after]

    async def test_skip_counts_from_the_cursor(self, store: Store) -> None:
        ada = await add_user(store)
        tasks = await add_tasks(store, ada, *"abcdef")
        async with store.autocommit() as db:
            page = await db.tasks.page(ada.id, skip=1, limit=2, after=at(tasks[5].id))
        assert list(page.items) == [tasks[3], tasks[2]]
        assert page.has_more

    async def test_a_locked_task_is_changed_by_one_after_the_other(self, store: Store) -> None:
        task = await add_task(store, await add_user(store), "x")

        async def append(letter: str) -> None:
            async with store.transaction() as tx:
                found = await tx.tasks.lock(task.owner_id, task.id)
                await asyncio.sleep(
                    0.01
                )  # long enough for the others to read the same, if they could
                await tx.tasks.save(found.edited(LATER, title=f"{found.title}{letter}"), was=found)

        await asyncio.gather(*map(append, "abc"))
        async with store.autocommit() as db:
            assert sorted((await db.tasks.get(task.owner_id, task.id)).title) == sorted("xabc")

    async def test_what_a_transaction_does_is_undone_with_it(self, store: Store) -> None:
        ada = await add_user(store)
        kept, moved, purged = await add_tasks(store, ada, "kept", "moved", "purged")
        thrown = await move_to_trash(store, purged)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - all of it is undone
            async with store.transaction() as tx:
                await tx.tasks.add(NewTask(ada.id, NOW, "new"), at_most=MAX_TASKS)
                await tx.tasks.save(kept.edited(LATER, title="lost", labels=["lost"]), was=kept)
                await tx.tasks.trash(moved.trashed(LATER), was=moved)
                await tx.trash.purge(ada.id, purged.id, at=LATER)
                raise ZeroDivisionError
        async with store.autocommit() as db:
            page = await db.tasks.page(ada.id, skip=0, limit=9)
            assert (list(page.items), page.total) == ([moved, kept], 2)
            thrown_away = await db.trash.page(ada.id, skip=0, limit=9)
            assert (list(thrown_away.items), thrown_away.total) == ([thrown], 1)
            assert (await db.tasks.page(None, skip=0, limit=1)).total == 2
            assert (await db.tasks.labels(ada.id, limit=9)).items == []
