"""No follower misses a change, whatever commits late, rolls back or is cut off meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Protocol

import psycopg
import pytest

from taskcore import (
    Actor,
    ChangedTask,
    Core,
    LogPosition,
    NotFound,
    StaleWrite,
    TaskId,
    TaskPosition,
    Unavailable,
)
from taskcore.adapters.postgres import Connections, PostgresStore, upgrade
from taskcore.adapters.scrypt import ScryptHasher
from tests.conftest import ManualClock, bound, new_database
from tests.postgres.servers import server
from tests.usecases.people import join

pytestmark = pytest.mark.anyio

WRITERS, READERS = 12, 5
LATE, UNDONE = 0.15, 0.1  # shares of the writes
Copy = dict[int, str]


class Undone(Exception):
    """Rolls a transaction back."""


class Account(Protocol):
    """What writers write to and readers copy."""

    async def write(self, chance: random.Random, text: str) -> None:
        """Raises Undone, and Unavailable, after which the write may have been done or not."""

    async def read(self, copy: Copy, number: int) -> None:
        """Keep the copy up to date until cancelled. Readers differ by their numbers."""

    async def table(self) -> Copy: ...


async def copied(
    account: Account, *, seed: int, writes: int, within: float = 10
) -> tuple[list[Copy], Counter[str]]:
    """What the readers know `within` seconds of the last write, and what became of the writes."""
    chance, outcomes = random.Random(seed), Counter[str]()  # noqa: S311 - no secret
    copies: list[Copy] = [{} for _ in range(READERS)]
    readers = [asyncio.create_task(account.read(copy, n)) for n, copy in enumerate(copies)]

    async def write(writer: int) -> None:
        for number in range(writes):
            outcome = "done"
            try:
                await account.write(chance, f"{writer} {number}")
            except (Undone, NotFound, StaleWrite) as error:
                outcome = type(error).__name__
            except Unavailable:
                outcome = "unknown"
                await asyncio.sleep(0.2)
            outcomes[outcome] += 1

    await asyncio.gather(*map(write, range(WRITERS)))
    table = await account.table()
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            while copies != [table] * READERS:  # noqa: ASYNC110 - of several tasks
                await asyncio.sleep(0.01)
    for reader in readers:
        reader.cancel()
    ends = await asyncio.gather(*readers, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
    return copies, outcomes


class OurAccount:
    """Writers use one process, and readers two: by pages, and by following."""

    def __init__(self, here: Core, there: Core, actor: Actor, start: LogPosition) -> None:
        self._here, self._there = here, there
        self._actor, self._start = actor, start
        self._tasks: list[TaskId] = []

    async def write(self, chance: random.Random, text: str) -> None:
        tasks, kind = self._here.tasks, chance.random()
        if len(self._tasks) < WRITERS or kind < 0.2:
            self._tasks.append((await tasks.create(self._actor, title=text)).id)
            return
        task_id = chance.choice(self._tasks)
        if kind < 0.2 + LATE + UNDONE:
            await self._write_late(task_id, text, chance, is_undone=kind < 0.2 + UNDONE)
        elif kind < 0.55:
            await tasks.delete(self._actor, task_id)
        elif kind < 0.6:
            await tasks.restore(self._actor, task_id)
        else:
            await tasks.edit(self._actor, task_id, title=text)

    async def _write_late(
        self, task_id: TaskId, text: str, chance: random.Random, *, is_undone: bool
    ) -> None:
        assert self._actor.user_id
        async with self._here.store.transaction() as tx:
            task = await tx.tasks.lock(self._actor.user_id, task_id)
            edited = task.edited(self._here.tasks.clock.now(), title=text)
            await tx.tasks.save(edited, was=task)
            await asyncio.sleep(chance.random() * 0.03)
            if is_undone:
                raise Undone

    async def read(self, copy: Copy, number: int) -> None:
        place, core = self._start, self._here if number % 2 else self._there
        if number > 1:
            async with aclosing(core.changes.follow(self._actor, after=place)) as items:
                async for item in items:
                    place = _kept(copy, item, place)
        while True:
            with suppress(Unavailable):
                page = await core.changes.page(self._actor, after=place, limit=3)
                for item in page.items:
                    place = _kept(copy, item, place)
            await asyncio.sleep(0.005)

    async def table(self) -> Copy:
        page = await self._here.tasks.page(self._actor, limit=100)
        found = list(page.items)
        while page.has_more:
            last = TaskPosition(found[-1].id, found[-1].id)
            page = await self._here.tasks.page(self._actor, after=last)
            found += page.items
        return {task.id: task.title for task in found}


def _kept(copy: Copy, item: ChangedTask, place: LogPosition) -> LogPosition:
    assert item.place.position > place.position
    if item.task is None:
        copy.pop(item.task_id, None)
    else:
        copy[item.task_id] = item.task.title
    return item.place


class BareSequence:
    """The control: positions come from a sequence, in the order in which writes begin."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    async def write(self, chance: random.Random, text: str) -> None:
        kind = chance.random()
        async with await psycopg.AsyncConnection.connect(self._conninfo) as connection:
            await connection.execute("INSERT INTO bare (title) VALUES (%s)", [text])
            if kind < LATE + UNDONE:
                await asyncio.sleep(chance.random() * 0.03)
            if kind < UNDONE:
                await connection.rollback()
                raise Undone

    async def read(self, copy: Copy, number: int) -> None:  # noqa: ARG002 - all alike
        place = 0
        query = "SELECT position, title FROM bare WHERE position > %s ORDER BY position"
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True
        ) as connection:
            while True:
                for position, title in await (await connection.execute(query, [place])).fetchall():
                    copy[position] = title
                    place = position
                await asyncio.sleep(0.002)

    async def table(self) -> Copy:
        async with await psycopg.AsyncConnection.connect(self._conninfo) as connection:
            rows = await (await connection.execute("SELECT position, title FROM bare")).fetchall()
        return dict(rows)


