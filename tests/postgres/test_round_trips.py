"""How many round trips to the database each use case takes."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from taskcore import (
    SYSTEM,
    Core,
    Delete,
    InvalidCredentials,
    Origin,
    Restore,
    Role,
    TooMany,
    Update,
)
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.postgres import Connections, PostgresLimiter, PostgresStore
from taskcore.domain.task_queries import TaskQuery
from tests.conftest import KEY, ManualClock, bound, cheap_argon2, emptied
from tests.factories import PASSWORD
from tests.usecases.people import Person, address, join, log_in

pytestmark = pytest.mark.anyio


class Wire:
    """One connection; counts the times that the server gets ready for the next query."""

    def __init__(self, connections: Connections, trace: Path) -> None:
        self._connections, self._trace = connections, trace

    async def round_trips(self, work: Awaitable[Any]) -> int:
        with self._trace.open("w") as file:
            async with self._connections.borrow() as link:
                link.connection.pgconn.trace(file.fileno())
            await work
            async with self._connections.borrow() as link:
                link.connection.pgconn.untrace()
        return self._trace.read_text().count("ReadyForQuery")


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    emptied(database_url)
    async with Connections(database_url, size=1) as connections:
        with tempfile.TemporaryDirectory() as folder:
            yield Wire(connections, Path(folder) / "trace")


@pytest.fixture
async def core(wire: Wire, clock: ManualClock) -> AsyncIterator[Core]:
    async with cheap_argon2() as hasher:
        limiter = RememberingDenials(PostgresLimiter(wire._connections, KEY), clock)
        yield bound(PostgresStore(wire._connections), clock, hasher, limiter=limiter)


Work = Callable[[Core, Person], Awaitable[Any]]


async def create_once(core: Core, ada: Person, key: str) -> None:
    async def work(core: Core) -> bytes:
        return str((await core.tasks.create(ada.actor, title="x")).id).encode()

    await core.once(ada.actor, key, b"create", work)


async def create_twice(core: Core, ada: Person) -> None:
    key = uuid4().hex
    await create_once(core, ada, key)
    await create_once(core, ada, key)


async def edit(core: Core, ada: Person) -> None:
    page = await core.tasks.page(ada.actor, limit=1)
    task = page.items[0]
    await core.tasks.edit(ada.actor, task.id, title=task.title + "x")


async def delete(core: Core, ada: Person) -> None:
    page = await core.tasks.page(ada.actor, limit=1)
    await core.tasks.delete(ada.actor, page.items[0].id)


async def no_change(core: Core, ada: Person) -> None:
    page = await core.tasks.page(ada.actor, limit=1)
    await core.tasks.edit(ada.actor, page.items[0].id, title=page.items[0].title)


async def get(core: Core, ada: Person) -> None:
    page = await core.tasks.page(ada.actor, limit=1)
    await core.tasks.get(ada.actor, page.items[0].id)


async def get_at_once(core: Core, ada: Person) -> None:
    task = (await core.tasks.page(ada.actor, limit=1)).items[0]
    actor = await core.sessions.authenticate(ada.grant.access_token, task_id=task.id)
    await core.tasks.get(actor, task.id)


async def edit_at_once(core: Core, ada: Person) -> None:
    task = (await core.tasks.page(ada.actor, limit=1)).items[0]
    actor = await core.sessions.authenticate(ada.grant.access_token, task_id=task.id)
    await core.tasks.edit(actor, task.id, title=task.title + "x")


async def page_at_once(core: Core, ada: Person) -> None:
    actor = await core.sessions.authenticate(ada.grant.access_token, first_page=9)
    await core.tasks.page(actor, limit=9)


async def rename(core: Core, ada: Person) -> None:
    user = await core.accounts.me(ada.actor)
    await core.accounts.change_profile(ada.actor, full_name=f"{user.full_name}x")


async def change(core: Core, ada: Person) -> None:
    user = await core.accounts.get(SYSTEM, ada.user.id)
    await core.accounts.change(SYSTEM, ada.user.id, full_name=f"{user.full_name}x")


async def refresh(core: Core, ada: Person) -> None:
    grant = await core.sessions.log_in(email=ada.user.email, password=PASSWORD)
    await core.sessions.refresh(refresh_token=grant.refresh_token)


async def change_password(core: Core, _: Person) -> None:
    name = uuid4().hex  # a new account, as each has a limit of attempts
    user = await core.accounts.register(email=address(name), password=PASSWORD)
    person = await log_in(core, user)
    await core.accounts.change_password(
        person.actor, current_password=PASSWORD, new_password=PASSWORD
    )


async def log_out(core: Core, ada: Person) -> None:
    grant = await core.sessions.log_in(email=ada.user.email, password=PASSWORD)
    await core.sessions.log_out(await core.sessions.authenticate(grant.access_token))


async def remove(core: Core, _: Person) -> None:
    user = await core.accounts.register(email=address("gone"), password=PASSWORD)
    await core.accounts.delete(SYSTEM, user.id)


def many(*, changes: bool) -> Work:
    """Several operations of each kind; 100 take as many round trips as these."""

    async def bulk(core: Core, ada: Person) -> None:
        page = await core.tasks.page(ada.actor, limit=4)
        ids = [task.id for task in page.items]
        title = page.items[0].title
        edits = [Update(each, {"title": title + "x" * changes}) for each in ids]
        moves = [kind(each) for each in ids for kind in (Delete, Restore)]
        await core.tasks.bulk(ada.actor, [*edits, *(moves if changes else [])])

    return bulk


# The round trips of each use case. Those of the calls that prepare it are summands of their own.
ROUND_TRIPS: dict[str, tuple[Work, int]] = {
    "check": (lambda core, _: core.store.check(), 2),
    "create": (lambda core, ada: core.tasks.create(ada.actor, title="x"), 1),
    "create once": (lambda core, ada: create_once(core, ada, uuid4().hex), 5),
    "create once, and once more": (create_twice, 5 + 3),
    "page": (lambda core, ada: core.tasks.page(ada.actor), 1),
    "page of all": (lambda core, _: core.tasks.page(SYSTEM), 1),
    "filtered page": (
        lambda core, ada: core.tasks.page(ada.actor, TaskQuery(status=["open"], q="x")),
        1,
    ),
    "labels": (lambda core, ada: core.tasks.labels(ada.actor), 1),
    "authenticate and page": (page_at_once, 1),
    "get": (get, 1 + 1),
    "authenticate and get": (get_at_once, 1 + 1),
    "edit": (edit, 1 + 2),
    "authenticate and edit": (edit_at_once, 1 + 2),
    "edit without a change": (no_change, 1 + 1),
    "delete": (delete, 1 + 2),
    # BEGIN, the lock, the tasks, one for all writes, COMMIT.
    "bulk": (many(changes=True), 1 + 5),
    "bulk without a change": (many(changes=False), 1 + 4),
    "page of the trash": (lambda core, ada: core.tasks.trash(ada.actor), 1),
    "authenticate": (lambda core, ada: core.sessions.authenticate(ada.grant.access_token), 1),
    "log in": (
        lambda core, ada: core.sessions.log_in(email=ada.user.email, password=PASSWORD),
        4,
    ),
    "refresh": (refresh, 4 + 3),
    "change password": (change_password, 4 + 4 + 1 + 8),
    "log out": (log_out, 4 + 1 + 4),
    "sessions": (lambda core, ada: core.sessions.own(ada.actor), 1),
    "page of sessions": (lambda core, _: core.sessions.page(SYSTEM), 1),
    "page of events": (lambda core, _: core.audit.page(SYSTEM), 1),
    "me": (lambda core, ada: core.accounts.me(ada.actor), 1),
    "change profile": (rename, 1 + 4),
    "change": (change, 1 + 7),
    "register and remove": (remove, 4 + 8),
    "find": (lambda core, ada: core.accounts.find(SYSTEM, ada.user.email), 1),
    "page of accounts": (lambda core, _: core.accounts.page(SYSTEM), 1),
}


@pytest.mark.parametrize("use_case", ROUND_TRIPS)
async def test_a_use_case_takes_so_many_round_trips(core: Core, wire: Wire, use_case: str) -> None:
    await join(core, "root", Role.ADMIN)
    ada = await join(core, "ada")
    for _ in range(15):
        await core.tasks.create(ada.actor, title="x")
    work, expected = ROUND_TRIPS[use_case]
    for repeats in (0, 8):  # psycopg prepares a statement that it has executed several times
        for _ in range(repeats):
            await work(core, ada)
        counted = await wire.round_trips(work(core, ada))
        assert counted == expected, f"{use_case}: if the change is meant, adapt ROUND_TRIPS"


async def test_a_denied_login_takes_no_round_trip(core: Core, wire: Wire) -> None:
    """Once denied, whatever addresses the client of that network makes up."""

    async def guesses(count: int) -> list[type[BaseException]]:
        refusals: list[type[BaseException]] = []
        for _ in range(count):
            with pytest.raises((InvalidCredentials, TooMany)) as refusal:
                await core.sessions.log_in(
                    email=address(uuid4().hex), password=PASSWORD, origin=Origin("192.0.2.1")
                )
            refusals.append(refusal.type)
        return refusals

    assert await guesses(12) == [InvalidCredentials] * 10 + [TooMany] * 2
    assert await wire.round_trips(guesses(20)) == 0
