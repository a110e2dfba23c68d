"""Batching: each request gets its own rows or its own error, and none waits for ever."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from psycopg.errors import QueryCanceled
from sqlalchemy import BigInteger, Float, func, select

from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.autocommit import (
    Autocommit,
    Shared,
)
from taskcore.adapters.postgres.batching import (
    LONE,
    MAX_REQUESTS,
    MAX_WEIGHT,
    RETRIED_AT_ONCE,
    Batcher,
)
from taskcore.adapters.postgres.statements import BatchedStatement, Rows, batch_of
from taskcore.domain.errors import Invalid, NotFound, OutcomeUnknown, StaleWrite, Unavailable
from taskcore.domain.tasks import MAX_TASKS, Task, TaskId
from taskcore.domain.users import User, UserId
from taskcore.ports import Store, time_budget
from taskcore.testing.contracts.stored import (
    LATER,
    NOW,
    add_task,
    add_tasks,
    add_user,
    move_to_trash,
)
from tests.conftest import until

pytestmark = pytest.mark.anyio

_BATCH = batch_of(id=BigInteger())
ECHO = BatchedStatement(select(_BATCH.c.number, _BATCH.c.id))


class Database:
    """A batcher whose statements return each request's id, once `may_respond` is set."""

    def __init__(self, statement: BatchedStatement = ECHO) -> None:
        self.batcher = Batcher(statement, self.run_batch, asyncio.Semaphore(RETRIED_AT_ONCE))
        self.batches: list[list[int]] = []
        self.may_respond = asyncio.Event()
        self.refuses: dict[int, Exception] = {}
        self.is_away: Exception | None = None

    async def run_batch(
        self, _: BatchedStatement, requests: Sequence[Mapping[str, Any]]
    ) -> list[Rows]:
        ids = [values["id"] for values in requests]
        self.batches.append(ids)
        await self.may_respond.wait()
        if self.is_away:
            raise self.is_away
        for one in ids:
            if one in self.refuses:
                raise self.refuses[one]
        return [[(one,)] for one in ids]

    async def get(self, one: int, user: str | None = None) -> Rows:
        return await self.batcher.submit({"id": one}, user)

    async def submitted(self, *ids: int, by: str | None = None) -> list["asyncio.Task[Rows]"]:
        """Each in a task of its own, which has submitted its request by now."""
        tasks = [asyncio.create_task(self.get(one, by)) for one in ids]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


@pytest.fixture
def database() -> Database:
    return Database()


async def test_requests_that_were_not_sent_know_that_nothing_was_done(database: Database) -> None:
    sent = await database.submitted(1)
    queued = await database.submitted(2, 3)
    database.is_away = OutcomeUnknown()
    database.may_respond.set()
    results = await asyncio.gather(*sent, *queued, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, Unavailable, Unavailable]


async def test_a_request_does_not_wait_for_the_many_of_another_user(database: Database) -> None:
    tasks = await database.submitted(*range(4 * MAX_REQUESTS), by="ada")
    tasks += await database.submitted(1000, by="bob")
    tasks += await database.submitted(1001, 1002, by="cid")
    database.may_respond.set()
    results = await asyncio.gather(*tasks)
    assert [rows[0][0] for rows in results] == [*range(4 * MAX_REQUESTS), 1000, 1001, 1002]
    sent = [one for batch in database.batches for one in batch]
    assert {1000, 1001, 1002} <= set(database.batches[1])
    assert [one for one in sent if one < 1000] == [*range(4 * MAX_REQUESTS)]
    batcher = database.batcher
    assert (batcher._queue, batcher._turns) == ([], {})


async def test_users_who_are_served_are_not_remembered(database: Database) -> None:
    """Also if the queue is never empty."""
    database.may_respond.set()
    tasks: list[asyncio.Task[Rows]] = []
    for number in range(500):
        tasks.append(asyncio.create_task(database.get(number, f"user {number}")))
        tasks.append(asyncio.create_task(database.get(number, "always")))
        if number % 40 == 0:
            await asyncio.sleep(0)
        assert len(database.batcher._turns) <= 2 * len(database.batcher._queue) + 2 * MAX_REQUESTS
    await asyncio.gather(*tasks)
    assert database.batcher._turns == {}


async def test_requests_during_a_statement_form_the_next_batch(database: Database) -> None:
    first = await database.submitted(1)
    others = await database.submitted(2, 3, 4)
    assert database.batches == [[1]]  # no request joins a statement that has been sent
    database.may_respond.set()
    assert await asyncio.gather(*first, *others) == [[(n,)] for n in (1, 2, 3, 4)]
    assert database.batches == [[1], [2, 3, 4]]


