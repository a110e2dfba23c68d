"""Databases with something of everything in them, and what they hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from taskcore import SYSTEM, Core, Create
from taskcore.adapters.archive import Archive, Manifest, Writer, digest_of, new_file
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.backups import dump, restore
from tests.conftest import ManualClock, bound, cheap_argon2
from tests.usecases.people import join

SECRET = b"0123456789abcdef" * 4
AWKWARD = ("tab\tand \\ and \\N", "line\nend\r\n", "\\.", "Ünïcödé 日本 \U0001f600", "''\"{},")
_TABLES = """
SELECT c.relname FROM pg_class c WHERE c.relkind = 'r'
   AND c.relnamespace = current_schema()::regnamespace ORDER BY 1
"""


def untold(table: str, rows: int) -> None:
    """Tell nothing of the progress."""


@asynccontextmanager
async def core_on(url: str) -> AsyncIterator[Core]:
    async with Connections(url) as connections, cheap_argon2() as hasher:
        yield bound(PostgresStore(connections), ManualClock(), hasher)


async def filled(core: Core) -> None:
    """Accounts with tasks, trash, sessions, kept answers, and a deleted account."""
    ada, bob = await join(core, "ada"), await join(core, "bob")
    for text in AWKWARD:
        await core.tasks.create(ada.actor, title="x", description=text, labels=["a b", "c,d"])
    created = await core.tasks.bulk(bob.actor, [Create({"title": f"t{n}"}) for n in range(20)])
    for task in created[:3]:
        assert task
        await core.tasks.delete(bob.actor, task.id)
        await core.tasks.restore(bob.actor, task.id)
        await core.tasks.delete(bob.actor, task.id)

    async def work(_: Core) -> bytes:
        return b"\x00\xff an answer"

    await core.once(ada.actor, "key", b"request", work)
    await core.sessions.refresh(refresh_token=ada.grant.refresh_token)
    gone = await join(core, "gone")
    await core.accounts.delete(SYSTEM, gone.user.id)


def content(url: str, *, but: tuple[str, ...] = ("epochs",)) -> dict[str, Any]:
    """A hash of the rows of each table, the values of sequences, and what follows no table."""
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(_TABLES) if name not in but]
        found: dict[str, Any] = {
            name: connection.execute(
                SQL(
                    "SELECT count(*), md5(string_agg(md5(t::text), ' ' ORDER BY md5(t::text)))"
                    " FROM {} t"
                ).format(Identifier(name))
            ).fetchone()
            for name in names
        }
        found["sequences"] = connection.execute(
            "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema()"
            " ORDER BY 1"
        ).fetchall()
        found["triggers"] = connection.execute(
            "SELECT tgname, tgenabled, tgrelid::regclass::text, tgfoid::regproc::text"
            " FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
        ).fetchall()
        found["schemas"] = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname ~ 'taskcore'"
        ).fetchall()
    return found


async def backed_up(url: str, path: Path) -> Manifest:
    with new_file(path, replace=False) as file:
        with Writer(file) as writer:
            made = replace(await dump(url, writer, untold), key=digest_of(SECRET))
            writer.finish(made, SECRET)
        with Archive(file) as archive:
            archive.check(untold)
    return made


async def restored(path: Path, url: str, *, over: bool = False) -> None:
    with Archive(path) as archive:
        archive.check(untold)
        await restore(url, archive, untold, replace=over)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()
