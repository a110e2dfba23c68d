"""Statements that several share: each gets its own answer, its own error, and nobody hangs."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import BigInteger, select

from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.gathered import MOST, MOST_ROWS, Gathering, Rows
from taskcore.adapters.postgres.statements import Gathered, asked
from taskcore.domain.errors import Invalid, NotFound, StaleWrite, Unavailable
from taskcore.domain.tasks import Task, TaskId
from taskcore.domain.users import UserId
from taskcore.ports import Store
from tests.contracts.stored import LATER, NOW, add_task, add_tasks, add_user

pytestmark = pytest.mark.anyio

_THIS = asked(id=BigInteger())
ECHO = Gathered(select(_THIS.c.number, _THIS.c.id))


class Server:
    """Answers each question with itself, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.refuses: dict[int, Exception] = {}
        self.is_away: Exception | None = None

    async def ask(self, _: Gathered, questions: Sequence[Mapping[str, Any]]) -> list[Rows]:
        ids = [question["id"] for question in questions]
        self.batches.append(ids)
        await self.may_answer.wait()
        if self.is_away:
            raise self.is_away
        for one in ids:
            if one in self.refuses:
                raise self.refuses[one]
        return [[(one,)] for one in ids]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def gathering(server: Server) -> Gathering:
    return Gathering(ECHO, server.ask)


async def asking(gathering: Gathering, *ids: int) -> list["asyncio.Task[Rows]"]:
    """Each in a task of its own, which has asked by now."""
    tasks = [asyncio.create_task(gathering.answer({"id": one})) for one in ids]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_meanwhile_goes_with_the_next(server: Server, gathering: Gathering) -> None:
    first = await asking(gathering, 1)
    others = await asking(gathering, 2, 3, 4)
    assert server.batches == [[1]]  # no question joins a statement that has been sent
    server.may_answer.set()
    assert await asyncio.gather(*first, *others) == [[(n,)] for n in (1, 2, 3, 4)]
    assert server.batches == [[1], [2, 3, 4]]


async def test_who_asks_at_the_same_moment_shares_the_first(
    server: Server, gathering: Gathering
) -> None:
    server.may_answer.set()
    await asyncio.gather(*await asking(gathering, 1, 2, 3))
    await asyncio.gather(*await asking(gathering, 4))
    assert server.batches == [[1, 2, 3], [4]]


async def test_who_comes_as_the_last_one_leaves_is_served(
    server: Server, gathering: Gathering
) -> None:
    server.may_answer.set()

    async def ask_on_and_on(one: int) -> None:
        for _ in range(50):
            assert await gathering.answer({"id": one}) == [(one,)]

    async with asyncio.timeout(10):
        await asyncio.gather(*map(ask_on_and_on, range(5)))


async def test_what_waits_for_locks_does_not_keep_all_others_waiting(server: Server) -> None:
    gathering = Gathering(Gathered(select(_THIS.c.number), at_once=2), server.ask)
    tasks = await asking(gathering, 1) + await asking(gathering, 2) + await asking(gathering, 3)
    assert server.batches == [[1], [2]]
    server.may_answer.set()
    await asyncio.gather(*tasks)
    assert server.batches == [[1], [2], [3]]


async def test_a_statement_takes_so_many(server: Server, gathering: Gathering) -> None:
    server.may_answer.set()
    await asyncio.gather(*await asking(gathering, *range(MOST + 5)))
    assert [len(batch) for batch in server.batches] == [MOST, 5]


async def test_a_statement_brings_so_many_rows_or_what_one_alone_asks_for(server: Server) -> None:
    by_limit = Gathered(select(_THIS.c.number), limit="id")
    gathering = Gathering(by_limit, server.ask)
    server.may_answer.set()
    half = MOST_ROWS // 2
    await asyncio.gather(*await asking(gathering, half, half, 1, MOST_ROWS + 1, MOST_ROWS, 0))
    assert server.batches == [[half, half], [1], [MOST_ROWS + 1], [MOST_ROWS, 0]]