async def test_requests_of_the_same_moment_share_the_first_statement(database: Database) -> None:
    database.may_respond.set()
    await asyncio.gather(*await database.submitted(1, 2, 3))
    await asyncio.gather(*await database.submitted(4))
    assert database.batches == [[1, 2, 3], [4]]


@pytest.fixture
async def lone(database: Database) -> Database:
    """One that had one client until now."""
    database.may_respond.set()
    for number in range(LONE):
        await database.get(number)
    database.batches.clear()
    database.may_respond.clear()
    return database


async def test_a_lone_client_needs_no_task(lone: Database) -> None:
    lone.may_respond.set()
    with pytest.raises(StopIteration) as answered:  # it did not wait for another round of the loop
        lone.get(1).send(None)
    assert answered.value.value == [(1,)]


async def test_requests_during_that_of_a_lone_client_form_a_batch(lone: Database) -> None:
    tasks = await lone.submitted(1, 2, 3, 4)
    assert lone.batches == [[1]]
    lone.may_respond.set()
    assert await asyncio.gather(*tasks) == [[(n,)] for n in (1, 2, 3, 4)]
    await asyncio.gather(*await lone.submitted(5, 6))
    assert lone.batches == [[1], [2, 3, 4], [5, 6]]


async def test_others_are_served_when_a_lone_client_leaves(lone: Database) -> None:
    left, *others = await lone.submitted(1, 2, 3)
    left.cancel()
    lone.may_respond.set()
    assert await asyncio.gather(*others) == [[(2,)], [(3,)]]


async def test_others_fail_with_a_lone_client_if_they_would_meet_its_error(lone: Database) -> None:
    lone.is_away = OutcomeUnknown()
    tasks = await lone.submitted(1, 2)
    lone.may_respond.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, Unavailable]
    assert lone.batches == [[1]]


async def test_others_are_served_if_the_time_of_a_lone_client_is_over(lone: Database) -> None:
    with time_budget(0):
        spent = await lone.submitted(1)
    others = await lone.submitted(2)
    lone.refuses[1] = Unavailable("its time is over")
    lone.may_respond.set()
    results = await asyncio.gather(*spent, *others, return_exceptions=True)
    assert [str(result) for result in results] == ["its time is over", "[(2,)]"]


async def test_a_request_that_arrives_as_the_task_ends_is_served(database: Database) -> None:
    database.may_respond.set()

    async def submit_repeatedly(one: int) -> None:
        for _ in range(50):
            assert await database.get(one) == [(one,)]

    async with asyncio.timeout(10):
        await asyncio.gather(*map(submit_repeatedly, range(5)))


async def test_a_statement_that_waits_for_locks_does_not_delay_all_others() -> None:
    database = Database(BatchedStatement(select(_BATCH.c.number), max_concurrent=2))
    tasks = [task for n in (1, 2, 3) for task in await database.submitted(n)]
    assert database.batches == [[1], [2]]
    database.may_respond.set()
    await asyncio.gather(*tasks)
    assert database.batches == [[1], [2], [3]]


async def test_a_batch_has_a_limit_of_requests(database: Database) -> None:
    database.may_respond.set()
    await asyncio.gather(*await database.submitted(*range(MAX_REQUESTS + 5)))
    assert [len(batch) for batch in database.batches] == [MAX_REQUESTS, 5]


async def test_a_batch_has_a_limit_of_rows_or_is_one_request() -> None:
    database = Database(BatchedStatement(select(_BATCH.c.number), limit="id"))
    database.may_respond.set()
    half = MAX_WEIGHT // 2
    await asyncio.gather(*await database.submitted(half, half, 1, MAX_WEIGHT + 1, MAX_WEIGHT, 0))
    assert database.batches == [[half, half], [1], [MAX_WEIGHT + 1], [MAX_WEIGHT, 0]]


async def test_an_error_of_one_request_is_raised_for_that_one_alone(database: Database) -> None:
    database.refuses = {2: Invalid(), 4: RuntimeError("a bug")}
    database.may_respond.set()
    tasks = await database.submitted(1, 2, 3, 4)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[0::2] == [[(1,)], [(3,)]]
    assert isinstance(results[1], Invalid)
    assert isinstance(results[3], RuntimeError)
    assert sorted(map(len, database.batches)) == [1, 1, 1, 1, 4]


