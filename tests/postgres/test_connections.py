"""Waiting times are bounded, whatever happens to the database."""

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from sqlalchemy import text

from taskcore.adapters.postgres import Connections, PostgresStore, pool
from taskcore.adapters.postgres.conninfo import conninfo
from taskcore.adapters.postgres.session_settings import DEADLINE
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.errors import Invalid, Misconfigured, NotFound, Overloaded, Unavailable
from taskcore.domain.tasks import TaskId
from taskcore.domain.users import UserId
from taskcore.ports import time_budget
from tests.conftest import until
from tests.postgres.servers import Server

pytestmark = pytest.mark.anyio

ONE = Statement(text("SELECT 1"))
SLEEP = Statement(text("SELECT pg_sleep(30)"))
NAP = Statement(text("SELECT pg_sleep(0.05)"))
FAILS = Statement(text("SELECT 1 / 0"))


async def query(connections: Connections) -> None:
    async with connections.borrow() as link:
        assert await link.row(ONE) == (1,)


async def backends(connections: Connections, number: int) -> set[int]:
    """The process ids of this many connections, borrowed at the same time."""
    barrier = asyncio.Barrier(number)

    async def pid() -> int:
        async with connections.borrow() as link:
            await barrier.wait()
            return link.connection.info.backend_pid

    return set(await asyncio.gather(*(pid() for _ in range(number))))


@asynccontextmanager
async def load(connections: Connections) -> AsyncIterator[list[tuple[float, float, bool]]]:
    """Fifty requests a second: the start and duration of each, and whether it was served."""
    outcomes: list[tuple[float, float, bool]] = []
    requests: set[asyncio.Task[None]] = set()

    async def request() -> None:
        started, served = time.monotonic(), False
        with suppress(Unavailable):
            await query(connections)
            served = True
        outcomes.append((started, time.monotonic() - started, served))

    async def keep_querying() -> None:
        while True:
            requests.add(asyncio.create_task(request()))
            await asyncio.sleep(0.02)

    querying = asyncio.create_task(keep_querying())
    try:
        yield outcomes
    finally:
        querying.cancel()
        await asyncio.gather(*requests)


def waiting(connections: Connections) -> int:
    return connections._pool.waiting


async def test_connections_are_reused(connections: Connections) -> None:
    assert len(await backends(connections, 4)) == 4
    again = await backends(connections, 4)
    assert again == await backends(connections, 4)


async def test_the_connection_that_was_returned_is_the_next_one(connections: Connections) -> None:
    await backends(connections, 1)  # from and to the pool, which may have another one
    pids = [await backends(connections, 1) for _ in range(3)]
    assert pids == pids[:1] * 3


async def test_a_connection_goes_to_those_that_wait(database_url: str) -> None:
    async with Connections(database_url, size=1) as connections:
        async with asyncio.timeout(0.9):  # less than a request waits
            await asyncio.gather(*(query(connections) for _ in range(20)))