async def test_what_is_wrong_with_one_is_told_to_that_one(
    server: Server, gathering: Gathering
) -> None:
    server.refuses = {2: Invalid(), 4: RuntimeError("a mistake of ours")}
    server.may_answer.set()
    tasks = await asking(gathering, 1, 2, 3, 4)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found[0::2] == [[(1,)], [(3,)]]
    assert isinstance(found[1], Invalid)
    assert isinstance(found[3], RuntimeError)
    assert sorted(map(len, server.batches)) == [1, 1, 1, 1, 4]


async def test_a_database_that_is_away_is_asked_once(server: Server, gathering: Gathering) -> None:
    server.is_away = Unavailable("The database does not answer; try again")
    server.may_answer.set()
    found = await asyncio.gather(*await asking(gathering, 1, 2, 3), return_exceptions=True)
    assert all(isinstance(error, Unavailable) for error in found)
    assert server.batches == [[1, 2, 3]]
    server.is_away = None
    assert await gathering.answer({"id": 5}) == [(5,)]


async def test_where_all_have_given_up_nothing_is_asked(
    server: Server, gathering: Gathering
) -> None:
    (first,) = await asking(gathering, 1)
    (second,) = await asking(gathering, 2)
    second.cancel()
    server.may_answer.set()
    assert await first == [(1,)]
    assert await gathering.answer({"id": 3}) == [(3,)]
    assert server.batches == [[1], [3]]


async def test_who_gives_up_takes_nobody_along(server: Server, gathering: Gathering) -> None:
    first, second = await asking(gathering, 1, 2)
    (third, fourth) = await asking(gathering, 3, 4)
    first.cancel()
    third.cancel()
    await asyncio.sleep(0)
    server.may_answer.set()
    assert await second == [(2,)]
    assert await fourth == [(4,)]
    assert server.batches == [[1, 2], [4]]  # and what nobody waits for is not asked


async def test_a_process_that_stops_lets_everybody_go(gathering: Gathering) -> None:
    tasks = await asking(gathering, 1, 2)
    for under_way in list(gathering._tasks):
        under_way.cancel()
    await asyncio.wait(tasks, timeout=5)
    assert all(task.cancelled() for task in tasks)


# On PostgreSQL, with more than one connection


@pytest.fixture
def store(connections: Connections) -> Store:
    return PostgresStore(connections)


async def test_everybody_gets_what_they_asked_for(store: Store) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")

    async def kept(number: int) -> Task:
        owner = (ada, bob)[number % 2].id
        draft = Task.new(owner, NOW, title=f"{number}", description=f"of {owner}")
        async with store.autocommit() as db:
            added = await db.tasks.add(draft)
            assert (added.title, added.owner_id) == (f"{number}", owner)
            edited = added.edited(LATER, title=f"{number} again")
            assert await db.tasks.save(edited) == edited
            assert await db.tasks.get(added.id) == edited
        return edited

    tasks = await asyncio.gather(*map(kept, range(150)))
    assert len({task.id for task in tasks}) == 150
    async with store.autocommit() as db:
        pages = await asyncio.gather(
            *(
                db.tasks.page(owner_id=o, skip=0, limit=n)
                for n in (3, 100)
                for o in (ada.id, bob.id)
            ),
            db.tasks.page(owner_id=UserId(10**9), skip=0, limit=5),
            db.tasks.page(owner_id=None, skip=149, limit=5),
        )
    assert [(len(page.items), page.total) for page in pages] == [
        *((3, 75), (3, 75), (75, 75), (75, 75), (0, 0), (1, 150))
    ]
    for page, owner in zip(pages, (ada, bob, ada, bob), strict=False):
        assert {task.owner_id for task in page.items} == {owner.id}
        assert list(page.items) == sorted(page.items, key=lambda task: task.id, reverse=True)


async def test_of_those_who_edit_the_same_version_at_once_one_succeeds(store: Store) -> None:
    ada = await add_user(store)
    task = await add_task(store, ada)

    async def edit(number: int) -> Task | None:
        async with store.autocommit() as db:
            try:
                return await db.tasks.save(task.edited(LATER, title=f"{number}"))
            except StaleWrite:
                return None

    done = [saved for saved in await asyncio.gather(*map(edit, range(40))) if saved]
    assert len(done) == 1
    async with store.autocommit() as db:
        assert await db.tasks.get(task.id) == done[0]


