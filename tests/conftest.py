"""Fixtures of all tests: a manual clock, both stores, and a core on each."""

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings

from taskcore import Core
from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.adapters.jwt import JwtTokens
from taskcore.adapters.memory import MemoryStore
from taskcore.adapters.tokens import SignedAccessTokens
from taskcore.core import Terms
from taskcore.ports import AccessTokens, PasswordHasher, RateLimiter, Store
from taskcore.testing import CheapHasher, core_on
from taskcore.testing import ManualClock as ManualClock  # noqa: PLC0414 - tests import it from here
from taskcore.testing.cores import KEY as KEY  # noqa: PLC0414 - as above
from tests import canaries

if TYPE_CHECKING:
    import psycopg

    from taskcore.adapters.postgres import Connections

# What PostgreSQL needs takes a second to import, in each process: the functions that need it do.
# ruff: noqa: PLC0415

# Else each of the hundreds of servers and commands that tests start would compile all its modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

STORES = ["memory", "postgresql"]

settings.register_profile("fast", max_examples=60, deadline=None, derandomize=True, database=None)
settings.register_profile("quick", settings.get_profile("fast"), max_examples=10)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("fast")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="no PostgreSQL, and fewer examples")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    if config.getoption("--quick"):
        items[:] = [item for item in items if not _needs_postgresql(item)]
    # Files of few tests are the long ones: a fuzzer, a server that is killed. They start first, so
    # that the run does not end with one of them on one core while the other is idle.
    tests_of = Counter(item.path for item in items)
    items.sort(key=lambda item: (tests_of[item.path], str(item.path)))


def _needs_postgresql(item: pytest.Function) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return "postgresql" in params.values() or "database_url" in item.fixturenames


def pytest_sessionstart(session: pytest.Session) -> None:
    """End the run after a SIGINT even if a finalizer raises in place of the KeyboardInterrupt."""
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(number: int, frame: FrameType | None) -> None:
        session.shouldstop = "interrupted"
        if callable(handler):
            handler(number, frame)

    signal.signal(signal.SIGINT, interrupted)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


async def until(condition: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait for something outside of this event loop; raise TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - threads and servers set no asyncio.Event
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def nothing_secret_is_logged() -> Iterator[None]:
    """Fail a test after which a secret is in the log of this process, at level DEBUG."""
    canaries.listen()
    yield
    assert canaries.leaks("\n".join(canaries.LISTENER.taken())) == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A migrated PostgreSQL, shared by all tests; `connections` empties it."""
    import psycopg

    from taskcore.adapters.embedded import EmbeddedPostgres
    from taskcore.adapters.postgres import upgrade

    # Not pytest's own folder: the path of a socket is short.
    with (
        tempfile.TemporaryDirectory(prefix="taskcore-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
    ):
        with psycopg.connect(_administering(server.conninfo), autocommit=True) as admin:
            # Nothing here outlives the tests: no commit need wait for the disk.
            admin.execute("ALTER ROLE taskcore SET synchronous_commit = off")
            upgrade(server.conninfo)
            admin.execute(f"CREATE DATABASE {_MIGRATED} TEMPLATE taskcore STRATEGY wal_log")
        with psycopg.connect(server.conninfo, user="postgres", autocommit=True) as superuser:
            _SUPERUSERS[server.conninfo] = superuser
            yield server.conninfo
            emptied(server.conninfo)


# The name of the database that `migrated_database` copies.
_MIGRATED = "migrated"
# One of each `database_url`, kept open, because `emptied` runs before most tests.
_SUPERUSERS: "dict[str, psycopg.Connection]" = {}


def _administering(url: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(url, user="postgres", dbname="postgres")


@contextmanager
def new_database(
    url: str, *, template: str = "template1", is_searched: bool = True
) -> Iterator[str]:
    """A database on the same server: an empty one, or a copy of another.

    Not `is_searched` for secrets: what a test fills by SQL alone, with many rows.
    """
    import psycopg
    from psycopg.conninfo import make_conninfo

    name = f"test_{uuid4().hex}"
    admin = _administering(url)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY wal_log')
        try:
            yield make_conninfo(admin, dbname=name)
            if is_searched:
                told = canaries.dump(make_conninfo(admin, dbname=name))
                assert canaries.leaks(told, of_database=True) == []
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def migrated_database(url: str, *, is_searched: bool = True) -> AbstractContextManager[str]:
    """A database on the same server with the current schema. A copy takes less than migrating."""
    return new_database(url, template=_MIGRATED, is_searched=is_searched)


def emptied(url: str) -> None:
    """Delete every row, after a check that no row holds a secret. `url` is `database_url`."""
    superuser = _SUPERUSERS[url]
    assert canaries.leaks(canaries.dumped(superuser), of_database=True) == []
    superuser.execute(_EMPTY)


# Every row that is not named here belongs to a user and is deleted with them.
_EMPTY = """
DELETE FROM users;
DELETE FROM task_words;
DELETE FROM events;
UPDATE totals SET tasks = 0 WHERE tasks <> 0;
DELETE FROM rate_limits;
SET session_replication_role = replica; -- the audit keeps its rows
DELETE FROM audit_events;
RESET session_replication_role;
"""


@pytest.fixture
async def connections(database_url: str) -> "AsyncIterator[Connections]":
    """Connections to an empty database."""
    from taskcore.adapters.postgres import Connections

    emptied(database_url)
    async with Connections(database_url) as opened:
        yield opened


@asynccontextmanager
async def _opened(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if kind == "memory":
        yield MemoryStore()
        return
    from taskcore.adapters.postgres import Connections, PostgresStore

    url: str = request.getfixturevalue("database_url")
    emptied(url)
    async with Connections(url) as opened:
        yield PostgresStore(opened)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store; the test runs once on each kind."""
    async with _opened(request.param, request) as opened:
        yield opened


@pytest.fixture
async def core(store: Store, clock: ManualClock) -> AsyncIterator[Core]:
    """A core on each store, with cheap settings of the adapters that go with it."""
    async with AsyncExitStack() as stack:
        hasher: PasswordHasher = CheapHasher()
        access_tokens: AccessTokens = SignedAccessTokens(KEY)
        if not isinstance(store, MemoryStore):
            hasher = await stack.enter_async_context(cheap_argon2())
            access_tokens = JwtTokens(KEY)
        yield bound(store, clock, hasher, access_tokens)


def cheap_argon2(*, threads: int = 2, queue: int = 64) -> Argon2Hasher:
    return Argon2Hasher(memory_kib=8, passes=1, threads=threads, queue=queue)


def bound(
    store: Store,
    clock: ManualClock,
    hasher: PasswordHasher,
    access_tokens: AccessTokens | None = None,
    limiter: RateLimiter | None = None,
    terms: Terms | None = None,
) -> Core:
    """A core without limits unless a limiter is given."""
    return core_on(
        store,
        clock=clock,
        hasher=hasher,
        access_tokens=access_tokens or JwtTokens(KEY),
        limiter=limiter,
        terms=terms,
    )
