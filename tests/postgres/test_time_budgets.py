"""A request waits for the database so long in all, however many statements it has."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import taskcore
from taskcore import Core, NotFound, TaskId, Unavailable
from taskcore.adapters.postgres import Connections, PostgresStore
from tests.api.conftest import app_over, opened, quiet
from tests.api.people import Person, join
from tests.conftest import ManualClock, bound, cheap_argon2, emptied
from tests.factories import PASSWORD
from tests.postgres.cutting import Cutter, cutting

pytestmark = pytest.mark.anyio

__all__ = ["quiet"]  # a fixture


class Site:
    """The API over a database whose replies may be late, and a user."""

    def __init__(self, slow: Cutter, core: Core, http: httpx.AsyncClient, ada: Person) -> None:
        self.slow, self.core, self.http, self.ada = slow, core, http, ada


@pytest.fixture
async def site(database_url: str, clock: ManualClock) -> AsyncIterator[Site]:
    emptied(database_url)
    with tempfile.TemporaryDirectory(prefix="slow-", dir="/tmp") as folder:
        async with (
            cutting(database_url, Path(folder)) as (slow, url),
            Connections(url) as connections,
            cheap_argon2() as hasher,
        ):
            core = bound(PostgresStore(connections), clock, hasher)
            async with opened(app_over(core)) as http:
                yield Site(slow, core, http, await join(core, http, "ada"))


@pytest.mark.long
@pytest.mark.parametrize("delay", [2.5, 0.6])
async def test_a_slow_database_delays_no_answer_by_more_than_four_seconds(
    site: Site, delay: float
) -> None:
    """Each with more round trips than fit into the time."""
    task = await site.ada.task("a task")
    new = {"current_password": PASSWORD, "new_password": "another horse battery"}
    calls: list[tuple[str, str, object]] = [
        ("POST", "/auth/password", new),
        ("PATCH", f"/tasks/{task['id']}", {"title": "b"}),
        ("POST", "/tasks/bulk", {"operations": [{"op": "create", "task": {"title": "c"}}] * 30}),
        ("POST", "/auth/delete-account", {"password": PASSWORD}),
        ("POST", "/auth/login", {"email": site.ada.email, "password": PASSWORD}),
    ]
    await asyncio.gather(*(site.ada.ask("GET", "/tasks") for _ in range(10)))
    site.slow.delay = delay
    for method, path, body in calls:
        began = time.monotonic()
        answer = await site.ada.ask(method, path, body)
        assert time.monotonic() - began < 4, (method, path)
        assert answer.status_code < 300 or answer.status_code == 503, answer.text


async def test_what_a_request_asks_waits_so_long_in_all(site: Site) -> None:
    assert site.ada.token
    actor = await site.core.sessions.authenticate(site.ada.token)
    site.slow.delay = 0.2

    async def look_for_many() -> None:
        for number in range(20):
            with pytest.raises(NotFound):
                await site.core.tasks.get(actor, TaskId(number))

    began = time.monotonic()
    with pytest.raises(Unavailable), taskcore.time_budget(0.5):
        await look_for_many()
    assert time.monotonic() - began < 0.5 + 0.3
