"""A backup and its restore, on PostgreSQL: the same content, whatever happens meanwhile."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from taskcore import (
    SYSTEM,
    Conflict,
    CursorExpired,
    Invalid,
    NotMigrated,
    RightsMissing,
    Unavailable,
)
from taskcore.adapters.archive import Archive, Table
from taskcore.adapters.postgres import current_revision, upgrade
from taskcore.adapters.postgres.backups import restore
from taskcore.adapters.postgres.columns import metadata
from taskcore.adapters.postgres.conninfo import with_options
from taskcore.adapters.postgres.migrate import downgrade
from taskcore.adapters.postgres.schema import REVISION
from tests.backups.stored import backed_up, content, core_on, filled, restored, rows, untold
from tests.conftest import migrated_database, new_database, until
from tests.migrations.test_migrations import HISTORY, catalogue
from tests.usecases.people import join

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(database_url: str) -> Iterator[str]:
    with migrated_database(database_url) as made:
        yield made


@pytest.fixture
def bare(database_url: str) -> Iterator[str]:
    with new_database(database_url) as made:
        yield made


async def test_the_content_is_the_same_and_cursors_end(url: str, bare: str, tmp_path: Path) -> None:
    async with core_on(url) as core:
        await filled(core)
        ada = await join(core, "grace")
        await core.tasks.create(ada.actor, title="x")
        cursor = (await core.changes.page(ada.actor)).end
    before = content(url)
    made = await backed_up(url, tmp_path / "backup")
    assert content(url) == before
    await restored(tmp_path / "backup", bare)
    assert content(bare) == before
    assert catalogue(bare) == catalogue(url)
    found = content(url, but=())
    assert [(table.name, table.rows) for table in made.tables] == [
        (table.name, found[table.name][0]) for table in made.tables
    ]
    assert {table.name for table in made.tables} == metadata.tables.keys()
    async with core_on(bare) as core:
        again = await join(core, "hopper")
        assert (await core.tasks.create(again.actor, title="y")).owner_id == again.user.id
        with pytest.raises(CursorExpired):
            await core.changes.page(ada.actor, after=cursor)
        assert (await core.changes.page(ada.actor)).end.epoch != cursor.epoch


def _passed(written: list[int], least: int) -> bool:
    return min(written) > least


async def test_a_backup_during_writes_is_of_one_moment(url: str, bare: str, tmp_path: Path) -> None:
    async with core_on(url) as core:
        people = [await join(core, f"p{n}") for n in range(3)]
        stop = asyncio.Event()
        written = [0] * len(people)

        async def write(number: int) -> None:
            while not stop.is_set():
                written[number] += 1
                task = await core.tasks.create(people[number].actor, title="x")
                await core.tasks.edit(people[number].actor, task.id, title="y")
                if task.id % 3 == 0:
                    await core.tasks.delete(people[number].actor, task.id)

        writers = [asyncio.create_task(write(number)) for number in range(3)]
        for number in range(3):
            least = 3 * number + 3
            await until(partial(_passed, written, least), seconds=30)
            await backed_up(url, tmp_path / f"{number}")
        stop.set()
        await asyncio.gather(*writers)
    for number in range(3):
        await restored(tmp_path / f"{number}", bare, over=True)
        counted = rows(
            bare,
            "SELECT owner_id, live, in_trash, head, (SELECT sum(tasks) FROM totals) FROM streams"
            " WHERE head > 0 ORDER BY 1",
        )
        found = rows(
            bare,
            "SELECT u.id, (SELECT count(*) FROM tasks t WHERE t.owner_id = u.id),"
            " (SELECT count(*) FROM trash t WHERE t.owner_id = u.id),"
            " (SELECT max(position) FROM events e WHERE e.owner_id = u.id),"
            " (SELECT count(*) FROM tasks) FROM users u"
            " WHERE EXISTS (SELECT FROM events e WHERE e.owner_id = u.id) ORDER BY 1",
        )
        assert counted == found
        assert len(found) == len(people)


SLOW = [pytest.param(revision, marks=pytest.mark.long) for revision in HISTORY[1:-2]]


@pytest.mark.parametrize("revision", ["0001", *SLOW, HISTORY[-2]])
async def test_a_backup_of_an_earlier_revision_is_migrated(
    url: str, bare: str, tmp_path: Path, revision: str
) -> None:
    downgrade(url, "base")
    upgrade(url, revision)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO users (email, email_key, hashed_password) VALUES ('a@b.c', 'a@b.c', 'x')"
        )
        if revision < "0009":
            connection.execute("INSERT INTO tasks (owner_id, title) SELECT id, 'x' FROM users")
        else:
            connection.execute("INSERT INTO streams (owner_id, live) SELECT id, 1 FROM users")
            connection.execute(
                "INSERT INTO tasks (id, owner_id, title) SELECT 7, id, 'x' FROM users"
            )
    made = await backed_up(url, tmp_path / "backup")
    assert made.revision == revision
    await restored(tmp_path / "backup", bare)
    assert current_revision(bare) == REVISION
    assert rows(bare, "SELECT email, title FROM users JOIN tasks ON owner_id = users.id") == [
        ("a@b.c", "x")
    ]
    with new_database(bare, template="template1") as other:
        upgrade(other)
        assert catalogue(bare) == catalogue(other)
    async with core_on(bare) as core:
        found = await core.accounts.find(SYSTEM, "a@b.c")
        assert found


async def test_what_is_there_is_replaced_only_on_demand(
    url: str, database_url: str, tmp_path: Path
) -> None:
    async with core_on(url) as core:
        await filled(core)
    before = content(url)
    await backed_up(url, tmp_path / "backup")
    with migrated_database(database_url) as other:
        await restored(tmp_path / "backup", other)
        async with core_on(other) as core:
            await join(core, "eve")
        changed = content(other)
        with pytest.raises(Conflict):
            await restored(tmp_path / "backup", other)
        assert content(other) == changed
        await restored(tmp_path / "backup", other, over=True)
        assert content(other) == before


async def test_a_server_goes_on_while_its_database_is_replaced(url: str, tmp_path: Path) -> None:
    async with core_on(url) as core:
        ada = await join(core, "ada")
        task = await core.tasks.create(ada.actor, title="saved")
        await backed_up(url, tmp_path / "backup")
        await core.tasks.edit(ada.actor, task.id, title="lost")
        stop = asyncio.Event()
        seen: list[str] = []

        async def read() -> None:
            while not stop.is_set():
                with suppress(Unavailable):
                    seen.append((await core.tasks.get(ada.actor, task.id)).title)
                await asyncio.sleep(0)

        readers = [asyncio.create_task(read()) for _ in range(5)]
        await restored(tmp_path / "backup", url, over=True)
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*readers)
        assert set(seen) == {"lost", "saved"}
        assert seen[-1] == "saved"
        edited = await core.tasks.edit(ada.actor, task.id, title="and goes on")
        assert edited.version == 2


async def test_what_other_roles_may_do_stays(url: str, tmp_path: Path) -> None:
    role = f"role_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        try:
            connection.execute(f"GRANT SELECT, INSERT ON users TO {role}".encode())
            connection.execute(f"GRANT USAGE ON SEQUENCE tasks_id_seq TO {role}".encode())
            await backed_up(url, tmp_path / "backup")
            await restored(tmp_path / "backup", url, over=True)
            for name, right, has in (
                ("users", "SELECT", True),
                ("users", "INSERT", True),
                ("users", "DELETE", False),
                ("tasks", "SELECT", False),
            ):
                query = "SELECT has_table_privilege(%s, %s, %s)"
                assert connection.execute(query, [role, name, right]).fetchall() == [(has,)]
            query = "SELECT has_sequence_privilege(%s, 'tasks_id_seq', 'USAGE')"
            assert connection.execute(query, [role]).fetchall() == [(True,)]
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


async def test_a_role_that_may_not_read_all_makes_no_backup(url: str, tmp_path: Path) -> None:
    """Without the values of sequences, ids would be given a second time after a restore."""
    role = f"role_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        try:
            for what in ("USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public"):
                connection.execute(f"GRANT {what} TO {role}".encode())
            with pytest.raises(RightsMissing, match="may not read the sequences; back up as the"):
                await backed_up(with_options(url, f"-c role={role}"), tmp_path / "backup")
            everything = "SELECT ON ALL SEQUENCES IN SCHEMA public"
            connection.execute(f"GRANT {everything} TO {role}".encode())
            await backed_up(with_options(url, f"-c role={role}"), tmp_path / "backup")
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


async def test_a_role_that_is_not_the_owner_is_told_so_by_a_restore(
    url: str, tmp_path: Path
) -> None:
    """Whatever it was granted."""
    role = f"role_{secrets.token_hex(4)}"
    await backed_up(url, tmp_path / "backup")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        try:
            for _ in range(2):
                with pytest.raises(RightsMissing, match="with the DATABASE_URL of the owner"):
                    await restored(
                        tmp_path / "backup", with_options(url, f"-c role={role}"), over=True
                    )
                for what in ("TABLES", "SEQUENCES"):
                    grant = f"GRANT ALL ON ALL {what} IN SCHEMA public TO {role}"
                    connection.execute(grant.encode())
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


class Breaking(Archive):
    """Fails after the first rows of a table."""

    def chunks(self, table: Table) -> Iterator[bytes]:
        for chunk in super().chunks(table):
            yield chunk
            if table.name == "tasks":
                raise KeyboardInterrupt


@asynccontextmanager
async def untouched(url: str) -> AsyncIterator[None]:
    before = content(url, but=())
    yield
    assert content(url, but=()) == before


async def test_a_restore_that_is_cut_off_changes_nothing(url: str, tmp_path: Path) -> None:
    async with core_on(url) as core:
        await filled(core)
    await backed_up(url, tmp_path / "backup")
    async with core_on(url) as core:
        await join(core, "eve")
    async with untouched(url):
        with Breaking(tmp_path / "backup") as archive, pytest.raises(KeyboardInterrupt):
            await restore(url, archive, untold, replace=True)
    async with untouched(url):
        with Archive(tmp_path / "backup") as archive:
            task = asyncio.create_task(restore(url, archive, untold, replace=True))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_database_of_another_revision_is_left_alone(
    url: str, bare: str, tmp_path: Path
) -> None:
    await backed_up(url, tmp_path / "backup")
    upgrade(bare, HISTORY[-2])
    with pytest.raises(NotMigrated):
        await restored(tmp_path / "backup", bare, over=True)
    assert current_revision(bare) == HISTORY[-2]


async def test_a_backup_of_a_later_revision_is_refused(url: str, bare: str, tmp_path: Path) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await backed_up(url, tmp_path / "backup")
    with pytest.raises(Invalid, match="9999"):
        await restored(tmp_path / "backup", bare)
    assert current_revision(bare) is None


async def test_a_database_without_our_tables_has_no_backup(bare: str, tmp_path: Path) -> None:
    with pytest.raises(NotMigrated):
        await backed_up(bare, tmp_path / "backup")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib has no such call without blocking
