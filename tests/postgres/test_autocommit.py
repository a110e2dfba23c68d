"""What shares no statement with other requests, and whose work takes turns."""

import asyncio
import sys
from contextlib import aclosing
from dataclasses import replace

import pytest
from psycopg import AsyncConnection
from sqlalchemy import text

from taskcore.adapters.postgres import Connections, PostgresStore, task_lists
from taskcore.adapters.postgres.autocommit import LONG_TEXT, MUCH, Autocommit
from taskcore.adapters.postgres.batching import HEAVY
from taskcore.adapters.postgres.statements import Statement
from taskcore.adapters.postgres.task_filters import Shape
from taskcore.domain import search
from taskcore.domain.errors import Overloaded
from taskcore.domain.policies import own_id
from taskcore.domain.task_orders import Sort
from taskcore.domain.task_queries import TaskQuery
from taskcore.domain.tasks import MAX_TASKS, NewTaskFields, Task
from taskcore.domain.users import User
from taskcore.lanes import MAX_WAITING_OF_ONE
from taskcore.testing import CheapHasher
from taskcore.testing.contracts.stored import LATER, NOW, add_task, add_user, move_to_trash, restore
from tests.conftest import ManualClock, bound, until
from tests.usecases.people import join

pytestmark = pytest.mark.anyio

ONE = Statement(text("SELECT 1"))
FACE = "\N{GRINNING FACE}"


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


async def test_the_words_of_a_long_text_are_found_when_it_is_the_turn_of_its_user(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for a write that is refused: of thousands of different characters that takes 2 ms."""
    store = PostgresStore(connections)
    ada = await add_user(store)
    written = replace(await add_task(store, ada), description=chr(0xAC00) * (LONG_TEXT + 1))
    edited, new = replace(written, version=2), Task.new(ada.id, NOW, title="x")
    new = replace(new, description=written.description)
    found: list[str] = []
    fold = search._fold

    def spy(text: str) -> str:
        found.append(text)
        return fold(text)

    monkeypatch.setattr(search, "_fold", spy)

    async def write(kind: int) -> None:
        async with store.autocommit(ada.id) as db:
            if kind == 0:
                await db.tasks.add(new, at_most=9)
            elif kind == 1:
                await db.tasks.save(edited, was=replace(edited, description=""))
            else:
                await db.trash.restore(edited, was=written)

    async with store._shared.long_texts.turn(ada.id):
        writes = [asyncio.create_task(write(number % 3)) for number in range(MAX_WAITING_OF_ONE)]
        await until(lambda: store._shared.long_texts.waiting == MAX_WAITING_OF_ONE)
        for kind in range(3):
            with pytest.raises(Overloaded):
                await write(kind)
        for each in writes:
            each.cancel()
        await asyncio.gather(*writes, return_exceptions=True)
    assert found == []
    await write(0)
    assert found != []


@pytest.mark.parametrize(
    "texts",
    [
        {"description": "x" * 5000},
        {"description": FACE * 1250},
        {"title": FACE * 255, "labels": [f"{FACE * 60} {n}" for n in range(20)]},
    ],
    ids=["long", "of four bytes each", "titles and labels"],
)
async def test_after_a_page_of_many_texts_a_user_shares_no_batch(
    connections: Connections, texts: NewTaskFields
) -> None:
    store = PostgresStore(connections)
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")
    for _ in range(MUCH // 5000 + 1):
        await add_task(store, ada, **texts)
    for _ in range(100):
        await add_task(store, bob, description="x" * 100, labels=["home", "work"])

    async def batches_of_a_page(user: User) -> int:
        before = sum(store._shared.batches)
        async with store.autocommit(user.id) as db:
            assert (await db.tasks.page(user.id, skip=0, limit=100)).items
        return sum(store._shared.batches) - before

    assert [await batches_of_a_page(user) for user in (ada, ada, bob, bob)] == [1, 0, 1, 1]


async def test_a_user_compiles_one_statement_at_a_time(connections: Connections) -> None:
    """The compilations of one user made others wait for seven seconds."""
    link = Autocommit(PostgresStore(connections)._shared, 1)
    begun, goes_on = 0, asyncio.Event()

    async def compilation() -> Statement:
        nonlocal begun
        begun += 1
        await goes_on.wait()
        return ONE

    asked = [asyncio.create_task(link.in_turn(compilation)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == 1
    goes_on.set()
    assert await asyncio.gather(*asked) == [[(1,)]] * 3


async def test_a_stream_waits_for_no_turn_of_its_user(connections: Connections) -> None:
    """It would keep the few reads that all streams share waiting meanwhile."""
    store = PostgresStore(connections)
    core = bound(store, ManualClock(), CheapHasher())
    ada = await join(core, "ada")
    user_id = own_id(ada.actor)
    store._shared.read_much.add(user_id)
    async with store._shared.slow.turn(user_id), core.changes.followers.joined(ada.actor) as one:
        told = core.changes.followers.told(one, after=None, idle=60)
        async with aclosing(told), asyncio.timeout(0.9):  # less than one waits for a turn
            await anext(told)
            await core.tasks.create(ada.actor, title="x")
            assert len(await anext(told)) == 1


async def test_an_account_that_is_locked_delays_no_other(
    connections: Connections, database_url: str
) -> None:
    """Nor the first task of a new account, whose row must be made."""
    store = PostgresStore(connections)
    ada = await add_user(store, "ada")
    await add_task(store, ada)

    async def add(user: User) -> None:
        async with store.autocommit(user.id) as db:
            await db.tasks.add(Task.new(user.id, NOW, title="x"), at_most=MAX_TASKS)

    async with await AsyncConnection.connect(database_url) as other:
        await other.execute("SELECT FROM streams WHERE owner_id = %s FOR UPDATE", [ada.id])
        waiting = [asyncio.create_task(add(ada)) for _ in range(5)]
        await asyncio.sleep(0.1)
        for name in ("bob", "cid"):
            new = await add_user(store, name)
            async with asyncio.timeout(0.5):  # less than a statement waits for a lock
                await add(new)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    await until(lambda: not store._shared.waiting_batchers)


async def test_the_compiler_gives_way_to_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the loop waits for 5 ms each time that it has waited for a client or the database."""
    usual, found = sys.getswitchinterval(), []

    def noted(_: Shape) -> Statement:
        found.append(sys.getswitchinterval())
        return ONE

    monkeypatch.setattr(task_lists, "_slice", noted)
    monkeypatch.setattr(task_lists, "_statements", {})
    shape = Shape.of(TaskQuery(status=("open",)).filter(NOW, "UTC"), Sort.NEWEST, goes_on=False)
    assert await task_lists._compiled(shape) is ONE
    assert found[0] < usual / 10
    assert sys.getswitchinterval() == usual
