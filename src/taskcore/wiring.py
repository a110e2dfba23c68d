"""The one place that names production adapters: settings in, a Core out."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskcore.adapters.argon2 import Argon2Hasher
from taskcore.adapters.jwt import JwtTokens
from taskcore.adapters.postgres import Connections, PostgresStore, current_revision, reach, upgrade
from taskcore.adapters.system import (
    OpaqueRefreshTokens,
    SystemClock,
    derived_key,
    generated_secret,
)
from taskcore.core import Core
from taskcore.domain.errors import Misconfigured, NotMigrated, Unavailable
from taskcore.settings import Settings

if TYPE_CHECKING:
    from taskcore.adapters.embedded import EmbeddedPostgres


@asynccontextmanager
async def open_core(settings: Settings) -> AsyncIterator[Core]:
    """A Core on PostgreSQL, for as long as the block lasts.

    The embedded database is started and migrated. One that DATABASE_URL names is not touched:
    raises Misconfigured when it is not migrated. When it does not answer, the core opens all the
    same, its calls raise Unavailable, and it serves as soon as the database does.
    """
    async with AsyncExitStack() as stack:
        database = _database(settings)
        await stack.enter_async_context(database)
        url = database.conninfo
        store = PostgresStore(await stack.enter_async_context(Connections(url)))
        try:
            await _ensure_migrated(settings, url, store)
        except Unavailable:
            if not settings.database_url:  # our own has just been started: something is wrong
                raise
        secret = _secret(settings)
        hasher = await stack.enter_async_context(
            Argon2Hasher(threads=max(1, (os.cpu_count() or 1) // settings.workers))
        )
        yield Core.bind(
            store=store,
            hasher=hasher,
            access_tokens=JwtTokens(
                derived_key(secret, "access token"),
                settings.algorithm,
                settings.access_token_lifetime.total_seconds(),
            ),
            refresh_tokens=OpaqueRefreshTokens(derived_key(secret, "refresh token")),
            clock=SystemClock(),
            idle=settings.refresh_token_lifetime,
        )


@contextmanager
def prepared_database(settings: Settings) -> Iterator[None]:
    """For the process that starts workers: the database is up and migrated during the block.

    Not asynchronous, because workers are forked from that process, and an event loop must not be.
    Raises Misconfigured, and Unavailable when the database does not answer.
    """

    async def check(url: str) -> None:
        reach(url)  # the pool would not say why it cannot
        async with Connections(url) as connections:
            await _ensure_migrated(settings, url, PostgresStore(connections))

    with _database(settings) as server:
        asyncio.run(check(server.conninfo))
        yield


async def upgrade_database(settings: Settings, revision: str = "head") -> None:
    """Raises Unavailable."""
    async with _database(settings) as server:
        await asyncio.to_thread(upgrade, server.conninfo, revision)


async def database_revision(settings: Settings) -> str | None:
    """None where it was never migrated. Raises Unavailable."""
    async with _database(settings) as server:
        return await asyncio.to_thread(current_revision, server.conninfo)


async def clock_skew(settings: Settings) -> timedelta:
    """How far the database's clock is ahead of this machine's, give or take a round trip.

    Raises Unavailable.
    """
    clock = SystemClock()
    async with _database(settings) as server, Connections(server.conninfo) as connections:
        store = PostgresStore(connections)
        await store.now()  # the first one waits for a connection
        return await store.now() - clock.now()


async def _ensure_migrated(settings: Settings, url: str, store: PostgresStore) -> None:
    try:
        await store.check()
    except NotMigrated as problem:
        if settings.database_url:  # somebody else's to change, at a moment of their choice
            raise Misconfigured([problem.detail]) from None
        await asyncio.to_thread(upgrade, url)


def _database(settings: Settings) -> "EmbeddedPostgres | _SomebodysDatabase":
    if settings.database_url:
        return _SomebodysDatabase(settings.database_url.reveal())
    # Imported here: who brings a database of their own need not install one.
    from taskcore.adapters.embedded import EmbeddedPostgres  # noqa: PLC0415

    return EmbeddedPostgres(settings.data_dir)


@dataclass
class _SomebodysDatabase(
    AbstractContextManager["_SomebodysDatabase"], AbstractAsyncContextManager["_SomebodysDatabase"]
):
    """Is there or is not; entering and leaving change nothing."""

    conninfo: str

    def __exit__(self, *_: object) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def _secret(settings: Settings) -> bytes:
    if settings.secret_key:
        return settings.secret_key.reveal().encode()
    return generated_secret(settings.data_dir / "secret.key")