@pytest.mark.parametrize("writes", [False, True])
async def test_a_request_ends_with_its_time_and_its_batch_goes_on(*, writes: bool) -> None:
    """Of one that was sent it is not known what became of it; of one that was not, it is."""
    statement = BatchedStatement(select(_BATCH.c.number, _BATCH.c.id))
    statement.writes = writes
    database = Database(statement)
    patient = [asyncio.create_task(database.get(1))]
    await until(lambda: database.batches)
    with time_budget(0.05), pytest.raises(Unavailable) as queued:
        await database.get(2)
    assert not isinstance(queued.value, OutcomeUnknown)
    patient.append(asyncio.create_task(database.get(3)))
    database.may_respond.set()
    assert await asyncio.gather(*patient) == [[(1,)], [(3,)]]
    assert database.batches == [[1], [3]]
    database.may_respond.clear()
    with time_budget(0.05):
        with pytest.raises(OutcomeUnknown if writes else Unavailable):
            await database.get(4)
        with pytest.raises(Unavailable):
            await database.get(5)
    assert database.batches == [[1], [3], [4]]


async def test_a_batch_is_not_retried_while_the_database_is_away(database: Database) -> None:
    database.is_away = Unavailable("The database does not answer; try again")
    tasks = await database.submitted(1, 2, 3) + await database.submitted(4)
    database.may_respond.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, Unavailable) for error in results)
    assert database.batches == [[1, 2, 3]]  # nor is the queued request sent
    database.is_away = None
    assert await database.get(5) == [(5,)]


class Slow(Database):
    """Takes the requests of `slow` as the server does at its statement timeout."""

    def __init__(self, *, timeout: float, retry_within: float) -> None:
        super().__init__()
        self.batcher = Batcher(
            ECHO, self.run_batch, asyncio.Semaphore(RETRIED_AT_ONCE), retry_within
        )
        self.may_respond.set()
        self.slow: set[int] = set()
        self._timeout = timeout

    async def run_batch(
        self, statement: BatchedStatement, requests: Sequence[Mapping[str, Any]]
    ) -> list[Rows]:
        rows = await super().run_batch(statement, requests)
        if self.slow & set(self.batches[-1]):
            await asyncio.sleep(self._timeout)
            error = Unavailable()
            error.__cause__ = QueryCanceled()
            raise error
        return rows


async def test_a_request_that_takes_too_long_fails_alone() -> None:
    database = Slow(timeout=0.05, retry_within=60)
    database.slow = {1, 7}
    batch = await database.submitted(*range(10))
    queued = await database.submitted(20, 21)
    results = await asyncio.gather(*batch, *queued, return_exceptions=True)
    failed = [one for one, result in enumerate(results) if isinstance(result, Exception)]
    assert failed == [1, 7]
    assert all(isinstance(results[one], Unavailable) for one in failed)
    assert database.batches[:2] == [[*range(10)], [20, 21]]  # the queue went on meanwhile
    assert sorted(map(len, database.batches)) == [*[1] * 10, 2, 10]


async def test_a_batch_is_retried_for_a_bounded_time_if_all_takes_too_long() -> None:
    database = Slow(timeout=0.05, retry_within=0.07)
    database.slow = {*range(100)}
    results = await asyncio.gather(
        *await database.submitted(*range(MAX_REQUESTS)), return_exceptions=True
    )
    assert all(isinstance(error, Unavailable) for error in results)
    # Those that start within the time: at 0, and at 0.05.
    assert len(database.batches) <= 1 + 2 * RETRIED_AT_ONCE
    database.slow = set()
    assert await database.get(1) == [(1,)]


async def test_a_process_that_stops_cancels_requests_that_are_retried() -> None:
    database = Slow(timeout=0.01, retry_within=60)
    database.slow = {*range(9)}
    tasks = await database.submitted(*range(9))
    await until(lambda: len(database.batches) > 1)
    for running in list(database.batcher._tasks):
        running.cancel()
    await asyncio.wait(tasks, timeout=5)
    assert all(task.cancelled() or task.exception() for task in tasks)


async def test_a_batch_of_cancelled_requests_is_not_sent(database: Database) -> None:
    (first,) = await database.submitted(1)
    (second,) = await database.submitted(2)
    second.cancel()
    database.may_respond.set()
    assert await first == [(1,)]
    assert await database.get(3) == [(3,)]
    assert database.batches == [[1], [3]]


