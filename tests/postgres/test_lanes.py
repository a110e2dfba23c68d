"""The lane of slow statements: users take turns, and no request waits for ever."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from taskcore import Core, Role, lanes
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.autocommit import Autocommit, Shared
from taskcore.adapters.postgres.statements import Statement
from taskcore.adapters.scrypt import ScryptHasher
from taskcore.domain.errors import Overloaded, Unavailable
from taskcore.domain.users import UserId
from taskcore.lanes import (
    HEAVY_AFTER,
    LONG,
    MAX_REMEMBERED,
    MAX_WAITING,
    MAX_WAITING_OF_ONE,
    REMEMBERED_FOR,
    WIDTH,
    Lane,
    Remembered,
    Shares,
)
from taskcore.ports import BUDGET, TimeBudget
from taskcore.testing.contracts.stored import add_user
from tests.conftest import ManualClock, bound, emptied, until
from tests.factories import PASSWORD
from tests.usecases.people import Person, join

pytestmark = pytest.mark.anyio


class Work:
    """Requests in a lane, each of which holds its turn until it is let go."""

    def __init__(self, **options: Any) -> None:
        self.lane = Lane(**options)
        self.running: list[str] = []
        self.done: list[str] = []
        self.refused: list[str] = []
        self._may_end: dict[str, asyncio.Event] = {}

    async def request(self, name: str) -> None:
        """Named by its user, a letter, and a number."""
        try:
            async with self.lane.turn(name[0]):
                await self._run(name)
        except Overloaded:
            self.refused.append(name)
        else:
            self.done.append(name)

    async def _run(self, name: str) -> None:
        self.running.append(name)
        self._may_end[name] = asyncio.Event()
        try:
            await self._may_end[name].wait()
        finally:
            self.running.remove(name)

    async def sent(self, *names: str) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.request(name)) for name in names]
        await self.settled()
        return tasks

    async def end(self, name: str) -> None:
        self._may_end[name].set()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        while self.running:
            await self.end(self.running[0])


async def test_a_user_has_one_turn_at_a_time() -> None:
    work = Work(width=3)
    await work.sent("a1", "a2", "a3", "b1", "c1", "d1")
    assert work.running == ["a1", "b1", "c1"]
    await work.end("b1")
    assert work.running == ["a1", "c1", "d1"]  # not a2, which has waited longer
    await work.end("a1")
    assert work.running == ["c1", "d1", "a2"]
    await work.finish()
    assert work.done == ["b1", "a1", "c1", "d1", "a2", "a3"]


async def test_users_take_turns_however_many_requests_each_has() -> None:
    work = Work(width=1)
    await work.sent("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    await work.finish()
    assert work.done == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    await work.sent("a5", "b3")
    assert work.running == ["a5"]
    await work.finish()


async def test_a_cancelled_request_leaves_no_turn_behind() -> None:
    work = Work(width=2)
    a1, b1, a2, c1, c2 = await work.sent("a1", "b1", "a2", "c1", "c2")
    for cancelled in (a2, c1):  # while they wait
        cancelled.cancel()
    a1.cancel()  # while it runs
    await work.settled()
    assert work.running == ["b1", "c2"]
    # At the moment in which it is admitted.
    (d1,) = await work.sent("d1")
    (e1,) = await work.sent("e1")
    work._may_end["b1"].set()
    while not d1.done():
        await asyncio.sleep(0)
        if "d" in work.lane._running:
            d1.cancel()
    await work.settled()
    assert work.running == ["c2", "e1"]
    await work.finish()
    await asyncio.gather(a1, a2, b1, c1, c2, d1, e1, return_exceptions=True)
    await work.sent("f1", "g1")
    assert work.running == ["f1", "g1"]
    await work.finish()
    assert work.lane._waiting == {}


async def test_too_many_requests_are_refused_at_once() -> None:
    work = Work(width=3, wait=60)
    await work.sent(*(f"a{number}" for number in range(MAX_WAITING_OF_ONE + 3)))
    assert len(work.refused) == 2  # one runs
    others = [chr(code) for code in range(ord("b"), ord("b") + MAX_WAITING)]
    await work.sent(*(f"{other}1" for other in others))
    assert not set(work.refused) & {"b1", "c1", "d1"}
    waiting = MAX_WAITING_OF_ONE + len(others) - 2  # two run
    assert len(work.refused) == 2 + waiting - MAX_WAITING
    await work.finish()
    assert len(work.done) == 3 + MAX_WAITING


async def test_users_with_many_requests_leave_room_for_those_of_others() -> None:
    work = Work(width=1, max_waiting=4)
    await work.sent("x1", "a1", "a2", "a3", "b1")
    await work.sent("c1")
    assert work.refused == ["a3"]
    await work.sent("a4", "c2")
    assert work.refused == ["a3", "a4", "a2"]
    await work.sent("b2", "d1")  # at last each has one that waits
    assert work.refused == ["a3", "a4", "a2", "c2", "b2"]
    await work.finish()
    assert work.done == ["x1", "a1", "b1", "c1", "d1"]
    assert work.lane.refused == 5


async def test_a_request_whose_client_has_left_waits_no_longer() -> None:
    work = Work(width=1)
    await work.sent("a1")
    before, gone = asyncio.all_tasks(), asyncio.Event()
    left = asyncio.create_task(work.lane.begin("b", gone.wait))
    stays = asyncio.create_task(work.lane.begin("b", asyncio.Event().wait))
    await work.settled()
    gone.set()
    with pytest.raises(Overloaded):
        await left
    assert work.lane.waiting == 1
    await work.finish()
    await stays
    work.lane.end("b")
    await work.settled()
    assert (work.lane.running, work.lane.waiting) == (0, 0)
    assert asyncio.all_tasks() <= before  # none goes on to watch the client


async def test_a_turn_is_for_no_request_whose_client_has_left() -> None:
    """The budget of a request says when that is."""
    work = Work(width=1)
    await work.sent("a1")
    gone = asyncio.Event()
    before = BUDGET.set(TimeBudget(60.0, gone=gone.wait))
    try:
        await work.sent("b1")
    finally:
        BUDGET.reset(before)
    await work.sent("c1")
    gone.set()
    await work.settled()
    assert (work.refused, work.lane.waiting) == (["b1"], 1)
    await work.finish()
    assert work.done == ["a1", "c1"]


async def test_a_request_waits_for_a_bounded_time() -> None:
    work = Work(width=1, wait=0.01)
    _, waiting = await work.sent("a1", "b1")
    await waiting
    assert (work.running, work.refused) == (["a1"], ["b1"])
    await work.finish()
    await work.sent("b2")
    assert work.running == ["b2"]
    await work.finish()


@pytest.mark.parametrize("held", [0.04, 0.05, 0.06])
async def test_a_turn_that_ends_as_a_wait_ends_is_not_lost(held: float) -> None:
    """Both in one step of a busy event loop, in either order."""
    lane = Lane(width=1, wait=0.05)

    async def hold() -> None:
        async with lane.turn("a"):
            released = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(held, released.set_result, None)
            await released

    async def wait(user: str) -> None:
        with suppress(Overloaded):
            async with lane.turn(user):
                pass

    tasks = [asyncio.create_task(work) for work in (hold(), wait("b"), wait("b"), wait("c"))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251 - the event loop is busy
    await asyncio.gather(*tasks)
    assert (lane._free, lane._running, lane._waiting) == (1, {}, {})


# On PostgreSQL


SLEEP = Statement(text("SELECT pg_sleep(60)"))


@pytest.fixture
async def patient(database_url: str) -> AsyncIterator[Connections]:
    """With no timeout: a test that waited for a slow statement would fail by its own."""
    url = make_conninfo(database_url, options="-c statement_timeout=60s")
    async with Connections(url, deadline=60) as opened:
        yield opened


async def test_slow_statements_leave_connections_to_others(patient: Connections) -> None:
    store = PostgresStore(patient)
    ada = await add_user(store, "patient")
    slow = [
        asyncio.create_task(Autocommit(store._shared, user % 6).in_turn(SLEEP))
        for user in range(40)
    ]
    async with asyncio.timeout(5):
        for _ in range(20):
            async with store.autocommit() as db:
                assert await db.users.get(ada.id) == ada
    assert patient._lent == WIDTH
    assert not patient.is_away
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    async with store.autocommit(ada.id) as db:
        assert (await db.users.page(skip=0, limit=1)).total


@pytest.mark.parametrize("kind", ["tasks", "users", "sessions", "audit"])
async def test_a_page_that_may_be_slow_waits_for_its_turn(
    patient: Connections, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "WAIT", 0.01)
    store = PostgresStore(patient)
    store._shared.slow = Lane(wait=0.01)

    async def page(user: UserId) -> None:
        async with store.autocommit(user) as db:
            if kind == "tasks":
                await db.tasks.page(user, skip=10_000, limit=1)
            elif kind == "users":
                await db.users.page(skip=0, limit=1)
            elif kind == "audit":
                await db.audit.page(skip=0, limit=1, user_id=user)
            else:
                now = await store.now()
                await db.sessions.page(user_id=None, skip=0, limit=1, now=now)

    slow = asyncio.create_task(Autocommit(store._shared, 1).in_turn(SLEEP))
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await page(UserId(1))
    await page(UserId(2))
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def edited_profile(core: Core, ada: Person, bob: Person) -> object:
    del bob
    return await core.accounts.change_profile(ada.actor, full_name="Ada Lovelace")


async def edited_account(core: Core, ada: Person, bob: Person) -> object:
    return await core.accounts.change(ada.actor, bob.user.id, full_name="Bob")


async def set_password(core: Core, ada: Person, bob: Person) -> object:
    return await core.accounts.set_password(ada.actor, bob.user.id, password="another horse")


async def added_account(core: Core, ada: Person, bob: Person) -> object:
    del bob
    return await core.accounts.create(ada.actor, email="c@example.org", password=PASSWORD)


async def unlocked(core: Core, ada: Person, bob: Person) -> object:
    return await core.sessions.unlock(ada.actor, bob.user.id)


async def edited_task(core: Core, ada: Person, bob: Person) -> object:
    task = (await core.tasks.page(bob.actor)).items[0]
    return await core.tasks.edit(ada.actor, task.id, title=str(uuid4()))


@pytest.mark.parametrize(
    "request_of",
    [
        *(edited_profile, edited_account, set_password, added_account, unlocked),
        edited_task,
    ],
)
async def test_many_requests_of_one_account_that_wait_hold_one_connection(
    patient: Connections,
    database_url: str,
    request_of: Callable[[Core, Person, Person], Coroutine[Any, Any, object]],
) -> None:
    emptied(database_url)
    store = PostgresStore(patient)
    core = bound(store, ManualClock(), ScryptHasher(n=2, r=1, p=1))
    ada, bob = await join(core, "ada", Role.ADMIN), await join(core, "bob")
    await core.tasks.create(bob.actor, title="x")
    lane = store._shared.transactions = Lane(wait=60)
    with psycopg.connect(database_url) as busy:
        busy.execute("LOCK users, streams, audit_events IN EXCLUSIVE MODE")
        requests = [asyncio.create_task(request_of(core, ada, bob)) for _ in range(6)]
        await until(lambda: sum(map(len, lane._waiting.values())) == 5 and patient._lent == 1)
    await asyncio.gather(*requests, return_exceptions=True)


async def test_what_takes_too_long_to_count_is_shown_without_its_number(
    database_url: str,
) -> None:
    hasty = make_conninfo(database_url, options="-c statement_timeout=50ms")
    async with Connections(hasty) as connections:
        link = Autocommit(Shared(connections), None)
        one = Statement(text("SELECT 1"))
        assert await link.in_turn(SLEEP, one) == [(1,)]
        with pytest.raises(Unavailable):
            await link.in_turn(SLEEP)
        with pytest.raises(Unavailable):  # not for any other reason
            await link.in_turn(
                Statement(text("SELECT pg_terminate_backend(pg_backend_pid())")), one
            )


async def test_a_turn_goes_to_the_user_who_has_used_the_least_time() -> None:
    now = 0.0
    work = Work(width=1, period=5.0, clock=lambda: now)
    accounts = ["a", "b", "c"]  # of one client
    await work.sent(*(f"{each}1" for each in accounts), *(f"{each}2" for each in accounts))
    for each in accounts:
        now += 1
        await work.end(f"{each}1")
    assert work.running == ["a2"]
    await work.sent("x1", "x2", "y1")
    now += 1
    await work.end("a2")
    assert work.running == ["x1"]  # not b2, which has waited longer
    await work.end("x1")
    assert work.running == ["y1"]
    await work.end("y1")
    await work.finish()
    assert work.done[-3:] == ["x2", "b2", "c2"]
    for _ in range(9):  # periods
        now += 5
        async with work.lane.turn("z"):
            pass
    assert not work.lane._spent._by.keys() & {"a", "b", "c"}


async def test_users_who_wait_have_equal_times_whatever_each_had_before() -> None:
    now = 0.0
    work = Work(width=1, spent=Shares(), clock=lambda: now)

    async def turn(name: str, seconds: float) -> None:
        nonlocal now
        assert work.running == [name]
        now += seconds
        await work.end(name)

    for _ in range(30):  # alone
        await work.sent("o1")
        await turn("o1", 1)
    await work.sent("a1", "a2", "b1", "b2", "c1", "o2", "o3")
    await turn("a1", 1)
    await turn("b1", 1)
    await turn("c1", 3)
    await turn("o2", 1)  # behind one turn of each, not behind all of theirs
    await work.sent("d1", "c2")
    await work.finish()
    # Who comes anew is equal to those who had one turn each; another turn of theirs comes later.
    assert work.done[-5:] == ["a2", "b2", "d1", "o3", "c2"]


async def test_the_shares_that_are_remembered_are_bounded() -> None:
    shares = Shares()
    for user in range(MAX_REMEMBERED + 5):
        shares.began(user)
        shares.add(user, 1)
    assert len(shares._place_of) <= MAX_REMEMBERED
    for user in range(MAX_REMEMBERED * 2):  # each ahead of the place of all
        shares.add(-user, 9)
    assert len(shares._place_of) <= MAX_REMEMBERED


async def test_a_user_who_has_used_a_little_more_time_waits_no_longer() -> None:
    now = 0.0
    work = Work(width=1, period=1e9, clock=lambda: now)
    for name, seconds in (("a1", 1.9), ("b1", 1.0), ("c1", 2.3)):
        await work.sent(name)
        now += seconds
        await work.finish()
    await work.sent("x1", "c2", "a2", "b2", "a3", "b3")
    await work.finish()
    # c has used more than twice as much as b, and a has not.
    assert work.done[4:] == ["a2", "b2", "a3", "b3", "c2"]


async def test_the_time_that_is_counted_is_bounded() -> None:
    now = 0.0
    work = Work(width=1, period=1e9, clock=lambda: now)
    for user in range(MAX_REMEMBERED + 5):
        async with work.lane.turn(user):
            now += 1
    assert len(work.lane._spent._by) == 5


async def test_the_users_that_are_remembered_are_bounded() -> None:
    now = 0.0
    remembered = Remembered(lambda: now)
    for user in range(MAX_REMEMBERED + 5):
        remembered.add(user)
    assert len(remembered._until) == MAX_REMEMBERED
    assert 4 not in remembered
    assert 5 in remembered
    now += REMEMBERED_FOR
    assert 5 not in remembered
    remembered.add(None)
    assert None not in remembered


async def test_users_whose_turns_took_much_time_share_a_quarter_of_them() -> None:
    now = 0.0
    work = Work(width=4, period=1e9, clock=lambda: now)
    await work.sent("a1", "b1", "c1", "d1")
    now += HEAVY_AFTER + 0.1
    await work.finish()
    await work.sent("a2", "b2", "c2", "d2", "x1", "y1")
    assert work.running == ["a2", "x1", "y1"]
    await work.end("x1")
    assert work.running == ["a2", "y1"]
    await work.end("a2")
    assert work.running == ["y1", "b2"]
    await work.finish()
    assert len(work.done) == 10


async def test_many_short_turns_make_no_heavy_user() -> None:
    now = 0.0
    work = Work(width=2, period=1e9, clock=lambda: now)
    for _ in range(20):
        await work.sent("a1")
        now += LONG / 2
        await work.finish()
    await work.sent("h1", "i1")
    now += HEAVY_AFTER + 0.1
    await work.finish()
    await work.sent("h2", "i2", "a2")
    assert work.running == ["h2", "a2"]
    await work.finish()


async def test_short_turns_in_between_do_not_hide_long_ones() -> None:
    """Four accounts had all turns that way, and the filters of others took twenty times as long."""
    now = 0.0
    work = Work(width=2, period=1e9, clock=lambda: now)
    for _ in range(8):
        for took in (0.15, 0.01):
            await work.sent("h1", "i1")
            now += took
            await work.finish()
    await work.sent("h2", "i2", "a2")
    assert work.running == ["h2", "a2"]
    await work.finish()
