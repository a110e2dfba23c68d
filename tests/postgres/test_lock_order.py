"""An account is deleted while a request with a key is served: neither waits for the other for ever.

PostgreSQL ends one of two transactions that wait for each other, after a second: a 503.
"""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from taskcore import SYSTEM, Core, Forbidden, InvalidToken, Role, TaskcoreError
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.scrypt import ScryptHasher
from tests.conftest import ManualClock, bound, until
from tests.factories import PASSWORD
from tests.usecases.people import Person, join

pytestmark = pytest.mark.anyio

Call = Callable[[Core, Person], Awaitable[object]]


async def create(core: Core, ada: Person) -> object:
    return await core.tasks.create(ada.actor, title="x")


async def read(core: Core, ada: Person) -> object:
    return await core.tasks.page(ada.actor)


async def add_an_account(core: Core, ada: Person) -> object:
    return await core.accounts.create(ada.actor, email="new@example.org", password=PASSWORD)


@pytest.fixture
async def core(connections: Connections) -> Core:
    return bound(PostgresStore(connections), ManualClock(), ScryptHasher(n=2, r=1, p=1))


@pytest.mark.parametrize(
    ("first", "then", "refusal"),
    [
        (read, create, InvalidToken),
        (read, read, InvalidToken),
        (read, add_an_account, Forbidden),
        (create, create, None),
        (add_an_account, read, None),
    ],
)
async def test_a_deletion_waits_for_work_with_a_key_or_the_work_is_refused(
    core: Core, database_url: str, first: Call, then: Call, refusal: type[TaskcoreError] | None
) -> None:
    """The deletion begins between two calls of the work, the first of which claims the key."""
    await join(core, "root", Role.ADMIN)
    ada = await join(core, "ada", Role.ADMIN)
    await core.tasks.create(ada.actor, title="the first, which opens the account")
    deletion = asyncio.create_task(asyncio.sleep(0))

    def waits() -> bool:
        query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(watcher.execute(query).fetchall())

    async def work(core_of_work: Core) -> bytes:
        nonlocal deletion
        await first(core_of_work, ada)
        deletion = asyncio.create_task(core.accounts.delete(SYSTEM, ada.user.id))
        await until(lambda: deletion.done() or waits())
        await then(core_of_work, ada)
        return b"done"

    with psycopg.connect(database_url, autocommit=True) as watcher:
        request = asyncio.create_task(core.once(ada.actor, "key", b"request", work))
        await asyncio.wait([request])
        await deletion
    if refusal is None:
        assert request.result().content == b"done"
    else:
        with pytest.raises(refusal):
            request.result()
    assert await core.accounts.find(SYSTEM, ada.user.email) is None
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT FROM idempotency_keys UNION ALL SELECT FROM tasks")
        assert left.fetchall() == []