async def test_a_cancelled_request_does_not_fail_the_others(database: Database) -> None:
    first, second = await database.submitted(1, 2)
    (third, fourth) = await database.submitted(3, 4)
    first.cancel()
    third.cancel()
    await asyncio.sleep(0)
    database.may_respond.set()
    assert await second == [(2,)]
    assert await fourth == [(4,)]
    assert database.batches == [[1, 2], [4]]  # without the one cancelled before it was sent


async def test_a_process_that_stops_cancels_all_requests(database: Database) -> None:
    tasks = await database.submitted(1, 2)
    for running in list(database.batcher._tasks):
        running.cancel()
    await asyncio.wait(tasks, timeout=5)
    assert all(task.cancelled() for task in tasks)


# On PostgreSQL, with more than one connection


@pytest.fixture
def store(connections: Connections) -> Store:
    return PostgresStore(connections)


async def test_each_request_gets_its_own_rows(store: Store) -> None:
    ada, bob = await add_user(store, "ada"), await add_user(store, "bob")

    async def kept(number: int) -> Task:
        owner = (ada, bob)[number % 2].id
        draft = Task.new(owner, NOW, title=f"{number}", description=f"of {owner}")
        async with store.autocommit() as db:
            added = await db.tasks.add(draft, at_most=MAX_TASKS)
            assert (added.title, added.owner_id) == (f"{number}", owner)
            edited = added.edited(LATER, title=f"{number} again")
            assert await db.tasks.save(edited, was=added) == edited
            assert await db.tasks.get(owner, added.id) == edited
        return edited

    tasks = await asyncio.gather(*map(kept, range(150)))
    assert len({task.id for task in tasks}) == len(tasks)
    async with store.autocommit() as db:
        pages = await asyncio.gather(
            *(db.tasks.page(o, skip=0, limit=n) for n in (3, 100) for o in (ada.id, bob.id)),
            db.tasks.page(UserId(10**9), skip=0, limit=5),
            db.tasks.page(None, skip=149, limit=5),
        )
    assert [(len(page.items), page.total) for page in pages] == [
        *((3, 75), (3, 75), (75, 75), (75, 75), (0, 0), (1, 150))
    ]
    for page, owner in zip(pages, (ada, bob, ada, bob), strict=False):
        assert {task.owner_id for task in page.items} == {owner.id}
        assert list(page.items) == sorted(page.items, key=lambda task: task.id, reverse=True)


async def test_of_concurrent_edits_of_one_version_one_succeeds(store: Store) -> None:
    ada = await add_user(store)
    task = await add_task(store, ada)

    async def edit(number: int) -> Task | None:
        async with store.autocommit() as db:
            try:
                return await db.tasks.save(task.edited(LATER, title=f"{number}"), was=task)
            except StaleWrite:
                return None

    done = [saved for saved in await asyncio.gather(*map(edit, range(40))) if saved]
    assert len(done) == 1
    async with store.autocommit() as db:
        assert await db.tasks.get(ada.id, task.id) == done[0]


async def test_an_add_for_an_owner_who_is_gone_does_not_fail_the_others(store: Store) -> None:
    ada = await add_user(store)

    async def add(owner: UserId) -> Task:
        async with store.autocommit() as db:
            draft = Task.new(owner, NOW, title=f"of {owner}")
            return await db.tasks.add(draft, at_most=MAX_TASKS)

    gone = UserId(10**12)
    owners = [ada.id, gone, ada.id, ada.id, gone, ada.id]
    results = await asyncio.gather(*map(add, owners), return_exceptions=True)
    for owner, result in zip(owners, results, strict=True):
        assert isinstance(result, NotFound if owner == gone else Task)
    async with store.autocommit() as db:
        assert (await db.tasks.page(None, skip=0, limit=10)).total == 4


async def test_concurrent_removals_remove_their_own_tasks(store: Store) -> None:
    ada = await add_user(store)
    tasks = await add_tasks(store, ada, *map(str, range(30)))

    async def remove(task: Task) -> bool:
        async with store.autocommit() as db:
            try:
                await db.tasks.trash(task.trashed(LATER), was=task)
            except StaleWrite:
                return False
        return True

    stale = [task.edited(LATER, title="x") for task in tasks[20:]]
    done = await asyncio.gather(*map(remove, [*tasks[:20], *stale, *tasks[:5]]))
    assert sum(done) == 20
    assert not any(done[20:30])
    async with store.autocommit() as db:
        page = await db.tasks.page(ada.id, skip=0, limit=100)
    assert {task.id for task in page.items} == {task.id for task in tasks[20:]}
    assert page.total == 10


