"""Processes that want more connections than the database has come to share them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from taskcore.adapters.postgres import Connections
from taskcore.adapters.postgres.statements import Statement
from taskcore.domain.errors import Unavailable
from tests.conftest import until
from tests.postgres.servers import server

pytestmark = pytest.mark.anyio

NAP = Statement(text("SELECT pg_sleep(0.01)"))
USABLE = 8


@pytest.fixture(scope="module")
def small() -> Iterator[str]:
    """A database with eight connections for its role, and three for administrators."""
    with server(max_connections=f"{USABLE + 3}", autovacuum="off") as running:
        with psycopg.connect(running.conninfo, autocommit=True) as admin:
            admin.execute("CREATE ROLE app LOGIN")
        yield make_conninfo(running.conninfo, user="app")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskcore.adapters.postgres.fair_share.EVERY", 0.05)


class Worker:
    """Twenty clients of a pool, each of which asks again at once."""

    def __init__(self, url: str) -> None:
        self.connections = Connections(url, size=10)
        self.served = 0
        self._goes_on = False

    @property
    def held(self) -> float:
        measures = self.connections.measures()
        return sum(measures[f"pool_connections:{state}"] for state in ("in use", "idle"))

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        async with self.connections:
            self._goes_on = True
            clients = [asyncio.create_task(self._ask()) for _ in range(20)]
            try:
                yield
            finally:
                self._goes_on = False
                await asyncio.gather(*clients)

    async def _ask(self) -> None:
        while self._goes_on:
            with suppress(Unavailable):
                async with self.connections.borrow() as link:
                    await link.row(NAP)
                self.served += 1
            await asyncio.sleep(0.001)


async def test_a_worker_gets_connections_though_others_are_busy_with_all(small: str) -> None:
    first, second, third = (Worker(small) for _ in range(3))
    async with first.busy():
        await until(lambda: first.held >= USABLE - 1)
        async with second.busy(), third.busy():
            await until(lambda: min(second.served, third.served) > 0, seconds=15)
            first.served = second.served = third.served = 0
            await until(lambda: min(w.served for w in (first, second, third)) > 50, seconds=15)
        # Those that are gone have left theirs.
        await until(lambda: first.held >= USABLE // 2, seconds=15)