async def test_one_whose_owner_is_gone_does_not_spoil_what_others_add(store: Store) -> None:
    ada = await add_user(store)

    async def add(owner: UserId) -> Task:
        async with store.autocommit() as db:
            return await db.tasks.add(Task.new(owner, NOW, title=f"of {owner}"))

    nobody = UserId(10**12)
    owners = [ada.id, nobody, ada.id, ada.id, nobody, ada.id]
    found = await asyncio.gather(*map(add, owners), return_exceptions=True)
    for owner, result in zip(owners, found, strict=True):
        assert isinstance(result, NotFound if owner == nobody else Task)
    async with store.autocommit() as db:
        assert (await db.tasks.page(owner_id=None, skip=0, limit=10)).total == 4


async def test_those_who_remove_at_once_remove_their_own(store: Store) -> None:
    ada = await add_user(store)
    tasks = await add_tasks(store, ada, *map(str, range(30)))

    async def remove(task: Task) -> bool:
        async with store.autocommit() as db:
            try:
                await db.tasks.remove(task)
            except StaleWrite:
                return False
        return True

    stale = [task.edited(LATER, title="x") for task in tasks[20:]]
    done = await asyncio.gather(*map(remove, [*tasks[:20], *stale, *tasks[:5]]))
    assert sum(done) == 20
    assert not any(done[20:30])
    async with store.autocommit() as db:
        page = await db.tasks.page(owner_id=ada.id, skip=0, limit=100)
    assert {task.id for task in page.items} == {task.id for task in tasks[20:]}
    assert page.total == 10


async def test_a_value_that_no_column_holds_is_refused_alone(store: Store) -> None:
    ada = await add_user(store)
    task = await add_task(store, ada)

    async def get(task_id: int) -> Task:
        async with store.autocommit() as db:
            return await db.tasks.get(TaskId(task_id))

    found = await asyncio.gather(get(task.id), get(2**70), get(task.id), return_exceptions=True)
    assert found[0] == found[2] == task
    assert isinstance(found[1], NotFound)


async def test_a_row_that_somebody_holds_keeps_nobody_else_from_theirs(store: Store) -> None:
    ada = await add_user(store)
    held, *others = await add_tasks(store, ada, *map(str, range(12)))

    async def edit(task: Task) -> Task:
        async with store.autocommit() as db:
            return await db.tasks.save(task.edited(LATER, title="changed"))

    async with store.transaction() as tx:
        await tx.tasks.save(held.edited(LATER, title="held"))
        found = await asyncio.gather(*map(edit, [held, *others]), return_exceptions=True)
    assert isinstance(found[0], Unavailable)
    assert all(isinstance(result, Task) for result in found[1:])


async def test_whoever_waits_for_a_row_keeps_nobody_else_waiting(database_url: str) -> None:
    """For a minute here: what would wait along does not come through before the row is free."""
    patient = make_conninfo(database_url, options="-c lock_timeout=60s -c statement_timeout=60s")
    async with Connections(patient, deadline=60) as connections:
        store = PostgresStore(connections)
        ada = await add_user(store, "patient")
        held, doomed, *others = await add_tasks(store, ada, *map(str, range(12)))

        async def write(task: Task) -> Task | None:
            async with store.autocommit() as db:
                if int(task.title) % 2:
                    await db.tasks.remove(task)
                    return None
                return await db.tasks.save(task.edited(LATER, title="changed"))

        async with asyncio.timeout(20), store.transaction() as tx:
            for task in (held, doomed):
                await tx.tasks.save(task.edited(LATER, title="held"))
            waiting = [asyncio.create_task(write(task)) for task in (held, doomed)]
            await asyncio.gather(*map(write, others))
            assert not any(task.done() for task in waiting)
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, StaleWrite) for result in found)
