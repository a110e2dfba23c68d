"""The contract of `ports.Tasks`, on every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from taskcore.domain.errors import NotFound, StaleWrite
from taskcore.domain.rules import MAX_ID, MAX_SKIP
from taskcore.domain.tasks import Task, TaskChanges, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import Store
from tests.contracts.stored import LATER, NOW, add_task, add_tasks, add_user
from tests.factories import a_task
from tests.guards import agree

pytestmark = pytest.mark.anyio


async def test_an_added_task_is_read_back_with_every_field(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        draft = Task.new(ada.id, NOW, title="Write", description="to \U0001f600")
        added = await db.tasks.add(draft)
        read = await db.tasks.get(added.id)
    assert read == added
    assert added == a_task(
        id=added.id, title="Write", description="to \U0001f600", owner_id=ada.id, version=1
    )
    assert read.created_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f600" * 255,
        "tab\tline\nreturn\r",
        " around ",
        "'; DROP TABLE tasks; --",
        "%s %(x)s $1 :x {} \\",
        "e\u0301 is not \u00e9",
        "\ufeff\u200b\u202e\uffff\U0010ffff",
        "0",
        "null",
    ],
)
async def test_text_is_kept_as_it_was_sent(store: Store, text: str) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        added = await db.tasks.add(Task.new(ada.id, NOW, title=text, description=text))
        read = await db.tasks.get(added.id)
    assert (read.title, read.description) == (text, text)


async def test_the_longest_description_fits(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        text = "\U0001f600" * 5000
        added = await db.tasks.add(Task.new(ada.id, NOW, title="x", description=text))
        assert (await db.tasks.get(added.id)).description == text


# A new value for each field that an edit may name.
CHANGED: TaskChanges = {"title": "Changed", "description": "Changed too"}


async def test_every_change_is_stored(store: Store) -> None:
    advice = "add a value that differs from that of `add_task`"
    where = "CHANGED in tests/contracts/test_tasks.py"
    agree(TaskChanges.__annotations__, CHANGED, where, advice)
    task = await add_task(store, await add_user(store))
    for name in CHANGED:
        changes: TaskChanges = {name: CHANGED[name]}  # type: ignore[misc]
        edited = task.edited(LATER, **changes)
        assert edited != task
        async with store.autocommit() as db:
            assert await db.tasks.save(edited) == edited
            task = await db.tasks.get(task.id)
        assert task == edited


async def test_ids_ascend(store: Store) -> None:
    tasks = await add_tasks(store, await add_user(store), *"abc")
    ids = [task.id for task in tasks]
    assert ids == sorted(set(ids))


async def test_a_task_of_a_removed_user_is_not_added(store: Store) -> None:
    ada = await add_user(store)
    async with store.autocommit() as db:
        await db.users.remove(ada.id)
        with pytest.raises(NotFound):
            await db.tasks.add(Task.new(ada.id, NOW, title="Too late"))
        assert (await db.tasks.page(owner_id=None, skip=0, limit=1)).total == 0


@pytest.mark.parametrize("task_id", [0, -1, MAX_ID, MAX_ID + 1, 10**30, -(10**30)])
async def test_an_id_that_no_task_has_is_not_found(store: Store, task_id: int) -> None:
    await add_task(store, await add_user(store))
    async with store.autocommit() as db:
        with pytest.raises(NotFound):
            await db.tasks.get(TaskId(task_id))


async def tasks_of_two(store: Store, titles: str) -> tuple[User, User, list[Task]]:
    """Two owners and their tasks in turn, newest first."""
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    everything: list[Task] = []
    for title in titles:
        everything.insert(0, await add_task(store, ada, f"{title} of ada"))
        everything.insert(0, await add_task(store, bob, f"{title} of bob"))
    return ada, bob, everything


async def test_a_page_is_a_slice_newest_first_with_the_total(store: Store) -> None:
    ada, bob, everything = await tasks_of_two(store, "abcde")
    async with store.autocommit() as db:
        for owner_id in (None, ada.id, bob.id, UserId(0), UserId(MAX_ID), UserId(MAX_ID + 1)):
            wanted = [task for task in everything if owner_id in {None, task.owner_id}]
            for skip, limit in [(0, 100), (0, 3), (3, 3), (9, 3), (10, 3), (MAX_SKIP, 100)]:
                page = await db.tasks.page(owner_id=owner_id, skip=skip, limit=limit)
                assert list(page.items) == wanted[skip : skip + limit]
                assert page.total == len(wanted)


async def test_the_order_of_a_page_does_not_change_when_a_task_does(store: Store) -> None:
    first, second = await add_tasks(store, await add_user(store), "first", "second")
    async with store.autocommit() as db:
        changed = await db.tasks.save(first.edited(LATER, title="first, again"))
        page = await db.tasks.page(owner_id=first.owner_id, skip=0, limit=10)
    assert list(page.items) == [second, changed]


async def test_an_edited_task_is_stored_with_its_new_version(store: Store) -> None:
    task = await add_task(store, await add_user(store))
    edited = task.edited(LATER, title="Rewrite", description="")
    async with store.autocommit() as db:
        assert await db.tasks.save(edited) == edited
        assert await db.tasks.get(task.id) == edited
    assert edited.version == 2


async def test_a_version_that_is_not_the_next_one_is_stale(store: Store) -> None:
    task = await add_task(store, await add_user(store))
    async with store.autocommit() as db:
        current = await db.tasks.save(task.edited(LATER, title="second"))
        for version in (0, 1, 2, 4, MAX_ID):
            with pytest.raises(StaleWrite):
                await db.tasks.save(replace(current, title="lost", version=version))
        assert await db.tasks.get(task.id) == current


async def test_a_task_that_is_gone_is_stale(store: Store) -> None:
    task = await add_task(store, await add_user(store))
    async with store.autocommit() as db:
        await db.tasks.remove(task)
        with pytest.raises(StaleWrite):
            await db.tasks.save(task.edited(LATER, title="second"))
        with pytest.raises(StaleWrite):
            await db.tasks.remove(task)


async def test_a_task_is_removed_only_in_the_version_that_was_read(store: Store) -> None:
    task, other = await add_tasks(store, await add_user(store), "one", "other")
    async with store.autocommit() as db:
        current = await db.tasks.save(task.edited(LATER, title="second"))
        with pytest.raises(StaleWrite):
            await db.tasks.remove(task)
        await db.tasks.remove(current)
        with pytest.raises(NotFound):
            await db.tasks.get(task.id)
        assert await db.tasks.get(other.id) == other


async def test_of_many_who_write_the_same_version_one_wins(store: Store) -> None:
    task = await add_task(store, await add_user(store))

    async def write(title: str) -> Task:
        async with store.autocommit() as db:
            return await db.tasks.save(task.edited(LATER, title=title))

    results = await asyncio.gather(*map(write, "abcdefgh"), return_exceptions=True)
    (winner,) = [result for result in results if isinstance(result, Task)]
    assert sum(isinstance(result, StaleWrite) for result in results) == 7
    async with store.autocommit() as db:
        assert await db.tasks.get(task.id) == winner


async def test_a_list_goes_on_from_its_last_task(store: Store) -> None:
    ada, _, everything = await tasks_of_two(store, "abcdef")
    async with store.autocommit() as db:
        for owner_id in (None, ada.id):
            wanted = [task for task in everything if owner_id in {None, task.owner_id}]
            for limit in (1, 4, 6, 100):
                read: list[Task] = []
                before = None
                while True:
                    page = await db.tasks.page(
                        owner_id=owner_id, skip=0, limit=limit, before=before
                    )
                    assert page.total == len(wanted)
                    read += page.items
                    assert page.has_more == (len(read) < len(wanted))
                    if not page.has_more:
                        break
                    before = read[-1].id
                assert read == wanted


async def test_a_cursor_is_not_shifted_by_new_and_removed_tasks(store: Store) -> None:
    ada = await add_user(store)
    f, e, d, c, b, a = reversed(await add_tasks(store, ada, *"abcdef"))
    async with store.autocommit() as db:
        first = await db.tasks.page(owner_id=ada.id, skip=0, limit=2)
        assert list(first.items) == [f, e]
        await add_task(store, ada, "g")
        await db.tasks.remove(f)
        await db.tasks.remove(e)  # the one that the cursor names
        await db.tasks.remove(c)
        then = await db.tasks.page(owner_id=ada.id, skip=0, limit=2, before=e.id)
        assert list(then.items) == [d, b]
        last = await db.tasks.page(owner_id=ada.id, skip=0, limit=2, before=b.id)
        assert (list(last.items), last.total, last.has_more) == ([a], 4, False)
        beyond = await db.tasks.page(owner_id=ada.id, skip=0, limit=2, before=a.id)
        assert (list(beyond.items), beyond.total, beyond.has_more) == ([], 4, False)


@pytest.mark.parametrize("before", [-1, 0, 1, MAX_ID, MAX_ID + 1, 10**30])
async def test_a_cursor_may_be_any_id(store: Store, before: int) -> None:
    ada = await add_user(store)
    tasks = await add_tasks(store, ada, "a", "b")
    async with store.autocommit() as db:
        page = await db.tasks.page(owner_id=ada.id, skip=0, limit=9, before=TaskId(before))
    assert list(page.items) == [task for task in reversed(tasks) if task.id < before]


async def test_skip_counts_from_the_cursor(store: Store) -> None:
    ada = await add_user(store)
    tasks = await add_tasks(store, ada, *"abcdef")
    async with store.autocommit() as db:
        page = await db.tasks.page(owner_id=ada.id, skip=1, limit=2, before=tasks[5].id)
    assert list(page.items) == [tasks[3], tasks[2]]
    assert page.has_more


async def test_a_locked_task_is_changed_by_one_after_the_other(store: Store) -> None:
    task = await add_task(store, await add_user(store), "x")

    async def append(letter: str) -> None:
        async with store.transaction() as tx:
            found = await tx.tasks.lock(task.id)
            await asyncio.sleep(0.01)  # long enough for the others to read the same, if they could
            await tx.tasks.save(found.edited(LATER, title=f"{found.title}{letter}"))

    await asyncio.gather(*map(append, "abc"))
    async with store.autocommit() as db:
        assert sorted((await db.tasks.get(task.id)).title) == sorted("xabc")
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await tx.tasks.lock(TaskId(task.id + 1))