async def test_a_connection_returns_to_the_pool_now_and_then(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool replaces those that are old."""
    monkeypatch.setattr(pool, "AT_HAND", 0.05)
    async with connections.borrow() as link:
        link.connection._expire_at = 0
    first = await backends(connections, 1)
    await asyncio.sleep(0.06)
    assert await backends(connections, 1) == first
    assert await backends(connections, 1) != first


async def test_a_connection_has_our_settings(connections: Connections) -> None:
    settings = {
        "statement_timeout": "2s",
        "lock_timeout": "1s",
        "idle_in_transaction_session_timeout": "5s",
        "TimeZone": "UTC",
        "plan_cache_mode": "force_generic_plan",
        "application_name": "taskcore",
    }
    async with connections.borrow() as link:
        for name, value in settings.items():
            assert await link.row(Statement(text(f"SHOW {name}"))) == (value,)


def test_a_url_may_override_our_settings() -> None:
    merged = psycopg.conninfo.conninfo_to_dict(
        conninfo("postgresql://me@/db?connect_timeout=9&application_name=mine&options=-cx%3Dy")
    )
    assert (merged["connect_timeout"], merged["application_name"]) == ("9", "mine")
    assert str(merged["options"]).endswith(" -cx=y")
    assert merged["target_session_attrs"] == "read-write"


def test_other_options_of_a_url_leave_ours_alone(database_url: str) -> None:
    url = psycopg.conninfo.make_conninfo(database_url, options="-c lock_timeout=7s")
    with psycopg.connect(conninfo(url)) as db:
        for name, value in {"lock_timeout": "7s", "statement_timeout": "2s", "jit": "off"}.items():
            assert db.execute(f"SHOW {name}".encode()).fetchone() == (value,)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@[::1/db",
        "postgresql://me:hunter2@host/db?no_such_option=hunter2",
        "postgresql://me:hunter2%zz@host/db",
        "hunter2",
        "host=x hunter2",
    ],
)
def test_a_malformed_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        Connections(url)
    assert "DATABASE_URL" in str(refusal.value)
    assert "hunter2" not in "".join(traceback.format_exception(refusal.value, limit=0))


async def test_dead_connections_are_detected_before_they_are_used(
    connections: Connections, database_url: str
) -> None:
    before = await backends(connections, 8)
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) pid", [[*before]])
        left = "SELECT FROM pg_stat_activity WHERE pid = ANY(%s)"
        await until(lambda: not admin.execute(left, [[*before]]).fetchall())
    started = time.monotonic()
    await asyncio.gather(*(query(connections) for _ in range(20)))
    assert time.monotonic() - started < 0.9
    assert not before & await backends(connections, 8)


async def test_a_statement_that_passes_the_deadline_is_cut_off(database_url: str) -> None:
    async with Connections(database_url, size=1, deadline=0.2) as connections:
        before = await backends(connections, 1)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            async with connections.borrow() as link:
                await link.run(SLEEP)
        assert time.monotonic() - started < 1
        assert not before & await backends(connections, 1)


async def test_each_borrower_has_a_deadline_of_its_own(database_url: str) -> None:
    async with Connections(database_url, size=1, deadline=0.2) as connections:
        before = await backends(connections, 1)
        await asyncio.sleep(0.3)
        assert await backends(connections, 1) == before
        for _ in range(6):
            async with connections.borrow() as link:
                await asyncio.sleep(0.05)
                await link.run(ONE)
        assert await backends(connections, 1) == before


async def test_a_connection_held_past_the_deadline_is_replaced(
    database_url: str,
) -> None:
    async with Connections(database_url, size=1, deadline=0.05) as connections:
        before = await backends(connections, 1)
        async with connections.borrow():
            await asyncio.sleep(0.1)
        await query(connections)
        assert not before & await backends(connections, 1)


async def test_a_waiter_that_is_cancelled_leaks_no_connection(database_url: str) -> None:
    async with Connections(database_url, size=1) as connections:
        await query(connections)
        for _ in range(5):
            async with connections.borrow():
                waiters = [asyncio.create_task(query(connections)) for _ in range(3)]
                await asyncio.sleep(0.01)
                for waiter in waiters:
                    waiter.cancel()
                await asyncio.gather(*waiters, return_exceptions=True)
            await query(connections)
        # Cancelled at the moment in which a connection becomes free.
        for _ in range(20):
            async with connections.borrow():
                late = asyncio.create_task(query(connections))
                await asyncio.sleep(0.001)
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)
        await query(connections)
        assert waiting(connections) == 0


async def test_the_query_of_a_cancelled_task_is_cancelled(database_url: str) -> None:
    asleep = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with psycopg.connect(database_url, autocommit=True) as observer:
        async with Connections(database_url, size=1) as connections:

            async def sleep() -> None:
                async with connections.borrow() as link:
                    await link.run(SLEEP)

            for _ in range(3):
                sleeping = asyncio.create_task(sleep())
                await until(lambda: observer.execute(asleep).rowcount == 1)
                sleeping.cancel()
                # A query that goes on ends by its time limit, and the task with Unavailable.
                with pytest.raises(asyncio.CancelledError):
                    await sleeping
                assert observer.execute(asleep).rowcount == 0


async def test_cancelling_a_transaction_at_any_moment_leaks_no_connection(
    connections: Connections, database_url: str
) -> None:
    store = PostgresStore(connections)

    async def work() -> None:
        async with store.transaction() as tx:
            for _ in range(5):
                await tx.users.lock_admins()

    for number in range(60):
        task = asyncio.create_task(work())
        await asyncio.sleep(number / 20_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert len(await backends(connections, 10)) == 10
    with psycopg.connect(database_url, autocommit=True) as admin:
        open_ones = "SELECT FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        await until(lambda: not admin.execute(open_ones).fetchall())


async def test_requests_beyond_the_pool_wait_a_second_and_no_longer(
    database_url: str,
) -> None:
    async with Connections(database_url, size=2) as connections:
        async with connections.borrow(), connections.borrow():
            for _ in range(2):
                started = time.monotonic()
                results = await asyncio.gather(
                    *(query(connections) for _ in range(20)), return_exceptions=True
                )
                assert {type(result) for result in results} == {Overloaded}
                assert time.monotonic() - started < 1.5
        await asyncio.gather(*(query(connections) for _ in range(20)))
        assert waiting(connections) == 0


async def test_a_pool_in_full_use_is_no_absent_database(database_url: str) -> None:
    async with Connections(database_url, size=1) as connections:
        async with connections.borrow():
            with pytest.raises(Overloaded):
                await query(connections)
            assert not connections.is_away
            # Were the database taken for absent, one of these would probe it, and the other
            # would fail at once.
            waiting = [asyncio.create_task(query(connections)) for _ in range(2)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
        await asyncio.gather(*waiting)


@pytest.mark.parametrize("is_lent_meanwhile", [True, False])
async def test_a_connection_on_its_way_to_its_next_use_is_no_absent_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch, *, is_lent_meanwhile: bool
) -> None:
    """It is not lent in that moment, and a wait for it may end just then."""
    async with Connections(database_url, size=2) as connections:
        take = connections._pool.take

        async def time_out(_: float) -> None:
            monkeypatch.setattr(connections._pool, "take", take)
            if is_lent_meanwhile:
                await query(connections)
            raise PoolTimeout

        monkeypatch.setattr(connections._pool, "take", time_out)
        with pytest.raises(Overloaded if is_lent_meanwhile else Unavailable):
            await query(connections)
        assert connections.is_away is not is_lent_meanwhile


async def test_a_transaction_that_computes_past_its_deadline_is_no_absent_database(
    database_url: str,
) -> None:
    async with Connections(database_url, deadline=0.1) as connections:
        with suppress(Unavailable):
            async with connections.borrow() as link, link.transaction():
                await link.run(ONE)
                await asyncio.sleep(0.2)
                assert not connections.is_away
                await asyncio.gather(query(connections), query(connections))


async def test_an_answer_that_waits_to_be_read_is_no_absent_database(database_url: str) -> None:
    async with Connections(database_url, deadline=0.1) as connections:

        async def be_late() -> None:
            with suppress(Unavailable):
                async with connections.borrow() as link:
                    await link.run(NAP)

        await query(connections)
        asking = asyncio.create_task(be_late())
        await asyncio.sleep(0.02)
        time.sleep(0.3)  # noqa: ASYNC251 - the process is busy with other work
        for _ in range(2):  # the loop sees the deadline and the answer at once
            await asyncio.sleep(0)
        assert not connections.is_away
        await asking


async def test_a_slow_statement_is_no_absent_database_while_others_are_answered(
    database_url: str,
) -> None:
    async with Connections(database_url, deadline=0.3) as connections:

        async def be_slow() -> None:
            with pytest.raises(Unavailable):
                async with connections.borrow() as link:
                    await link.run(SLEEP)

        slow = asyncio.create_task(be_slow())
        await asyncio.sleep(0.1)
        await query(connections)
        await slow
        assert not connections.is_away


@pytest.mark.parametrize("fails", [False, True])
async def test_a_probe_holds_up_others_only_until_its_first_answer(
    database_url: str, *, fails: bool
) -> None:
    async with Connections(database_url, deadline=0.1) as connections:
        with pytest.raises(Unavailable):
            async with connections.borrow() as link:
                await link.run(SLEEP)
        assert connections.is_away
        async with connections.borrow() as probe:
            with pytest.raises(Unavailable):
                await query(connections)
            with suppress(Invalid):
                await probe.rows(FAILS if fails else ONE)
            assert not connections.is_away
            await asyncio.gather(query(connections), query(connections))


async def test_a_probe_without_a_statement_proves_nothing(database_url: str) -> None:
    async with Connections(database_url, deadline=0.1) as connections:
        with pytest.raises(Unavailable):
            async with connections.borrow() as link:
                await link.run(SLEEP)
        async with connections.borrow():
            pass
        assert connections.is_away
        await query(connections)
        assert not connections.is_away


async def test_a_pool_that_is_closed_is_unavailable(database_url: str) -> None:
    async with Connections(database_url) as connections:
        await query(connections)
    with pytest.raises(Unavailable):
        await query(connections)


@pytest.fixture
def stopped(fragile: Server) -> Iterator[Server]:
    fragile.stop()
    yield fragile
    if not fragile.is_running:
        fragile.start()


async def test_a_pool_opens_without_its_server_and_serves_once_that_runs(
    stopped: Server,
) -> None:
    async with Connections(stopped.conninfo) as connections:
        for call in (query(connections), PostgresStore(connections).check()):
            started = time.monotonic()
            with pytest.raises(Unavailable):
                await call
            assert time.monotonic() - started < 2
        await asyncio.to_thread(stopped.start)
        async with asyncio.timeout(2):
            await served_again(connections)


async def served_again(connections: Connections) -> None:
    for _ in count():
        with suppress(Unavailable):
            await query(connections)
            return
        await asyncio.sleep(0.02)


async def test_a_stopped_server_delays_no_request_until_the_deadline(fragile: Server) -> None:
    async with Connections(fragile.conninfo) as connections, load(connections) as outcomes:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(fragile.stop)
        gone = time.monotonic()
        most = 0
        while time.monotonic() < gone + 8:  # beyond the pool's reconnect_timeout
            await asyncio.sleep(0.05)
            most = max(most, waiting(connections))
        starts = time.monotonic()
        await asyncio.to_thread(fragile.start)
        back = time.monotonic()
        await asyncio.sleep(2.5)
    assert max(took for _, took, _ in outcomes) < DEADLINE
    # A request of the last second may have waited until the server was back.
    assert not any(served for began, _, served in outcomes if gone < began < starts - 1)
    late = [outcome for outcome in outcomes if outcome[0] > back + 2]
    assert late
    assert all(served for _, _, served in late)
    # A waiter that times out stays in the pool's queue until that is served; few may get there.
    assert most < 80
    refused_at_once = [took for began, took, _ in outcomes if gone + 2 < began < starts - 1]
    assert sorted(refused_at_once)[len(refused_at_once) // 2] < 0.05


async def test_of_concurrent_requests_one_probes_a_server_that_is_away(
    fragile: Server,
) -> None:
    async with Connections(fragile.conninfo, deadline=0.3) as connections:
        store = PostgresStore(connections)

        async def get() -> None:
            async with store.autocommit() as db:
                await db.tasks.get(UserId(1), TaskId(1))

        with pytest.raises(NotFound):
            await get()
        with fragile.frozen():
            with pytest.raises(Unavailable):
                await get()
            tasks = [asyncio.create_task(get()) for _ in range(20)]
            for _ in range(5):
                await asyncio.sleep(0)
            assert sum(task.done() for task in tasks) == 19
            results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, Unavailable) for error in results)


async def test_a_frozen_server_delays_a_request_by_the_deadline_at_most(fragile: Server) -> None:
    async with Connections(fragile.conninfo) as connections:
        await backends(connections, 10)
        async with load(connections) as outcomes:
            await asyncio.sleep(0.3)
            with fragile.frozen():
                frozen = time.monotonic()
                await asyncio.sleep(6)
            thawed = time.monotonic()
            await asyncio.sleep(2.5)
        assert len(await backends(connections, 10)) == 10
        assert waiting(connections) == 0
    assert max(took for _, took, _ in outcomes) < DEADLINE + 1.25  # with a second in the queue
    # One that began before may have its rows already, and only be counted after.
    during = [outcome for outcome in outcomes if outcome[0] > frozen and sum(outcome[:2]) < thawed]
    assert during
    assert not any(served for _, _, served in during)
    late = [outcome for outcome in outcomes if outcome[0] > thawed + 2]
    assert late
    assert all(served for _, _, served in late)


async def test_a_client_with_many_requests_delays_another_by_one(database_url: str) -> None:
    async with Connections(database_url, size=2) as connections:
        served: list[str] = []

        async def request(client: str) -> None:
            with time_budget(3, client):
                async with connections.borrow() as link:
                    await link.row(NAP)
            served.append(client)

        many = [asyncio.create_task(request("many")) for _ in range(12)]
        await asyncio.sleep(0.01)
        await request("one")
        assert len(served) <= 5
        await asyncio.gather(*many)


async def test_waits_that_have_ended_are_not_kept_in_an_outage(tmp_path: Path) -> None:
    async with Connections(f"postgresql:///?host={tmp_path}") as connections:
        for _ in range(3):
            with time_budget(0.01), pytest.raises(Unavailable):
                await query(connections)
        assert not connections._pool._pool._waiting