async def test_an_id_beyond_the_column_is_not_found_and_fails_no_other_request(
    store: Store,
) -> None:
    ada = await add_user(store)
    task = await add_task(store, ada)

    async def get(task_id: int) -> Task:
        async with store.autocommit() as db:
            return await db.tasks.get(ada.id, TaskId(task_id))

    results = await asyncio.gather(get(task.id), get(2**70), get(task.id), return_exceptions=True)
    assert results[0] == results[2] == task
    assert isinstance(results[1], NotFound)


SLEEPING = batch_of(id=BigInteger(), seconds=Float())
SLEEPS = BatchedStatement(
    select(SLEEPING.c.number, SLEEPING.c.id, func.pg_sleep(SLEEPING.c.seconds))
)


async def test_a_request_beyond_the_statement_timeout_fails_alone(database_url: str) -> None:
    hasty = make_conninfo(database_url, options="-c statement_timeout=200ms")
    async with Connections(hasty) as connections:
        link = Autocommit(Shared(connections), None)

        async def get(one: int) -> object:
            ((_, found, _),) = await link.batched(SLEEPS, id=one, seconds=60.0 * (one == 3))
            return found

        results = await asyncio.gather(*map(get, range(20)), return_exceptions=True)
        assert isinstance(results.pop(3), Unavailable)
        assert results == [one for one in range(20) if one != 3]
        assert not connections.is_away


async def tasks_of_many(store: Store, count: int, name: str = "user") -> list[Task]:
    """One of each account."""
    owners = [await add_user(store, f"{name}{number}") for number in range(count)]
    return [await add_task(store, owner, f"{number}") for number, owner in enumerate(owners)]


async def test_a_locked_account_fails_its_own_edits_alone(store: Store) -> None:
    held, *others = await tasks_of_many(store, 12)

    async def edit(task: Task) -> Task:
        async with store.autocommit() as db:
            return await db.tasks.save(task.edited(LATER, title="changed"), was=task)

    async with store.transaction() as tx:
        await tx.tasks.save(held.edited(LATER, title="held"), was=held)
        results = await asyncio.gather(*map(edit, [held, *others]), return_exceptions=True)
    assert isinstance(results[0], Unavailable)
    assert all(isinstance(result, Task) for result in results[1:])


async def test_a_request_that_waits_for_an_account_delays_no_other(database_url: str) -> None:
    """With a lock timeout of a minute: a request that also waited would miss the test's timeout."""
    patient = make_conninfo(database_url, options="-c lock_timeout=60s -c statement_timeout=60s")
    async with Connections(patient, deadline=60) as connections:
        store = PostgresStore(connections)
        held, doomed, *others = await tasks_of_many(store, 12, "patient")

        async def write(task: Task) -> Task | None:
            async with store.autocommit() as db:
                if int(task.title) % 2:
                    await db.tasks.trash(task.trashed(LATER), was=task)
                    return None
                return await db.tasks.save(task.edited(LATER, title="changed"), was=task)

        async with asyncio.timeout(20), store.transaction() as tx:
            for task in (held, doomed):
                await tx.tasks.save(task.edited(LATER, title="held"), was=task)
            waiting = [asyncio.create_task(write(task)) for task in (held, doomed)]
            await asyncio.gather(*map(write, others))
            assert not any(task.done() for task in waiting)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, StaleWrite) for result in results)


async def test_purges_that_wait_for_their_account_leave_connections_to_others(
    database_url: str,
) -> None:
    """Each waited with a connection of its own before, and no other user got one."""
    async with Connections(database_url, size=3) as connections:
        store = PostgresStore(connections)
        (held,) = await tasks_of_many(store, 1, "purged")
        (other,) = await tasks_of_many(store, 1, "bystander")
        owner = await owner_of(store, held)
        thrown = [await move_to_trash(store, await add_task(store, owner)) for _ in range(9)]

        async def purge(task: Task) -> None:
            async with store.autocommit() as db:
                await db.trash.purge(task.owner_id, task.id, at=LATER)

        async with store.transaction() as tx:
            await tx.tasks.save(held.edited(LATER, title="held"), was=held)
            waiting = [asyncio.create_task(purge(task)) for task in thrown]
            async with store.autocommit() as db:
                for _ in range(50):
                    assert await db.tasks.get(other.owner_id, other.id) == other
                    assert (await db.users.get(other.owner_id)).id == other.owner_id
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)


async def owner_of(store: Store, task: Task) -> User:
    async with store.autocommit() as db:
        return await db.users.get(task.owner_id)
