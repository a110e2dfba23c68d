"""Through a pooler of transactions nothing is asked that outlives one."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from taskcore import Misconfigured, RightsMissing, Settings, Unavailable
from taskcore.adapters.postgres import Connections, PostgresStore
from taskcore.adapters.postgres.conninfo import conninfo
from taskcore.adapters.postgres.session_settings import SESSION_SETTINGS
from taskcore.settings import Secret
from taskcore.wiring import back_up, upgrade_database
from tests.postgres.servers import Server

pytestmark = pytest.mark.anyio


def test_a_pooler_gets_no_options() -> None:
    assert not conninfo_to_dict(conninfo("postgresql://me@db/tasks", pooler=True))["options"]


def test_options_of_the_url_are_refused_where_a_pooler_would_lose_them() -> None:
    with pytest.raises(Misconfigured, match="options"):
        conninfo("postgresql://me@db/tasks?options=-csearch_path%3Dx", pooler=True)


async def test_no_statement_is_prepared(database_url: str) -> None:
    async with Connections(database_url, size=1, pooler=True) as connections:
        store = PostgresStore(connections)
        for _ in range(20):
            await store.now()
        async with connections.borrow() as link:
            cursor = await link.connection.execute("SELECT count(*) FROM pg_prepared_statements")
            assert await cursor.fetchone() == (0,)


async def test_a_role_without_timeouts_is_told_the_statements_that_set_them(
    fragile: Server,
) -> None:
    with psycopg.connect(fragile.conninfo, autocommit=True) as admin:
        with pytest.raises(RightsMissing) as told:
            await checked(fragile.conninfo)
        assert all(f"SET {name} = " in told.value.detail for name in SESSION_SETTINGS)
        try:
            admin.execute(told.value.detail.partition(": ")[2].encode())
            await checked(fragile.conninfo)
        finally:
            admin.execute("ALTER ROLE postgres RESET ALL")


async def checked(url: str) -> None:
    async with Connections(url, pooler=True) as connections:
        await PostgresStore(connections).check()


async def test_what_needs_a_connection_of_its_own_asks_for_one(tmp_path: Path) -> None:
    settings = Settings(
        Secret("postgresql://me@localhost:1/tasks"),
        Secret("x" * 32),
        tmp_path,
        database_pooler=True,
    )
    file = tmp_path / "backup.zip"
    for call in (
        upgrade_database(settings),
        back_up(settings, file, lambda *_: None),
    ):
        with pytest.raises(Misconfigured, match="DATABASE_POOLER=off"):
            await call
    assert not file.exists()


async def test_no_index_is_rebuilt_through_a_pooler(database_url: str) -> None:
    async with Connections(database_url, pooler=True) as connections:
        with pytest.raises(Unavailable, match="without a pooler"):
            async with connections.unhurried():
                pass


async def test_the_start_waits_for_the_second_of_two_hosts_when_the_first_one_hangs(
    database_url: str, tmp_path: Path
) -> None:
    """The first one accepts connections and says nothing."""
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_unix_server(
        lambda _, writer: held.append(writer), tmp_path / ".s.PGSQL.5432"
    )
    async with silent:
        host = conninfo_to_dict(database_url)["host"]
        url = make_conninfo(database_url, host=f"{tmp_path},{host}", requirepeer="")
        async with Connections(url) as connections:
            await connections.ready()
            await PostgresStore(connections).check()
        for writer in held:
            writer.close()
