"""Deleting an account of many tasks over HTTP, and when the server removes what is left."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
import structlog

from taskapi.housekeeping import Housekeeper
from taskcore import SYSTEM, Actor, Core, Unavailable
from taskcore.adapters.memory.rate_limits import Unlimited
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.core import Terms
from taskcore.ports import Removal
from tests.api.conftest import app_over, opened
from tests.api.doubles import FailingStore
from tests.api.people import Person, join
from tests.conftest import ManualClock, bound, cheap_argon2, until
from tests.factories import PASSWORD

pytestmark = pytest.mark.anyio


@pytest.fixture
def failing(connections: Connections) -> FailingStore:
    return FailingStore(PostgresStore(connections))


@pytest.fixture
def core(failing: FailingStore, clock: ManualClock) -> Core:
    """On PostgreSQL; a batch of it has two tasks."""
    return bound(failing, clock, cheap_argon2(), terms=Terms(batch=2, at_once=2))


@pytest.fixture
async def http(core: Core) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(app_over(core)) as client:
        yield client


@pytest.fixture
def turn(connections: Connections, database_url: str) -> Any:
    """Another process that is at it, until `close`: this one has to leave everything as it is."""
    _ = connections  # empties the database first
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(2026112701)")
        yield connection


@pytest.fixture
def rows(connections: Connections, database_url: str) -> Any:
    _ = connections
    with psycopg.connect(database_url, autocommit=True) as connection:

        def count() -> int:
            found = connection.execute("SELECT count(*) FROM tasks").fetchone()
            return int(found[0]) if found else -1

        yield count


async def with_tasks(who: Person, count: int) -> list[int]:
    return [(await who.post("/tasks", {"title": "x"})).json()["id"] for _ in range(count)]


async def test_a_deleted_account_is_gone_at_once_however_many_tasks_it_has(
    core: Core, http: httpx.AsyncClient, ada: Person, root: Person, turn: Any, rows: Any
) -> None:
    tasks = await with_tasks(ada, 7)
    (kept,) = await with_tasks(root, 1)
    assert (await root.ask("DELETE", f"/users/{ada.id}")).status_code == 204
    assert rows() == 8
    assert (await ada.get("/tasks")).status_code == 401
    for path in (f"/users/{ada.id}", *(f"/tasks/{task}" for task in tasks)):
        assert (await root.get(path)).status_code == 404
        assert (await root.ask("DELETE", path)).status_code == 404
    assert (await root.put(f"/tasks/{tasks[0]}", {"title": "y"})).status_code == 404
    page = (await root.get("/tasks")).json()
    assert ([task["id"] for task in page["items"]], page["total"]) == ([kept], 1)
    assert (await root.get(f"/tasks?owner_id={ada.id}")).json()["total"] == 0
    assert [user["id"] for user in (await root.get("/users")).json()["items"]] == [root.id]
    again = await join(core, http, "ada")
    assert (await again.get("/tasks")).json()["total"] == 0
    turn.close()
    await with_tasks(again, 3)
    await again.post("/auth/delete-account", {"password": PASSWORD})  # a deletion wakes it
    await until(lambda: rows() == 1)


async def test_a_server_removes_what_is_left_when_it_starts(
    core: Core, ada: Person, root: Person, turn: Any, rows: Any
) -> None:
    await with_tasks(ada, 7)
    await root.ask("DELETE", f"/users/{ada.id}")
    turn.close()
    assert rows() == 7
    async with opened(app_over(core)):
        await until(lambda: rows() == 0)


@pytest.mark.parametrize("error", [Unavailable(), RuntimeError("a bug")])
async def test_housekeeping_goes_on_after_a_failure(
    core: Core, failing: FailingStore, rows: Callable[[], int], error: Exception
) -> None:
    ada = await core.accounts.register(email="ada@example.org", password=PASSWORD)
    for _ in range(7):
        await core.tasks.create(Actor(ada.id, ada.role), title="x")
    await core.accounts.delete(SYSTEM, ada.id)
    failing.error = error
    async with Housekeeper(core) as housekeeper:
        for _ in range(3):
            await asyncio.sleep(0)  # it starts, and fails
        failing.error = None
        assert rows() == 7
        housekeeper.wake()
        await until(lambda: rows() == 0)


async def test_a_database_that_is_away_is_nothing_to_report(
    core: Core, failing: FailingStore
) -> None:
    failing.error = Unavailable()
    with structlog.testing.capture_logs() as lines:
        async with Housekeeper(core) as housekeeper:
            for _ in range(3):
                await asyncio.sleep(0.1)
                housekeeper.wake()
    assert lines == []


class Slow(Unlimited):
    async def forget(self, limit: int) -> Removal:
        raise Unavailable(f"{limit} take too long")


async def test_a_kind_that_takes_too_long_is_reported_and_the_others_go_on(
    core: Core, rows: Callable[[], int]
) -> None:
    ada = await core.accounts.register(email="ada@example.org", password=PASSWORD)
    for _ in range(3):
        await core.tasks.create(Actor(ada.id, ada.role), title="x")
    await core.accounts.delete(SYSTEM, ada.id)
    core = replace(core, housekeeping=replace(core.housekeeping, limiter=Slow()))
    with structlog.testing.capture_logs() as lines:
        async with Housekeeper(core):
            await until(lambda: len(lines) == 2)
    assert rows() == 0
    removed = {"event": "housekeeping.removed", "log_level": "info", "accounts": 1, "tasks": 3}
    removed["events"] = 3
    postponed = {"event": "housekeeping.postponed", "log_level": "warning", "kind": "limits"}
    assert lines == [removed, postponed | {"reason": "2 take too long"}]
