"""The database of the settings: opened for a core, and what operators do with it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from taskcore.adapters.archive import Archive, Manifest, Told, Writer, digest_of, new_file
from taskcore.adapters.argon2 import BCRYPT
from taskcore.adapters.clock import SystemClock
from taskcore.adapters.denials import RememberingDenials
from taskcore.adapters.keys import Keys, place_secret
from taskcore.adapters.postgres import (
    Connections,
    PostgresLimiter,
    PostgresStore,
    TracedConnections,
    Upgrade,
    current_revision,
    is_vacuumed,
    reach,
    upgrade,
)
from taskcore.adapters.postgres.backups import dump
from taskcore.adapters.postgres.backups import restore as restored
from taskcore.adapters.postgres.conninfo import of_replica
from taskcore.adapters.postgres.diagnostics import Diagnostics as Diagnostics  # noqa: PLC0414 - the commands import it from here
from taskcore.adapters.postgres.diagnostics import diagnose as diagnose_database
from taskcore.adapters.postgres.grants import grants_missing
from taskcore.adapters.postgres.primaries import primaries as primaries_of
from taskcore.adapters.postgres.replica import Following as Following  # noqa: PLC0414 - as Diagnostics
from taskcore.adapters.postgres.replica import following, replica_connections
from taskcore.databases import ExternalDatabase, database_of
from taskcore.domain.audit import AuditEventName, NewAuditEvent
from taskcore.domain.errors import Misconfigured, NotMigrated, Unavailable
from taskcore.domain.policies import Actor
from taskcore.ports import Clock, RateLimiter, Tracer
from taskcore.settings import Secret, Settings
from taskcore.signing_key import is_servers_key, note_key, note_key_of_restored, servers_keys

if TYPE_CHECKING:
    from taskcore.adapters.embedded import EmbeddedPostgres


@dataclass(frozen=True)
class OpenDatabase:
    """The database of the settings, and what a core has from it."""

    store: PostgresStore
    connections: Connections

    def limiter(self, keys: Keys, clock: Clock) -> RateLimiter:
        limiter = PostgresLimiter(self.connections, keys.derived("rate limit")[0])
        return RememberingDenials(limiter, clock)


@asynccontextmanager
async def opened_database(
    settings: Settings, tracer: Tracer | None = None
) -> AsyncIterator[OpenDatabase]:
    """The database, for as long as the block lasts.

    The embedded one is started and migrated. The one of DATABASE_URL is not changed: raises
    Misconfigured when it is not migrated. When it does not answer, the block begins all the same;
    calls raise Unavailable until it answers.
    """
    database = database_of(settings)
    async with (
        database,
        _connections(settings, database.conninfo, tracer) as connections,
        _replica(settings) as copy,
    ):
        store = PostgresStore(connections, copy, tracer)
        try:
            await _ensure_migrated(settings, database.conninfo, store)
        except Unavailable:
            if not settings.database_url:  # the embedded one was just started: it must answer
                raise
        yield OpenDatabase(store, connections)


async def start_database(settings: Settings, *, serving: bool = False) -> ExitStack:
    """Bring the database up and migrate it, for the process that starts workers.

    The database stays up until the returned stack is closed, by a plain `close`: workers are forked
    before that, and a running event loop would not survive a fork. `serving` adds an event to the
    audit when access tokens are signed by another key than at the last start.
    Raises Misconfigured, and Unavailable when the database does not answer.
    """
    async with AsyncExitStack() as undo:
        database = database_of(settings)
        await undo.enter_async_context(database)
        url = database.conninfo
        # Its error says why; that of the pool does not.
        await asyncio.to_thread(reach, url, pooler=_is_pooled(settings))
        async with _connections(settings, url) as connections:
            await connections.ready()
            store = PostgresStore(connections)
            await _ensure_migrated(settings, url, store)
            if serving:
                await note_key(settings, store)
        undo.pop_all()
        started = ExitStack()
        started.push(database)
        return started


async def reach_database(settings: Settings) -> None:
    """Raises Unavailable with the reason, which may name the host and the user; Misconfigured."""
    async with database_of(settings) as server:
        await asyncio.to_thread(reach, server.conninfo, pooler=_is_pooled(settings))


async def is_migrated(settings: Settings) -> bool:
    """Whether the database has our schema. Changes nothing, in the embedded one neither.

    Raises Unavailable, and Misconfigured for what a migration would not mend.
    """
    async with database_of(settings) as server:
        # Its error says why; that of the pool does not.
        await asyncio.to_thread(reach, server.conninfo, pooler=_is_pooled(settings))
        async with _connections(settings, server.conninfo) as connections:
            await connections.ready()
            try:
                await PostgresStore(connections).check()
            except NotMigrated as problem:
                if type(problem) is not NotMigrated:
                    raise Misconfigured([problem.detail]) from None
                return False
    return True


async def upgrade_database(settings: Settings, revision: str = "head") -> Upgrade:
    """Raises Unavailable as `reach_database`, SchemaTooNew, WrongEncoding and Misconfigured."""
    async with _direct(settings) as server:
        return await asyncio.to_thread(upgrade, server.conninfo, revision)


async def database_revision(settings: Settings) -> str | None:
    """None where it was never migrated. Raises Unavailable."""
    async with database_of(settings) as server:
        pooler = _is_pooled(settings)
        return await asyncio.to_thread(current_revision, server.conninfo, pooler=pooler)


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    same_key: bool
    """Whether SECRET_KEY is the key of the backup; the generated key always is."""


async def back_up(settings: Settings, path: Path, told: Told, *, replace: bool = False) -> Manifest:
    """Write the database and the key into a file, and read that back.

    The file appears when it is complete. Servers go on meanwhile. Raises Conflict if it exists and
    may not be replaced, NotMigrated, Unavailable, Misconfigured, and OSError.
    """
    async with _direct(settings) as server:
        await asyncio.to_thread(reach, server.conninfo)
        with new_file(path, replace=replace) as file:
            async with _store(settings) as store:
                secret = (await servers_keys(settings, store)).present
            with Writer(file) as writer:
                made = await dump(server.conninfo, writer, told)
                made = replaced(made, key=digest_of(secret))
                writer.finish(made, secret)
            with Archive(file) as archive:
                archive.check(told)
    return made


async def record_backup(settings: Settings, made: Manifest, by: Actor) -> None:
    """Let the audit tell of it. Raises Unavailable, and RightsMissing."""
    await _record(settings, AuditEventName.BACKUP_MADE, by, made)


async def record_restore(settings: Settings, made: Manifest, by: Actor) -> bool | None:
    """Let the audit tell of it, with the time of the backup, and which key signs from now on.

    Returns whether servers signed with it before; None if none did. Raises as `record_backup`.
    """
    await _record(settings, AuditEventName.BACKUP_RESTORED, by, made, made_at=made.at.isoformat())
    async with _store(settings) as store:
        return await note_key_of_restored(settings, store, by)


async def _record(
    settings: Settings, name: AuditEventName, by: Actor, made: Manifest, **more: str
) -> None:
    event = NewAuditEvent.by(by, name, SystemClock().now())
    event = replaced(event, detail={"rows": made.rows, "revision": made.revision, **more})
    async with _store(settings) as store, store.autocommit() as db:
        await db.audit.add(event)


@dataclass(frozen=True, slots=True)
class LastBackup:
    at: datetime | None
    """When the newest one was made, or the one restored last. None: never, says the audit."""
    archived_at: datetime | None
    """When PostgreSQL last archived its log, where it does."""
    has_users: bool


async def last_backup(settings: Settings) -> LastBackup:
    """Raises Unavailable."""
    async with _connected(settings) as connections:
        async with PostgresStore(connections).autocommit() as db:
            made = await db.audit.page(skip=0, limit=1, event=AuditEventName.BACKUP_MADE)
            back = await db.audit.page(skip=0, limit=1, event=AuditEventName.BACKUP_RESTORED)
            users = await db.users.page(skip=0, limit=1)
        found = await diagnose_database(connections)
    times = [event.at for event in made.items]
    # The rows are those of that file, so they are as safe as it is old.
    times += [datetime.fromisoformat(str(event.detail["made_at"])) for event in back.items]
    return LastBackup(max(times, default=None), found.archived_at, bool(users.items))


async def diagnose(settings: Settings) -> Diagnostics:
    """Raises Unavailable."""
    async with _connected(settings) as connections:
        return await diagnose_database(connections)


async def primaries(settings: Settings) -> Sequence[str]:
    """The servers that take writes, where DATABASE_URL names several hosts."""
    async with database_of(settings) as server:
        pooler = _is_pooled(settings)
        return await asyncio.to_thread(primaries_of, server.conninfo, pooler=pooler)


async def missing_grants(settings: Settings) -> Sequence[str]:
    """Statements that give our role the rights it lacks. Raises as `reach_database`."""
    await reach_database(settings)
    async with _connected(settings) as connections:
        return await grants_missing(connections)


async def replica_following(settings: Settings) -> Following | None:
    """How the replica of DATABASE_READ_URL follows the database; None where there is none.

    Raises Unavailable, which says why the replica cannot be reached, RightsMissing if its role may
    not read there what servers read, and Misconfigured.
    """
    url = settings.database_read_url
    if url is None:
        return None
    await asyncio.to_thread(reach, of_replica(url.reveal()), pooler=_is_pooled(settings))
    async with _connected(settings) as connections, _copy(settings, url) as copy:
        await copy.ready()
        found = await following(connections, copy)
        if found.is_ours:
            async with PostgresStore(copy).autocommit() as db:
                await db.users.page(skip=0, limit=1)
                await db.tasks.page(None, skip=0, limit=1)
                await db.audit.page(skip=0, limit=1)
        return found


async def restore(
    settings: Settings, path: Path, told: Told, *, replace: bool = False, dry_run: bool = False
) -> Restored:
    """Put a backup into an empty database, or in the place of what is there.

    With `dry_run` the file is checked, and whether it may be restored; an embedded database that
    is not there yet is not made.

    Raises as `restore` of the PostgreSQL adapter, and OSError.
    """
    with Archive(path) as archive:
        archive.check(told)
        secret = archive.secret()
        if dry_run:
            if settings.database_url or (settings.data_dir / "postgres").exists():
                async with _direct(settings) as server:
                    await restored(server.conninfo, archive, told, replace=replace, dry_run=True)
            keeps = settings.secret_key is None
            return Restored(archive.manifest, same_key=keeps or Keys.of(settings).present == secret)
        async with _direct(settings) as server:
            await restored(server.conninfo, archive, told, replace=replace)
            if settings.secret_key is None:
                place_secret(settings.key_file, secret)
        return Restored(archive.manifest, same_key=Keys.of(settings).present == secret)


async def make_key(settings: Settings) -> None:
    """Make the key of DATA_DIR. Raises Misconfigured if servers sign with another; Unavailable."""
    async with _store(settings) as store:
        await servers_keys(settings, store)


async def has_servers_key(settings: Settings) -> bool | None:
    """Raises Unavailable, and Misconfigured; see `signing_key.is_servers_key`."""
    async with _store(settings) as store:
        return await is_servers_key(settings, store)


async def clock_skew(settings: Settings) -> timedelta:
    """How far the database's clock is ahead of this machine's, give or take a round trip.

    Raises Unavailable.
    """
    async with _store(settings) as store:
        await store.now()  # the first one opens what the second one need not
        return await store.now() - SystemClock().now()


async def count_old_hashes(settings: Settings) -> int:
    """How many passwords still have a bcrypt hash, which a login replaces. Raises Unavailable."""
    async with _store(settings) as store, store.autocommit() as db:
        return await db.users.count_hashes(BCRYPT)


async def is_vacuuming(settings: Settings) -> bool:
    """False while a migration has autovacuum off, or has left it so. Raises Unavailable."""
    async with database_of(settings) as server:
        return await asyncio.to_thread(is_vacuumed, server.conninfo, pooler=_is_pooled(settings))


async def is_word_index_stuck(settings: Settings) -> bool:
    """Whether servers should rebuild the index of words and may not. Raises Unavailable."""
    async with _store(settings) as store:
        return await store.word_index.is_stuck()


async def _ensure_migrated(settings: Settings, url: str, store: PostgresStore) -> None:
    try:
        await store.check()
    except NotMigrated as problem:
        # The operator of a database of DATABASE_URL decides when it is migrated.
        if settings.database_url or type(problem) is not NotMigrated:
            raise Misconfigured([problem.detail]) from None
        done = await asyncio.to_thread(upgrade, url)
        if done.before:
            said = f"upgraded the database from revision {done.before} to {done.after}"
            logging.getLogger(__name__).warning(said)


_THROUGH_POOLER = (
    "DATABASE_POOLER is on, and a pooler has no place for this command: run it with"
    " DATABASE_POOLER=off and a DATABASE_URL that leads to PostgreSQL itself"
)


def _is_pooled(settings: Settings) -> bool:
    return settings.database_url is not None and settings.database_pooler


def _connections(settings: Settings, url: str, tracer: Tracer | None = None) -> Connections:
    kind = Connections if tracer is None else partial(TracedConnections, tracer)
    return kind(url, size=settings.database_pool_size, pooler=_is_pooled(settings))


def _replica(settings: Settings) -> AbstractAsyncContextManager[Connections | None]:
    url = settings.database_read_url
    return nullcontext() if url is None else _copy(settings, url)


def _copy(settings: Settings, url: Secret) -> Connections:
    return replica_connections(
        url.reveal(), size=settings.database_pool_size, pooler=_is_pooled(settings)
    )


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Connections]:
    """For a command, which waits until the database has answered, or has had time to."""
    async with database_of(settings) as server, _connections(settings, server.conninfo) as opened:
        await opened.ready()
        yield opened


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[PostgresStore]:
    async with _connected(settings) as connections:
        yield PostgresStore(connections)


def _direct(settings: Settings) -> "EmbeddedPostgres | ExternalDatabase":
    """The database for what lasts longer than a transaction. Raises Misconfigured."""
    if _is_pooled(settings):
        raise Misconfigured([_THROUGH_POOLER])
    return database_of(settings)