@asynccontextmanager
async def our_account(conninfo: str) -> AsyncIterator[OurAccount]:
    async with AsyncExitStack() as stack:
        here, there = [
            bound(
                PostgresStore(await stack.enter_async_context(Connections(conninfo))),
                ManualClock(),
                ScryptHasher(n=2, r=1, p=1),
            )
            for _ in range(2)
        ]
        actor = (await join(here, "ada")).actor
        yield OurAccount(here, there, actor, (await here.changes.page(actor)).end)


async def test_no_follower_misses_a_change(connections: Connections, database_url: str) -> None:
    del connections  # which have emptied the database
    async with our_account(database_url) as account:
        copies, outcomes = await copied(account, seed=1, writes=8)
        assert copies == [await account.table()] * READERS
    assert outcomes["done"] > 30
    assert outcomes["Undone"] > 3
    assert not outcomes["unknown"]


async def test_with_positions_of_a_bare_sequence_followers_would(database_url: str) -> None:
    """The control: the proof above notices it."""
    with new_database(database_url) as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE bare (position bigserial PRIMARY KEY, title text)")
        control = BareSequence(conninfo)
        copies, _ = await copied(control, seed=1, writes=8, within=0.5)
        table = await control.table()
        assert all(copy.items() < table.items() for copy in copies)


@pytest.mark.long
async def test_no_follower_misses_a_change_although_the_database_is_killed() -> None:
    with server() as database:
        upgrade(database.conninfo)

        async def cut_off() -> None:
            for number in range(30):
                await asyncio.sleep(0.3)
                if number == 12:
                    await asyncio.to_thread(database.kill)
                    await asyncio.to_thread(database.start)
                with psycopg.connect(database.conninfo, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'taskcore' ORDER BY random() LIMIT 2"
                    )

        async with our_account(database.conninfo) as account:
            cutting = asyncio.create_task(cut_off())
            copies, outcomes = await copied(account, seed=2, writes=150)
            await cutting
            assert copies == [await account.table()] * READERS
    assert outcomes["done"] > 500
    assert outcomes["Undone"] > 50
    assert outcomes["unknown"] > 5
